//! A function as a model: it gets batching, queueing, deadlines and statistics like any other.
//!
//! `cargo run --example closure --no-default-features`

// This program talks to a terminal.
#![allow(clippy::print_stdout)]

use inferlay::config::DynamicBatching;
use inferlay::{DataType, Error, Input, ModelBatch, ModelConfig, Request, ServerHandle};
use std::thread;

fn main() -> Result<(), Error> {
    let server = ServerHandle::builder().start()?;
    let config = ModelConfig::new("softmax")
        .input("scores", DataType::Fp32, [3])
        .output("probabilities", DataType::Fp32, [3])
        .max_batch_size(32)
        .dynamic_batching(DynamicBatching { delay_us_max: 1_000, ..DynamicBatching::default() });
    let model = server.register_model(config, softmax)?;

    // A blocking call may borrow; calls of different threads meet in one batch.
    let ask = |scores: [f32; 3]| {
        let request = Request::new().input("scores", Input::from_slice(&scores, [1, 3])?);
        println!("{scores:?} -> {:.3?}", model.infer(request)?.slice::<f32>("probabilities")?);
        Ok::<(), Error>(())
    };
    thread::scope(|scope| {
        let threads =
            [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [9.0, 1.0, 1.0]].map(|scores| scope.spawn(move || ask(scores)));
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    println!("batches by rows: {:?}", model.statistics()?.batch_sizes);
    Ok(())
}

/// Called with whole batches: the inputs of its requests joined, row after row.
fn softmax(batch: &ModelBatch<'_>) -> Result<(), Error> {
    let scores = batch.input("scores")?.as_slice::<f32>()?;
    let probabilities = batch.output("probabilities", [batch.rows(), 3])?.as_mut_slice::<f32>()?;
    for (row, out) in scores.chunks(3).zip(probabilities.chunks_mut(3)) {
        let sum: f32 = row.iter().map(|score| score.exp()).sum();
        out.iter_mut().zip(row).for_each(|(out, score)| *out = score.exp() / sum);
    }
    Ok(())
}
