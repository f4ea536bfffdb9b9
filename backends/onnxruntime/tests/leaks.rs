//! Servers that come and go with a model of this backend, and one of tract where that is linked in, leave nothing behind;
//! nor does a model of this backend that is loaded, replaced and unloaded while its server runs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something fails, and reports")]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "../../../tests/common/memory.rs"]
mod memory;
mod runtime;

use inferlay::{LoadOptions, ModelHandle, Request, ServerBuilder, ServerHandle, Tensor};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a server that is asked nothing any more may take to stop.
const PATIENCE: Duration = Duration::from_secs(120);

/// How far a score may be from the recorded one; tract adds in another order.
const TOLERANCE: f32 = 1e-3;

/// The example model, and some of what lies beside it.
struct Digits {
    model: Vec<u8>,
    pixels: Vec<f32>,
    scores: Vec<f32>,
}

impl Digits {
    /// The model with as many images.
    fn read(images: usize) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/digits");
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        Digits {
            model: read("1/model.onnx"),
            pixels: read("test_images.bin")[12..][..64 * images].iter().copied().map(f32::from).collect(),
            scores: read("expected_logits.bin").chunks_exact(4).take(10 * images).map(number).collect(),
        }
    }

    /// The builder with the model, served by this backend and named after it.
    fn add(&self, builder: ServerBuilder, backend: &str) -> ServerBuilder {
        let config = format!("backend: {backend}").into_bytes();
        builder.model_in_memory(backend, [("config.yaml", config), ("model.onnx", self.model.clone())])
    }

    /// Asks for all images in one request, on this thread and by way of the queue.
    fn ask(&self, model: &ModelHandle) {
        let request = || {
            let pixels = Tensor::from_vec(self.pixels.clone(), [self.pixels.len() / 64, 1, 8, 8]).unwrap();
            Request::new().input("image", pixels)
        };
        for answer in [model.infer(request()), model.infer_async(request()).unwrap().wait()] {
            let answer = answer.unwrap();
            let scores = answer.slice::<f32>("logits").unwrap();
            assert_eq!(scores.len(), self.scores.len());
            assert!(scores.iter().zip(&self.scores).all(|(found, expected)| (found - expected).abs() < TOLERANCE));
        }
    }

    /// The model is loaded into a server that runs, replaced by another version, and unloaded.
    fn pass(&self, server: &ServerHandle) {
        for version in [1, 2] {
            let files = [(format!("{version}/model.onnx"), self.model.clone())];
            let options = LoadOptions::new().config("backend: onnxruntime").files(files);
            server.load_model_with("passing", options).wait().unwrap();
            self.ask(&server.model("passing").unwrap());
        }
        server.unload_model("passing").wait().unwrap();
    }

    /// A server of these backends: the first of its models is removed, the others go with it.
    fn cycle(&self, backends: &[&str]) {
        let builder =
            ServerHandle::builder().backend(Arc::new(runtime::backend())).strict().explicit(backends.iter().copied());
        let server = backends.iter().fold(builder, |builder, backend| self.add(builder, backend)).start().unwrap();
        backends.iter().for_each(|backend| self.ask(&server.model(backend).unwrap()));
        self.pass(&server);
        server.remove_model(backends[0], PATIENCE).unwrap();
        server.stop(PATIENCE).unwrap();
    }
}

#[test]
fn soak_servers_of_every_runtime_that_is_linked_leave_no_memory_behind() {
    let linked = ServerHandle::builder().start().unwrap().backends();
    let tract = linked.iter().map(|backend| &backend.name[..]).filter(|name| *name == "tract");
    let backends: Vec<&str> = ["onnxruntime"].into_iter().chain(tract).collect();
    println!("served by {}", backends.join(" and "));
    let digits = Digits::read(3);
    memory::refuse_growth(memory::cycles(memory::CYCLES, 20 * memory::CYCLES), || digits.cycle(&backends));
}
