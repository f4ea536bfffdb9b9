//! Models that are loaded and unloaded while their server runs leave nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "common/memory.rs"]
mod memory;

use inferlay::{LoadOptions, Request, ServerHandle, Tensor};

const CONFIG: &str = "backend: 'null'\ninput: {name: x, data_type: FP32, dims: [512]}\ninstance_group: {count: 3}\n";

/// Version 1, then 2 in its place, a broken one, and nothing.
fn cycle(server: &ServerHandle) {
    let load = |config: &str, number: u64| {
        let options =
            LoadOptions::new().config(config).files([(format!("{number}/weights"), vec![number as u8; 4096])]);
        server.load_model_with("m", options).wait()
    };
    let ones = || Tensor::from_vec(vec![1.0f32; 512], [512]).unwrap();
    let ask = || server.infer("m", Request::new().input("x", ones())).unwrap();
    load(CONFIG, 1).unwrap();
    ask();
    load(CONFIG, 2).unwrap();
    load("backend: 'nowhere'", 3).unwrap_err();
    ask();
    server.unload_model("m").wait().unwrap();
}

#[test]
fn soak_models_that_come_and_go_leave_no_memory_behind() {
    let server = ServerHandle::builder().explicit([""; 0]).start().unwrap();
    memory::refuse_growth(memory::cycles(memory::CYCLES, 10 * memory::CYCLES), || cycle(&server));
}
