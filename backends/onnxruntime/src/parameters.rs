//! The `parameters` of a model's config, read once at load. Pure.
//!
//! Names are those of Triton's backend for ONNX Runtime where it has one. Parameters of other names are nobody's business
//! here and are left alone.

use inferlay_backend_sdk::Error;
use ort::session::builder::GraphOptimizationLevel;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Entries of the session's configuration that are passed on as they are: those that change how it computes. The rest
/// stays out, because some of them open files.
const SESSION_ENTRIES: [&str; 9] = [
    "session.intra_op.allow_spinning",
    "session.inter_op.allow_spinning",
    "session.dynamic_block_base",
    "session.disable_prepacking",
    "session.disable_cpu_ep_fallback",
    "session.disable_quant_qdq",
    "session.enable_quant_qdq_cleanup",
    "session.qdqisint8allowed",
    "session.use_device_allocator_for_initializers",
];

/// What a model's config asks of its session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    threads: Option<usize>,
    inter_op_threads: Option<usize>,
    parallel: bool,
    pub(crate) optimization: GraphOptimizationLevel,
    pub(crate) providers: Vec<Provider>,
    pub(crate) arena: bool,
    /// Whether memory is planned ahead; `None` where that depends on the model.
    pub(crate) pattern: Option<bool>,
    pub(crate) cache: Option<PathBuf>,
    /// File names in the server's folder of custom operators.
    pub(crate) custom_op_libraries: Vec<String>,
    pub(crate) session: Vec<(String, String)>,
}

/// An execution provider with its options, as the runtime names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provider {
    pub(crate) kind: ProviderKind,
    pub(crate) options: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProviderKind {
    Cpu,
    Cuda,
    TensorRt,
    OpenVino,
}

impl ProviderKind {
    const ALL: [ProviderKind; 4] =
        [ProviderKind::Cpu, ProviderKind::Cuda, ProviderKind::TensorRt, ProviderKind::OpenVino];

    pub(crate) fn name(self) -> &'static str {
        match self {
            ProviderKind::Cpu => "cpu",
            ProviderKind::Cuda => "cuda",
            ProviderKind::TensorRt => "tensorrt",
            ProviderKind::OpenVino => "openvino",
        }
    }
}

/// The threads of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Those that all sessions share.
    Shared,
    /// So many of its own, the calling one included; `inter_op` above 1 for operators side by side.
    Own { intra_op: usize, inter_op: usize },
}

impl Parameters {
    /// Reads what is known here.
    ///
    /// # Errors
    /// `INVALID_ARG` naming the parameter whose value is not what it should be, `UNSUPPORTED` for an option that would
    /// load code.
    pub(crate) fn read(from: &BTreeMap<String, String>) -> Result<Self, Error> {
        Ok(Parameters {
            threads: number(from, "intra_op_thread_count")?,
            inter_op_threads: number(from, "inter_op_thread_count")?,
            parallel: choice(
                from,
                "execution_mode",
                &[("0", false), ("sequential", false), ("1", true), ("parallel", true)],
            )?
            .unwrap_or(false),
            optimization: choice(from, "optimization", LEVELS)?.unwrap_or(GraphOptimizationLevel::All),
            providers: providers(from)?,
            arena: choice(from, "enable_mem_arena", SWITCH)?.unwrap_or(true),
            pattern: choice(from, "enable_mem_pattern", SWITCH)?,
            cache: text(from, "optimized_model_cache").map(PathBuf::from),
            custom_op_libraries: list(from, "custom_op_libraries"),
            session: session(from),
        })
    }

    /// The threads of a session of which one execution may use `threads_max`. A count of 0 stands for the default, as in
    /// Triton.
    pub(crate) fn threads(&self, threads_max: usize) -> Threads {
        let stated = self.threads.filter(|count| *count > 0);
        let inter_op = self.inter_op_threads.filter(|count| *count > 0).unwrap_or(threads_max);
        match (stated, self.parallel) {
            (_, true) => Threads::Own { intra_op: stated.unwrap_or(threads_max), inter_op },
            (Some(intra_op), false) => Threads::Own { intra_op, inter_op: 1 },
            (None, false) if threads_max == 1 => Threads::Own { intra_op: 1, inter_op: 1 },
            (None, false) => Threads::Shared,
        }
    }

    /// Whether these operators run on something else than the processor.
    pub(crate) fn provider(&self, kind: ProviderKind) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.kind == kind)
    }

    /// Whatever changes the graph that the runtime makes of the model.
    pub(crate) fn graph_key(&self) -> String {
        format!("{:?}", (self.optimization, &self.providers, &self.custom_op_libraries, &self.session))
    }
}

const SWITCH: &[(&str, bool)] = &[("0", false), ("1", true)];

/// By name, and by the numbers that Triton has for them.
const LEVELS: &[(&str, GraphOptimizationLevel)] = &[
    ("all", GraphOptimizationLevel::All),
    ("extended", GraphOptimizationLevel::Level2),
    ("basic", GraphOptimizationLevel::Level1),
    ("disabled", GraphOptimizationLevel::Disable),
    ("0", GraphOptimizationLevel::All),
    ("1", GraphOptimizationLevel::Level2),
    ("-1", GraphOptimizationLevel::Level1),
    ("2", GraphOptimizationLevel::Disable),
];

fn providers(from: &BTreeMap<String, String>) -> Result<Vec<Provider>, Error> {
    let mut providers: Vec<Provider> = Vec::new();
    for name in list(from, "execution_providers") {
        let kind = ProviderKind::ALL.into_iter().find(|kind| kind.name() == name);
        let twice = providers.iter().any(|provider| provider.kind.name() == name);
        let Some(kind) = kind.filter(|_| !twice) else {
            let known = ProviderKind::ALL.map(ProviderKind::name).join(", ");
            return Err(refused("execution_providers", &name, &format!("each of {known} at most once")));
        };
        providers.push(Provider { kind, options: options(from, kind)? });
    }
    for kind in ProviderKind::ALL {
        let prefix = format!("{}.", kind.name());
        let stray = from.keys().find(|name| name.starts_with(&prefix));
        if let (Some(name), false) = (stray, providers.iter().any(|provider| provider.kind == kind)) {
            let message = format!("parameter '{name}': `execution_providers` does not list '{}'", kind.name());
            return Err(Error::invalid_arg(message));
        }
    }
    Ok(providers)
}

fn options(from: &BTreeMap<String, String>, kind: ProviderKind) -> Result<Vec<(String, String)>, Error> {
    let prefix = format!("{}.", kind.name());
    let own = from.iter().filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_owned(), value.clone())));
    let own: Vec<(String, String)> = own.collect();
    for (name, value) in &own {
        if name.contains('\0') || value.contains('\0') {
            return Err(refused(&format!("{prefix}{name}"), value, "a text without zero bytes"));
        }
        if name == "trt_extra_plugin_lib_paths" {
            return Err(Error::unsupported(format!("parameter '{prefix}{name}': it would load code, expected none")));
        }
        if kind == ProviderKind::Cpu {
            return Err(Error::invalid_arg(format!("parameter '{prefix}{name}': the processor has no options")));
        }
    }
    Ok(own)
}

fn session(from: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let entry = |name: &&str| from.get(*name).map(|value| ((*name).to_owned(), value.clone()));
    SESSION_ENTRIES.iter().filter_map(entry).collect()
}

fn text<'a>(from: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    from.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn list(from: &BTreeMap<String, String>, name: &str) -> Vec<String> {
    let parts = text(from, name).into_iter().flat_map(|text| text.split(','));
    parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn number(from: &BTreeMap<String, String>, name: &str) -> Result<Option<usize>, Error> {
    let Some(text) = text(from, name) else { return Ok(None) };
    let number = text.parse::<u16>().map_err(|_| refused(name, text, "a whole number up to 65535"))?;
    Ok(Some(usize::from(number)))
}

fn choice<T: Copy>(from: &BTreeMap<String, String>, name: &str, known: &[(&str, T)]) -> Result<Option<T>, Error> {
    let Some(text) = text(from, name) else { return Ok(None) };
    let found = known.iter().find(|(known, _)| *known == text).map(|(_, value)| *value);
    let names = || known.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    found.map(Some).ok_or_else(|| refused(name, text, &format!("one of {}", names())))
}

fn refused(name: &str, found: &str, wanted: &str) -> Error {
    Error::invalid_arg(format!("parameter '{name}': found '{found}', expected {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferlay_backend_sdk::ErrorKind;

    fn read(pairs: &[(&str, &str)]) -> Result<Parameters, Error> {
        Parameters::read(&pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn threads_are_shared_unless_the_host_or_the_model_says_otherwise() {
        let own = |intra_op, inter_op| Threads::Own { intra_op, inter_op };
        for (pairs, threads_max, expected) in [
            (&[][..], 1, own(1, 1)),
            (&[], 4, Threads::Shared),
            (&[("intra_op_thread_count", "0")], 4, Threads::Shared),
            (&[("intra_op_thread_count", "2")], 1, own(2, 1)),
            (&[("inter_op_thread_count", "3")], 4, Threads::Shared),
            (&[("execution_mode", "1"), ("inter_op_thread_count", "3")], 4, own(4, 3)),
            (&[("execution_mode", "parallel"), ("intra_op_thread_count", "1")], 2, own(1, 2)),
        ] {
            assert_eq!(read(pairs).unwrap().threads(threads_max), expected, "{pairs:?} {threads_max}");
        }
    }

    #[test]
    fn providers_come_in_order_with_their_options() {
        let found = read(&[
            ("execution_providers", "tensorrt, cuda,cpu"),
            ("cuda.gpu_mem_limit", "1000"),
            ("tensorrt.trt_fp16_enable", "1"),
            ("other", "x"),
        ]);
        let found = found.unwrap();
        let kinds: Vec<_> = found.providers.iter().map(|provider| provider.kind.name()).collect();
        assert_eq!(kinds, ["tensorrt", "cuda", "cpu"]);
        let cuda = found.provider(ProviderKind::Cuda).unwrap();
        assert_eq!(cuda.options, [("gpu_mem_limit".to_owned(), "1000".to_owned())]);
        assert_eq!(found.provider(ProviderKind::OpenVino), None);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        for (name, value, kind) in [
            ("intra_op_thread_count", "-1", ErrorKind::InvalidArg),
            ("inter_op_thread_count", "99999999", ErrorKind::InvalidArg),
            ("execution_mode", "2", ErrorKind::InvalidArg),
            ("optimization", "most", ErrorKind::InvalidArg),
            ("execution_providers", "cuda, rocm", ErrorKind::InvalidArg),
            ("execution_providers", "cuda, cuda", ErrorKind::InvalidArg),
            ("enable_mem_arena", "yes", ErrorKind::InvalidArg),
            ("cuda.device_id", "1", ErrorKind::InvalidArg),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.kind() == kind && error.message().contains(name), "{error}");
        }
        for (name, value, kind) in [
            ("cpu.threads", "1", ErrorKind::InvalidArg),
            ("tensorrt.trt_extra_plugin_lib_paths", "/tmp/x.so", ErrorKind::Unsupported),
            ("cuda.device_id", "1\0", ErrorKind::InvalidArg),
        ] {
            let error = read(&[("execution_providers", "tensorrt,cuda,cpu"), (name, value)]).unwrap_err();
            assert!(error.kind() == kind && error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn entries_that_open_files_are_not_passed_on() {
        let found =
            read(&[("session.disable_prepacking", "1"), ("session.model_external_initializers_file_folder_path", "/")]);
        assert_eq!(found.unwrap().session, [("session.disable_prepacking".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn what_changes_the_graph_changes_its_key() {
        let key = |pairs: &[(&str, &str)]| read(pairs).unwrap().graph_key();
        assert_eq!(key(&[]), key(&[("intra_op_thread_count", "2"), ("optimized_model_cache", "/tmp")]));
        for other in [("optimization", "basic"), ("custom_op_libraries", "a.so"), ("execution_providers", "cuda")] {
            assert_ne!(key(&[]), key(&[other]));
        }
    }
}
