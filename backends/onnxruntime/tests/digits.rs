//! The example model: the backend's answers are those of ONNX Runtime's Python API, run now, and those that lie beside
//! the model.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod runtime;

use inferlay_backend_sdk::conformance::{TestBatch, TestRequest};
use inferlay_backend_sdk::{Device, InstanceSpec, Tensor};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python adds up with as many threads as it likes; otherwise both compute the same.
const TOLERANCE: f32 = 1e-5;

/// Reads the images and writes the scores, all in one batch, little-endian.
const SCRIPT: &str = "import sys, numpy as np, onnxruntime as ort
images = np.fromfile(sys.argv[2], np.uint8)
count = int(images[8:12].view(np.uint32)[0])
pixels = images[12:12 + 64 * count].astype(np.float32).reshape(count, 1, 8, 8)
session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
sys.stdout.buffer.write(session.run(['logits'], {'image': pixels})[0].tobytes())";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/models/digits").canonicalize().unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn pixels() -> Vec<f32> {
    let images = std::fs::read(folder().join("test_images.bin")).unwrap();
    assert_eq!(images[..8], *b"DIGITS01");
    let count = u32::from_le_bytes(images[8..12].try_into().unwrap()) as usize;
    images[12..12 + 64 * count].iter().copied().map(f32::from).collect()
}

/// The scores of all images, in batches of so many requests of so many rows.
fn scores(pixels: &[f32], requests: usize, rows: usize) -> Vec<f32> {
    let files = runtime::DiskFiles(folder().join("1"));
    let model = runtime::load(&runtime::backend(), "model.onnx", &files).unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap();
    let image = |pixels: &[f32]| Tensor::from_vec(pixels.to_vec(), [pixels.len() / 64, 1, 8, 8]).unwrap();
    let mut scores = Vec::new();
    for batch in pixels.chunks(64 * rows * requests) {
        let batch = batch.chunks(64 * rows).map(|request| TestRequest::new(&[image(request)])).collect();
        for answer in TestBatch::new(model.signature(), batch).execute(&mut *instance).unwrap() {
            scores.extend(answer.unwrap()[&0].view().as_slice::<f32>().unwrap());
        }
    }
    scores
}

fn digits(scores: &[f32]) -> Vec<u8> {
    let highest = |scores: &[f32]| scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 as u8;
    scores.chunks(10).map(highest).collect()
}

#[test]
fn the_answers_are_those_of_python_however_they_are_batched() {
    let paths = [folder().join("1/model.onnx"), folder().join("test_images.bin")];
    let output = Command::new(runtime::python()).args(["-c", SCRIPT]).args(paths).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ONNX Runtime's Python did not run; `cargo xtask test` installs it: {told}");
    let (expected, pixels) = (floats(&output.stdout), pixels());
    let recorded = std::fs::read(folder().join("expected.bin")).unwrap();
    for (requests, rows) in [(1, 1), (1, 64), (8, 1), (3, 5), (1, pixels.len() / 64)] {
        let found = scores(&pixels, requests, rows);
        assert_eq!(found.len(), expected.len());
        let furthest =
            found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs() / expected.abs().max(1.0));
        let furthest = furthest.fold(0.0, f32::max);
        assert!(furthest <= TOLERANCE, "{requests} requests of {rows} rows: a score is off by {furthest}");
        assert_eq!(digits(&found), digits(&expected));
        assert_eq!(digits(&found), recorded);
    }
}
