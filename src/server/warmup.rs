//! Warm-up: every instance executes what its model's config lists before anybody is served by it.
//!
//! Invariants: 1. each instance executes each request of `model_warmup` `count` times, or the load fails with what it
//! answered; 2. nothing of it is seen in statistics, and no request of a client comes before or between; 3. a stop ends it:
//! its lane is known to the services, so that it does not wait for workers that are gone.
//!
//! An instance is warmed up in a lane of its own, which it leaves for the one that serves. Runs on the thread that loads.

use super::STOPPED;
use crate::config::{ModelConfig, Warmup, WarmupData, WarmupInput};
use crate::flow::{CallerRuns, InstanceCell, Lane, LaneSpec, Policy, Request, Services, Waits};
use crate::sync::Doorbell;
use crate::tensor::wire;
use inferlay_backend_sdk::{Buffer, DataType, Error, ModelFiles, Shape, Tensor};
use std::sync::Arc;
use std::time::Duration;

/// How long a random string is, in bytes.
const RANDOM_STRING_LEN: usize = 8;

/// How long to wait before looking again whether an instance is back.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Warms instances up, but for those that are passive.
///
/// # Errors
/// The first of what an instance answered, or what is wrong with the data, with the name of the request.
#[allow(clippy::vec_box, reason = "a cell changes hands as a box")]
pub(super) fn warm_up(
    config: &ModelConfig,
    files: Option<&dyn ModelFiles>,
    spec: &LaneSpec,
    cells: Vec<Box<InstanceCell>>,
    services: &Arc<Services>,
) -> Result<Vec<Box<InstanceCell>>, Error> {
    if config.warmups.is_empty() {
        return Ok(cells);
    }
    let at = |warmup: &Warmup, error: Error| error.at(format_args!("model_warmup '{}'", warmup.name.escape_debug()));
    let mut samples = Vec::new();
    for warmup in &config.warmups {
        samples.push(sample(config, warmup, files, services).map_err(|error| at(warmup, error))?);
    }
    let mut warm = Vec::with_capacity(cells.len());
    // Those that are given no requests are given none of these either.
    let (passive, active): (Vec<_>, Vec<_>) = cells.into_iter().partition(|cell| cell.is_passive());
    for cell in active {
        let closing = Closing(Lane::new(alone(spec), services.clone()));
        let lane = &closing.0;
        if !services.unlisted.enlist(lane) {
            return Err(STOPPED);
        }
        lane.add_instance(cell);
        for (warmup, sample) in config.warmups.iter().zip(&samples) {
            for _ in 0..warmup.count {
                let request = sample
                    .iter()
                    .fold(Request::new(), |request, (name, tensor)| request.input(name.as_str(), tensor.clone()));
                execute(lane, request).map_err(|error| at(warmup, error))?;
            }
        }
        warm.append(&mut take_back(lane)?);
    }
    warm.extend(passive);
    Ok(warm)
}

/// A lane for the time of a warm-up: its idle tasks would keep it alive, and an instance that failed in it.
struct Closing(Arc<Lane>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.services.unlisted.strike(&self.0);
        self.0.begin_stop();
        self.0.end_stop();
    }
}

/// As the lane that is to serve, for one request after the other.
fn alone(spec: &LaneSpec) -> LaneSpec {
    let policy = Policy { rows_max: 0, preferred: Vec::new(), delay: 0 };
    let caller_runs = match spec.caller_runs {
        CallerRuns::Never => CallerRuns::Never,
        CallerRuns::OwnRequest | CallerRuns::Batch => CallerRuns::OwnRequest,
    };
    LaneSpec {
        policy,
        queued_max: 1,
        levels: 0,
        waits: Waits::default(),
        is_ordered: false,
        caller_runs,
        ..spec.clone()
    }
}

fn execute(lane: &Arc<Lane>, request: Request<'_>) -> Result<(), Error> {
    if lane.spec.credit_max.is_none() {
        return lane.infer(request).map_err(|refused| refused.error)?.map(drop);
    }
    // However many responses it sends, they are taken as they come.
    let bell = Arc::new(Doorbell::new());
    let (ring, last) = (bell.clone(), Arc::new(crate::sync::Mutex::new(None)));
    let told = last.clone();
    let listener = move |delivery| {
        if let crate::flow::Delivery::Last(answer) = delivery {
            *told.lock() = Some(answer.map(drop));
            ring.ring();
        }
    };
    lane.stream_to(request, || Box::new(listener)).map_err(|refused| refused.error)?;
    loop {
        bell.wait(0);
        if let Some(answer) = last.lock().take() {
            return answer;
        }
    }
}

/// The instance, once its thread has brought it back.
#[allow(clippy::vec_box, reason = "a cell changes hands as a box")]
fn take_back(lane: &Arc<Lane>) -> Result<Vec<Box<InstanceCell>>, Error> {
    let nobody: Arc<dyn crate::flow::Demand> = Arc::new(Nobody);
    let pause = Doorbell::new();
    loop {
        if let Some(cells) = lane.doze(&nobody) {
            return Ok(cells);
        }
        if lane.is_stuck() {
            return Err(Error::unavailable(lane.fault().map_or_else(String::new, |fault| fault.message().to_owned())));
        }
        if lane.has_ended() {
            return Err(STOPPED);
        }
        pause.wait_for(0, Some(LOOK_AGAIN));
    }
}

/// A lane that is done is asked by nobody.
struct Nobody;

impl crate::flow::Demand for Nobody {
    fn wanted(&self) {}
}

/// The inputs of one warm-up request.
fn sample(
    config: &ModelConfig,
    warmup: &Warmup,
    files: Option<&dyn ModelFiles>,
    services: &Services,
) -> Result<Vec<(String, Tensor)>, Error> {
    let batch = (config.max_batch_size > 0).then_some(warmup.batch_size);
    let mut inputs = Vec::new();
    for (name, input) in &warmup.inputs {
        let made = tensor(input, batch, files, services).map_err(|error| error.at(format_args!("input '{name}'")))?;
        inputs.push((name.clone(), made));
    }
    Ok(inputs)
}

fn tensor(
    input: &WarmupInput,
    batch: Option<usize>,
    files: Option<&dyn ModelFiles>,
    services: &Services,
) -> Result<Tensor, Error> {
    let dims: Vec<usize> = batch.into_iter().chain(input.dims.iter().copied()).collect();
    let shape = Shape::from(dims.as_slice());
    let too_large = || Error::invalid_arg("found more elements than there can be");
    let elements = dims.iter().try_fold(1usize, |product, dim| product.checked_mul(*dim)).ok_or_else(too_large)?;
    let row = match &input.data {
        WarmupData::File(name) => {
            let path = format!("warmup/{name}");
            let Some(files) = files else { return Err(Error::not_found(format!("file '{path}': not found"))) };
            Some(files.read(&path)?)
        }
        WarmupData::Zero | WarmupData::Random => None,
    };
    let repeated = row.map(|row| row.repeat(batch.unwrap_or(1)));
    if input.data_type == DataType::Bytes {
        return match repeated {
            Some(wire_form) => wire::read(&wire_form, shape, &services.blocks),
            None => Tensor::from_strings(strings(&input.data, elements), shape),
        };
    }
    let len = elements.checked_mul(input.data_type.size().unwrap_or(1)).ok_or_else(too_large)?;
    let bytes = match repeated {
        Some(bytes) if bytes.len() == len => bytes,
        Some(bytes) => {
            let rows = batch.unwrap_or(1).max(1);
            let message = format!("found a file of {} bytes, expected {}", bytes.len() / rows, len / rows);
            return Err(Error::invalid_arg(message));
        }
        None if input.data == WarmupData::Random => random_bytes(input.data_type, len),
        None => vec![0; len],
    };
    Tensor::new(input.data_type, shape, Buffer::copy_of(&bytes))
}

/// Numbers that any model takes: floats from 0 to 1, whole numbers from 0 to 127, both truths.
fn random_bytes(data_type: DataType, len: usize) -> Vec<u8> {
    let mut chance = Chance(len as u64);
    let size = data_type.size().unwrap_or(1);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let bits = chance.next();
        let unit = (bits >> 40) as f32 / (1u64 << 24) as f32;
        match data_type {
            DataType::Fp64 => bytes.extend(f64::from(unit).to_le_bytes()),
            DataType::Fp32 => bytes.extend(unit.to_le_bytes()),
            // The upper half of a binary32 is a bfloat16; of the two bytes of a binary16, exponents up to 14 stay below 1.
            DataType::Bf16 => bytes.extend(&unit.to_le_bytes()[2..]),
            DataType::Fp16 => bytes.extend(((bits % (15 << 10)) as u16).to_le_bytes()),
            DataType::Bool => bytes.push((bits & 1) as u8),
            _ => {
                bytes.push((bits % 128) as u8);
                bytes.resize(bytes.len() + size - 1, 0);
            }
        }
    }
    bytes
}

fn strings(data: &WarmupData, count: usize) -> Vec<String> {
    let mut chance = Chance(count as u64);
    let letter = |chance: &mut Chance| char::from(b'a' + (chance.next() % 26) as u8);
    let random = |chance: &mut Chance| (0..RANDOM_STRING_LEN).map(|_| letter(chance)).collect();
    (0..count).map(|_| if *data == WarmupData::Random { random(&mut chance) } else { String::new() }).collect()
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn random_data_fits_its_type() {
        for data_type in DataType::all().filter(|data_type| *data_type != DataType::Bytes) {
            let size = data_type.size().unwrap_or(1);
            let bytes = random_bytes(data_type, 16 * size);
            assert_eq!(bytes.len(), 16 * size, "{data_type:?}");
            assert!(bytes.iter().any(|byte| *byte != 0), "{data_type:?}");
        }
        let floats = random_bytes(DataType::Fp32, 400);
        assert!(floats.chunks_exact(4).all(|chunk| {
            let value = f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
            (0.0..1.0).contains(&value)
        }));
        assert!(random_bytes(DataType::Bool, 64).iter().all(|byte| *byte <= 1));
        let halves = random_bytes(DataType::Fp16, 64);
        assert!(halves.chunks_exact(2).all(|chunk| u16::from_le_bytes([chunk[0], chunk[1]]) < 0x3c00), "below 1");
    }

    #[test]
    fn strings_are_empty_or_letters() {
        assert_eq!(strings(&WarmupData::Zero, 2), ["", ""]);
        let random = strings(&WarmupData::Random, 3);
        assert!(random.iter().all(|text| text.len() == RANDOM_STRING_LEN) && random[0] != random[1]);
    }
}
