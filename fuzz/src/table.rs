//! Plugins: a backend in C (`c/plugin.c`) that reads from the bytes what its table is and what it does at each turn, right
//! or wrong, but for its pointers. It is loaded, asked, and stopped: the server survives, and whatever was handed over was
//! let go exactly once.

use inferlay::config::TensorConfig;
use inferlay::{
    Buffer, DataType, Error, Input, ModelConfig, ModelHandle, ParameterValue, Request, Response, ServerBuilder,
    ServerHandle, Shape, Tensor,
};
use std::ffi::{CStr, c_void};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What the config says beside the backend; the first byte chooses.
const CONFIGS: [&str; 6] = [
    "",
    "max_batch_size: 0\n",
    "max_batch_size: 4\ndynamic_batching: {}\n",
    "max_batch_size: 4\ninput: {name: x, data_type: FP32, dims: [2]}\noutput: {name: y, data_type: FP32, dims: [2]}\n",
    "input: {name: x, data_type: BYTES, dims: [2]}\noutput: {name: y, data_type: BYTES, dims: [-1]}\n",
    "max_batch_size: 8\ndynamic_batching: {}\ncaller_runs: never\ninstance_group: {count: 2}\n\
     input: {name: x, data_type: INT64, dims: [-1]}\noutput: [{name: y, data_type: INT64, dims: [-1]}]\n",
];

/// Requests per run.
const REQUESTS: usize = 4;

/// Elements of an input, at most.
const ELEMENTS_MAX: usize = 1 << 12;

/// Runs one plugin.
///
/// # Panics
/// When the engine breaks a promise of the ABI.
///
/// # Examples
/// ```
/// inferlay_fuzz::table::run(b"\x02\x00\x00\x00");
/// ```
pub fn run(bytes: &[u8]) {
    let Some((first, script)) = bytes.split_first() else { return };
    let plugin = Plugin::loaded();
    plugin.begin(script);
    let config = format!("backend: fuzzed\n{}", CONFIGS[usize::from(*first) % CONFIGS.len()]);
    let files = [("config.yaml", config.into_bytes()), ("model.fuzzed", script.to_vec())];
    let builder = ServerHandle::builder().backend_directory(env!("FUZZED_PLUGIN")).model_in_memory("m", files);
    serve(builder, *first);
    let left = plugin.end();
    assert_eq!(left, 0, "handed over and not let go exactly once, or objects not freed");
}

/// Starts a server, asks and stops. Everything of it is gone afterwards.
fn serve(builder: ServerBuilder, first: u8) {
    let Ok(server) = builder.load_threads_max(1).start() else { return };
    assert!(server.is_live());
    if let Ok(model) = server.model("m") {
        let _described = (model.metadata(), model.config(), server.metrics_text(), server.backends());
        ask(&model, first);
        let _counted = model.statistics();
    }
    // The plugin answers on the threads that execute, so nothing keeps a stop waiting.
    let stopped = server.stop(Duration::from_secs(60));
    assert_eq!(stopped.map_err(|error| error.to_string()), Ok(()));
}

/// Asks with memory of every kind. What is answered is read to its last byte.
fn ask(model: &ModelHandle, first: u8) {
    let Ok(config) = model.config() else { return };
    let Some(inputs) = inputs(&config) else { return };
    let request = || owned(&inputs).id("me").parameter("way", ParameterValue::Int(first.into()));
    let sent: Vec<_> = (0..REQUESTS).filter_map(|_| model.infer_async(request()).ok()).collect();
    sent.into_iter().for_each(|future| read(future.wait()));
    read(model.infer(request()));
    let (mut reals, mut numbers) = ([0f32; 64], [0i64; 64]);
    let output = config.outputs.first().map(|output| (output.name.as_str(), output.data_type));
    match output {
        Some((name, DataType::Fp32)) => read(model.infer(owned(&inputs).output_into(name, &mut reals))),
        Some((name, DataType::Int64)) => read(model.infer(owned(&inputs).output_into(name, &mut numbers))),
        _ => {}
    }
    let lent = [1.0f32, 2.0];
    if let (Some((name, _)), Ok(lent)) = (inputs.first(), Input::from_slice(&lent, [1, 2])) {
        read(model.infer(Request::new().input(name.clone(), lent)));
    }
}

fn owned<'a>(inputs: &[(String, Tensor)]) -> Request<'a> {
    inputs.iter().cloned().fold(Request::new(), |request, (name, tensor)| request.input(name, tensor))
}

fn read(answer: Result<Response, Error>) {
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    for (_, tensor) in answer.iter().flat_map(Response::outputs) {
        std::hint::black_box(tensor.data().bytes().map(sum).ok());
        if let Ok(strings) = tensor.strings() {
            strings.for_each(|string| _ = std::hint::black_box(sum(string)));
        }
    }
}

/// Inputs such as the model wants them, if they are not too large.
fn inputs(config: &ModelConfig) -> Option<Vec<(String, Tensor)>> {
    let batch: &[i64] = if config.max_batch_size > 0 { &[1] } else { &[] };
    let dims = |dims: &[i64]| [batch, dims].concat().into_iter().map(|dim| usize::try_from(dim).unwrap_or(2)).collect();
    let named = |spec: &TensorConfig| Some((spec.name.clone(), input(spec.data_type, dims(&spec.dims))?));
    config.inputs.iter().map(named).collect()
}

fn input(data_type: DataType, dims: Vec<usize>) -> Option<Tensor> {
    let elements = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim))?;
    let elements = Some(elements).filter(|elements| *elements <= ELEMENTS_MAX)?;
    let dims = Shape::from(&dims[..]);
    match data_type {
        DataType::Bytes => Tensor::from_strings(vec!["some"; elements], dims).ok(),
        DataType::Fp32 => Tensor::from_vec(vec![1f32; elements], dims).ok(),
        DataType::Int64 => Tensor::from_vec(vec![1i64; elements], dims).ok(),
        other => {
            let bytes = Arc::new(vec![1u8; elements * other.size()?]);
            Tensor::new(other, dims, Buffer::from_arc(bytes, |bytes| bytes)).ok()
        }
    }
}

/// The functions by which the plugin is told what to do and says what it has left.
struct Plugin {
    begin: unsafe extern "C" fn(*const u8, usize),
    end: unsafe extern "C" fn() -> i64,
}

impl Plugin {
    /// The plugin, opened under the name by which the engine opens it: the loader gives both the same.
    fn loaded() -> &'static Plugin {
        static PLUGIN: OnceLock<Plugin> = OnceLock::new();
        PLUGIN.get_or_init(|| {
            let file = Path::new(env!("FUZZED_PLUGIN")).join("libinferlay_backend_fuzzed.so\0");
            let file = file.into_os_string().into_encoded_bytes();
            // SAFETY: the path ends with a null byte.
            let library = unsafe { libc::dlopen(file.as_ptr().cast(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            assert!(!library.is_null(), "{} cannot be opened", env!("FUZZED_PLUGIN"));
            // SAFETY: plugin.c defines it with this type.
            let begin = unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const u8, usize)>(symbol(
                    library,
                    c"fuzzed_begin",
                ))
            };
            // SAFETY: as above.
            let end = unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> i64>(symbol(library, c"fuzzed_end"))
            };
            Plugin { begin, end }
        })
    }

    fn begin(&self, script: &[u8]) {
        // SAFETY: it copies the bytes.
        unsafe { (self.begin)(script.as_ptr(), script.len()) };
    }

    fn end(&self) -> i64 {
        // SAFETY: no server uses the plugin any more.
        unsafe { (self.end)() }
    }
}

fn symbol(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the library is open, and stays so.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?} is not exported");
    found
}
