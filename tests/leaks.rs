//! Servers that come and go leave nothing behind: resident memory over many cycles of start, ask and stop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]
#![allow(clippy::print_stdout, reason = "the figure is worth a look")]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;
#[path = "common/native.rs"]
mod native;

use inferlay::{Request, ServerHandle, Tensor};
use native::MOVING_AVERAGE;
use std::time::Duration;

/// What the resident memory may grow by.
const GROWTH_MAX: f64 = 5e6;

/// Cycles that the growth is told for, and that are run.
const CYCLES: usize = 1000;

/// Cycles of the long form, which `INFERLAY_SOAK` asks for.
const CYCLES_LONG: usize = 20_000;

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
    server.stop(Duration::from_secs(60)).unwrap();
}

/// Bytes that are resident, once the allocator has given back what it can.
fn resident() -> f64 {
    // SAFETY: it touches nothing but memory that the allocator holds free.
    unsafe { libc::malloc_trim(0) };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024.0
}

/// The slope of the line through the values that leaves the smallest squares.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let parts = values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value - mean));
    let (above, below) = parts.fold((0.0, 0.0), |(a, b), (x, y)| (a + x * y, b + x * x));
    above / below
}

#[test]
fn the_slope_is_that_of_the_line() {
    assert_eq!(slope(&[5.0, 7.0, 9.0, 11.0]), 2.0);
    assert_eq!(slope(&[4.0, 4.0, 4.0]), 0.0);
    assert!(slope(&[1.0, 9.0, 1.0, 9.0, 1.0]).abs() < 1e-9);
}

#[test]
fn soak_servers_that_come_and_go_leave_no_memory_behind() {
    let cycles = if std::env::var_os("INFERLAY_SOAK").is_some() { CYCLES_LONG } else { CYCLES };
    let mut sizes = Vec::with_capacity(cycles);
    for at in 0..cycles {
        cycle();
        // After a warm-up of a tenth.
        if at >= cycles / 10 {
            sizes.push(resident());
        }
    }
    let growth = slope(&sizes) * CYCLES as f64;
    println!(
        "{cycles} cycles: {} bytes resident at the end, growing by {growth:.0} in {CYCLES}",
        sizes[sizes.len() - 1]
    );
    assert!(growth < GROWTH_MAX, "resident memory grows by {growth:.0} bytes in {CYCLES} cycles");
}
