//! Servers that come and go leave nothing behind: resident memory over many cycles of start, ask and stop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "common/memory.rs"]
mod memory;
#[path = "common/native.rs"]
mod native;

use inferlay::{Request, ServerHandle, Tensor};
use memory::slope;
use native::MOVING_AVERAGE;
use std::time::Duration;

/// One server with a linked backend and one from a library, which answers in both of its ways.
fn cycle() {
    let echo = "backend: 'null'\ninput: {name: x, data_type: FP32, dims: [512]}\n";
    let smooth = "backend: moving_average\nparameters: {answers: {string_value: later}}\n";
    let builder = ServerHandle::builder().backend_directory(MOVING_AVERAGE.built()).strict();
    let builder = [("echo", echo), ("smooth", smooth)].into_iter().fold(builder, |builder, (name, config)| {
        builder.model_in_memory(name, [("config.yaml", config.as_bytes().to_vec())])
    });
    let server = builder.start().unwrap();
    let ones = || Tensor::from_vec(vec![1.0f32; 512], [512]).unwrap();
    server.infer("echo", Request::new().input("x", ones())).unwrap();
    let rows = Tensor::from_vec(vec![1.0f32; 2048], [4, 512]).unwrap();
    let later = server.infer_async("smooth", Request::new().input("signal", rows)).unwrap();
    assert_eq!(later.wait().unwrap().slice::<f32>("average").unwrap(), [1.0; 2048]);
    server.stop(Duration::from_secs(120)).unwrap();
}

#[test]
fn the_slope_is_that_of_the_line() {
    assert_eq!(slope(&[5.0, 7.0, 9.0, 11.0]), 2.0);
    assert_eq!(slope(&[4.0, 4.0, 4.0]), 0.0);
    assert!(slope(&[1.0, 9.0, 1.0, 9.0, 1.0]).abs() < 1e-9);
}

#[test]
fn soak_servers_that_come_and_go_leave_no_memory_behind() {
    memory::refuse_growth(memory::cycles(memory::CYCLES, 20 * memory::CYCLES), cycle);
}
