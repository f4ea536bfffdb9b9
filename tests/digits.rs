//! The example model through the whole engine: the answers of ONNX Runtime, whichever way they are asked for.
#![cfg(feature = "tract")]
// A file that cannot be read must fail the test that wanted it.
#![allow(clippy::unwrap_used)]

use inferlay::{ErrorKind, Input, ManualClock, ModelHandle, ModelState, Request, ServerHandle, Tensor};
use std::path::Path;
use std::time::Duration;

/// How far a score may be from ONNX Runtime's; both add in different orders.
const TOLERANCE: f32 = 1e-3;

/// What lies beside the model.
struct Expected {
    pixels: Vec<f32>,
    labels: Vec<u8>,
    digits: Vec<u8>,
    scores: Vec<f32>,
}

impl Expected {
    fn read() -> Self {
        let read = |file: &str| std::fs::read(folder().join("digits").join(file)).unwrap();
        let images = read("test_images.bin");
        assert_eq!(images[..8], *b"DIGITS01");
        let count = u32::from_le_bytes(images[8..12].try_into().unwrap()) as usize;
        let (pixels, labels) = images[12..].split_at(64 * count);
        let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        let expected = Expected {
            pixels: pixels.iter().copied().map(f32::from).collect(),
            labels: labels.to_vec(),
            digits: read("expected.bin"),
            scores: read("expected_logits.bin").chunks_exact(4).map(number).collect(),
        };
        assert_eq!((expected.labels.len(), expected.digits.len(), expected.scores.len()), (count, count, 10 * count));
        expected
    }

    /// Compares the scores of all images.
    fn check(&self, scores: &[f32]) {
        assert_eq!(scores.len(), self.scores.len());
        let furthest = scores.iter().zip(&self.scores).map(|(found, expected)| (found - expected).abs());
        let furthest = furthest.fold(0.0, f32::max);
        assert!(furthest < TOLERANCE, "a score is off by {furthest}");
        let digits: Vec<u8> = scores.chunks(10).map(highest).collect();
        assert_eq!(digits, self.digits);
        let right = digits.iter().zip(&self.labels).filter(|(found, label)| found == label).count();
        assert!(right * 100 >= 97 * digits.len(), "{right} of {} are right", digits.len());
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models")
}

fn highest(scores: &[f32]) -> u8 {
    let highest = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    highest.unwrap().0 as u8
}

fn blocking(model: &ModelHandle, pixels: &[f32]) -> Vec<f32> {
    let request = Request::new().input("image", Input::from_slice(pixels, [pixels.len() / 64, 1, 8, 8]).unwrap());
    model.infer(request).unwrap().slice("logits").unwrap().to_vec()
}

#[test]
fn the_answers_are_those_of_onnx_runtime_one_by_one_and_in_large_requests() {
    let expected = Expected::read();
    let server = ServerHandle::builder().repository(folder()).strict().start().unwrap();
    let model = server.model("digits").unwrap();
    for rows in [1, 7, 64] {
        let scores: Vec<f32> = expected.pixels.chunks(64 * rows).flat_map(|pixels| blocking(&model, pixels)).collect();
        expected.check(&scores);
    }
}

#[test]
fn the_answers_are_those_of_onnx_runtime_when_requests_are_batched() {
    let expected = Expected::read();
    // Time stands still, so that no request runs alone because its delay is over.
    let clock = ManualClock::new();
    let server = ServerHandle::builder().repository(folder()).strict().manual_clock(&clock).start().unwrap();
    let model = server.model("digits").unwrap();
    let ask = |pixels: &[f32]| {
        let image = Tensor::from_vec(pixels.to_vec(), [1, 1, 8, 8]).unwrap();
        model.infer_async(Request::new().input("image", image)).unwrap()
    };
    let futures: Vec<_> = expected.pixels.chunks(64).map(ask).collect();
    clock.advance(Duration::from_millis(1));
    let answer = |future: inferlay::ResponseFuture| future.wait().unwrap().slice("logits").unwrap().to_vec();
    let scores: Vec<f32> = futures.into_iter().flat_map(answer).collect();
    expected.check(&scores);
    let statistics = model.statistics().unwrap();
    assert_eq!(statistics.inference_count, expected.labels.len() as u64);
    // Eight at least, which the config prefers, but for what is left at the end.
    assert!(statistics.execution_count <= expected.labels.len().div_ceil(8) as u64, "{:?}", statistics.batch_sizes);
}

#[test]
fn one_model_file_is_served_without_any_config() {
    let expected = Expected::read();
    let server = ServerHandle::open(folder().join("digits/1/model.onnx")).unwrap();
    let model = server.model("model").unwrap();
    let scores: Vec<f32> = expected.pixels.chunks(64 * 50).flat_map(|pixels| blocking(&model, pixels)).collect();
    expected.check(&scores);
}

#[test]
fn a_garbage_or_truncated_file_is_told_and_takes_nothing_else_down() {
    let whole = std::fs::read(folder().join("digits/1/model.onnx")).unwrap();
    let model = |content: &[u8]| [("model.onnx", content.to_vec())];
    let server = ServerHandle::builder()
        .model_in_memory("whole", model(&whole))
        .model_in_memory("truncated", model(&whole[..whole.len() / 2]))
        .model_in_memory("garbage", model(&[0xff; 4096]))
        .model_in_memory("empty", model(&[]))
        .start()
        .unwrap();
    for name in ["truncated", "garbage", "empty"] {
        let status = server.models().into_iter().find(|status| status.name == name).unwrap();
        assert_eq!(status.state, ModelState::Unavailable, "{name}");
        assert!(status.reason.contains("model.onnx"), "{name}: {}", status.reason);
        assert_eq!(server.model(name).unwrap_err().kind(), ErrorKind::Unavailable, "{name}");
    }
    assert!(server.model("whole").unwrap().is_ready());
}
