//! Triton's platforms: which backend each stands for, and what its model's file is called. Pure data, any thread.

/// One way to say which backend executes a model.
struct Platform {
    /// The legacy value of `platform`; empty where there is none.
    name: &'static str,
    backend: &'static str,
    /// What Triton looks for when the config does not say.
    file_names: &'static [&'static str],
}

const PLATFORMS: [Platform; 13] = [
    platform("onnxruntime_onnx", "onnxruntime", &["model.onnx"]),
    platform("pytorch_libtorch", "pytorch", &["model.pt"]),
    platform("torch_aoti", "pytorch", &["model.pt2"]),
    platform("tensorflow_graphdef", "tensorflow", &["model.graphdef"]),
    platform("tensorflow_savedmodel", "tensorflow", &["model.savedmodel"]),
    platform("tensorrt_plan", "tensorrt", &["model.plan"]),
    platform("caffe2_netdef", "caffe2", &["model.netdef", "init_model.netdef"]),
    platform("ensemble", "ensemble", &[]),
    platform("custom", "custom", &["libcustom.so"]),
    platform("", "openvino", &["model.xml", "model.onnx", "model.bin"]),
    platform("", "python", &["model.py"]),
    platform("", "dali", &["model.dali", "dali.py"]),
    platform("", "fil", &["xgboost.model", "xgboost.json", "model.txt", "checkpoint.tl"]),
];

const fn platform(name: &'static str, backend: &'static str, file_names: &'static [&'static str]) -> Platform {
    Platform { name, backend, file_names }
}

/// The legacy platforms and the backends that they stand for.
pub(super) fn platforms() -> impl Iterator<Item = (&'static str, &'static str)> {
    PLATFORMS.iter().filter(|platform| !platform.name.is_empty()).map(|platform| (platform.name, platform.backend))
}

/// What the model's file is called, in order of preference, when neither the config nor the backend says: by the platform
/// where that is known, else by the backend. One that ends with the name of a folder is a folder.
pub(crate) fn default_file_names<'a>(
    platform: Option<&'a str>,
    backend: &'a str,
) -> impl Iterator<Item = &'static str> + use<'a> {
    let named = move |known: &&Platform| platform.is_some_and(|platform| known.name == platform);
    let is_known = PLATFORMS.iter().any(|known| named(&known));
    let fits = move |known: &&Platform| if is_known { named(known) } else { known.backend == backend };
    PLATFORMS.iter().filter(fits).flat_map(|known| known.file_names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_says_what_the_file_is_called_and_else_the_backend() {
        let cases: [(Option<&str>, &str, &[&str]); 7] = [
            (Some("tensorflow_savedmodel"), "tensorflow", &["model.savedmodel"]),
            (None, "tensorflow", &["model.graphdef", "model.savedmodel"]),
            (None, "pytorch", &["model.pt", "model.pt2"]),
            (Some("caffe2_netdef"), "caffe2", &["model.netdef", "init_model.netdef"]),
            (Some("mine"), "python", &["model.py"]),
            (Some("ensemble"), "ensemble", &[]),
            (None, "mine", &[]),
        ];
        for (platform, backend, expected) in cases {
            assert!(default_file_names(platform, backend).eq(expected.iter().copied()), "{platform:?} {backend}");
        }
    }
}
