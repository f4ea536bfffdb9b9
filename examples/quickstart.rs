//! The first answers: a server in this process, a folder of models, and 450 handwritten digits from several threads.
//!
//! `cargo run --release --example quickstart [FOLDER]`, where the folder holds the model `digits`.

// This program talks to a terminal.
#![allow(clippy::print_stdout)]

use inferlay::{ModelHandle, ModelStatistics, Request, Response, ResponseFuture, ServerHandle, Tensor, TensorMetadata};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, error, fs, panic, thread};

type Result<T> = std::result::Result<T, Box<dyn error::Error + Send + Sync>>;

/// Threads that ask.
const THREADS: usize = 4;
/// How many answers each of them waits for at any time.
const IN_FLIGHT: usize = 8;
/// How long they ask; each goes on until it has seen all images.
const LASTING: Duration = Duration::from_secs(2);

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/models"));
    let digits = Digits::read(&folder.join("digits/test_images.bin"))?;

    let begun = Instant::now();
    let server = ServerHandle::open(&folder)?;
    let model = server.model("digits")?;
    println!("loaded {} in {} ms", describe(&model)?, begun.elapsed().as_millis());

    let begun = Instant::now();
    let tally = classify_on_threads(&model, &digits)?;
    report(tally, begun.elapsed());
    draw(&model.statistics()?);

    server.stop(Duration::from_secs(5))?;
    Ok(())
}

/// The held-out images, as tensors of one row, and which digits they show.
struct Digits {
    images: Vec<Tensor>,
    labels: Vec<u8>,
}

impl Digits {
    /// Reads `DIGITS01`, the number n of images as `u32`, n images of 8x8 bytes, n labels.
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let (head, body) = bytes.split_first_chunk::<12>().ok_or("the file of images is too short")?;
        if !head.starts_with(b"DIGITS01") || body.len() % 65 != 0 {
            return Err("the file of images is of another format".into());
        }
        let (pixels, labels) = body.split_at(body.len() / 65 * 64);
        let image = |pixels: &[u8]| Tensor::from_vec(pixels.iter().copied().map(f32::from).collect(), [1, 1, 8, 8]);
        let images = pixels.chunks(64).map(image).collect::<std::result::Result<_, _>>()?;
        Ok(Digits { images, labels: labels.to_vec() })
    }
}

/// What was asked, and how it was answered.
#[derive(Default)]
struct Tally {
    right: usize,
    latencies: Vec<Duration>,
}

fn classify_on_threads(model: &ModelHandle, digits: &Digits) -> Result<Tally> {
    let mut total = Tally::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| classify(model, digits))).collect();
        for thread in threads {
            let tally = thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))?;
            total.right += tally.right;
            total.latencies.extend(tally.latencies);
        }
        Ok(total)
    })
}

/// Asks for all images, again and again. Many requests on their way are what makes batches.
fn classify(model: &ModelHandle, digits: &Digits) -> Result<Tally> {
    let (mut tally, mut waiting) = (Tally::default(), VecDeque::new());
    let begun = Instant::now();
    while begun.elapsed() < LASTING {
        for (image, label) in digits.images.iter().zip(&digits.labels) {
            if waiting.len() == IN_FLIGHT {
                tally.receive(waiting.pop_front())?;
            }
            // The clone shares the pixels.
            let request = Request::new().input("image", image.clone());
            waiting.push_back((Instant::now(), model.infer_async(request)?, *label));
        }
    }
    while !waiting.is_empty() {
        tally.receive(waiting.pop_front())?;
    }
    Ok(tally)
}

impl Tally {
    fn receive(&mut self, asked: Option<(Instant, ResponseFuture, u8)>) -> Result<()> {
        let Some((begun, future, label)) = asked else { return Ok(()) };
        let response = future.wait()?;
        self.latencies.push(begun.elapsed());
        self.right += usize::from(digit(&response)? == usize::from(label));
        Ok(())
    }
}

/// The digit with the highest score.
fn digit(response: &Response) -> Result<usize> {
    let scores = response.slice::<f32>("logits")?.iter().enumerate();
    Ok(scores.max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(digit, _)| digit))
}

fn describe(model: &ModelHandle) -> Result<String> {
    let metadata = model.metadata()?;
    let tensor = |tensor: &TensorMetadata| format!("{} {} {:?}", tensor.name, tensor.datatype, tensor.shape);
    let tensors = |list: &[TensorMetadata]| list.iter().map(tensor).collect::<Vec<_>>().join(", ");
    let (inputs, outputs) = (tensors(&metadata.inputs), tensors(&metadata.outputs));
    Ok(format!("{} version {} ({}): {inputs} -> {outputs}", metadata.name, model.version()?, metadata.platform))
}

fn report(mut tally: Tally, lasted: Duration) {
    let count = tally.latencies.len();
    tally.latencies.sort_unstable();
    let at = |part: f64| tally.latencies[((count - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!("accuracy: {:.2} %", 100.0 * tally.right as f64 / count as f64);
    println!(
        "throughput: {:.0} images/s, {count} in {:.2} s",
        count as f64 / lasted.as_secs_f64(),
        lasted.as_secs_f64()
    );
    print!("latency with {} in flight:", THREADS * IN_FLIGHT);
    println!(" p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms", at(0.5), at(0.9), at(0.99), at(0.999));
}

/// How many batches there were of each size, as bars.
fn draw(statistics: &ModelStatistics) {
    let longest = statistics.batch_sizes.values().copied().max().unwrap_or(1) as f64;
    println!("batches by size: {} for {} images", statistics.execution_count, statistics.inference_count);
    for (size, count) in &statistics.batch_sizes {
        let eighths = (*count as f64 / longest * 320.0).ceil() as usize;
        let last = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        println!("{size:>5} {}{last} {count}", "█".repeat(eighths / 8));
    }
}
