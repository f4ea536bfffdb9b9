//! Chaos: eight clients, short queues, and everything that can go wrong, at once and in an order that no test would think
//! of. Every request is answered once, every borrow is released once, and every answer that is right is right.
//!
//! The first byte of a row says what becomes of its batch: it computes, fails, panics or hangs for a while. The last byte
//! is a checksum, so that a model which reads memory that was given back, and poisoned then, is caught.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

#[path = "../common/mod.rs"]
mod common;
mod ledger;

use common::custom::Custom;
use common::{Chance, Folder, PATIENCE, block_on, eventually};
use inferlay::config::DynamicBatching;
use inferlay::{
    Buffer, CallerRuns, CancelToken, DataType, Error, Input, ModelBatch, ModelConfig, ModelHandle, Request, Response,
    ServerHandle, Tensor,
};
use inferlay_backend_sdk::{Attributes, Batch, Release, Request as Taken, ResponseFlags};
use ledger::{Ledger, Owned, Receipt, Why};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Once, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 8;
const SEEDS: u64 = 20;
const ROW: usize = 8;
const POISON: u8 = 0xff;
const FAILS: u8 = 1;
const PANICS: u8 = 2;
const HANGS: u8 = 3;
const REFUSES_ONE: u8 = 4;

fn rows(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + chance.below(3) {
        let mut row = chance.number().to_le_bytes();
        row[0] = match chance.below(400) {
            0..4 => FAILS,
            4..8 => PANICS,
            8..12 => HANGS,
            12..20 => REFUSES_ONE,
            _ => 0,
        };
        row[ROW - 1] = checksum(&row);
        bytes.extend(row);
    }
    bytes
}

fn checksum(row: &[u8]) -> u8 {
    row[..ROW - 1].iter().fold(0x5a, |sum, byte| sum ^ byte)
}

fn expected(input: &[u8]) -> Vec<u8> {
    input.iter().map(|byte| byte.wrapping_mul(3).wrapping_add(1)).collect()
}

fn model(ledger: &Ledger, batch: &ModelBatch<'_>) -> Result<(), Error> {
    let x = batch.input("x")?.as_slice::<u8>()?;
    let mut request_of_row = (0..batch.len()).flat_map(|index| vec![index; batch.request(index).rows()]);
    for row in x.chunks(ROW) {
        if row[ROW - 1] != checksum(row) {
            ledger.poison_seen.fetch_add(1, Ordering::SeqCst);
        }
        let request = request_of_row.next().unwrap_or(0);
        match row[0] {
            FAILS => return Err(Error::internal("chaos: failed")),
            PANICS => panic!("chaos: panicked"),
            HANGS => ledger.hang(),
            REFUSES_ONE => batch.fail(request, Error::internal("chaos: this one failed")),
            _ => {}
        }
    }
    let y = batch.output("y", [batch.rows(), ROW])?.as_mut_slice::<u8>()?;
    y.copy_from_slice(&expected(x));
    // What was lent must still be there at the end.
    if x.chunks(ROW).any(|row| row[ROW - 1] != checksum(row)) {
        ledger.poison_seen.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

fn configs(chance: &mut Chance) -> Vec<ModelConfig> {
    let manners = [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch];
    let config = |(index, manner): (usize, CallerRuns)| {
        let preferred_batch_sizes = if chance.once_in(2) { vec![4] } else { Vec::new() };
        let delay_us_max = [0, 0, 100, 1_000][chance.below(4) as usize];
        let batching = DynamicBatching { preferred_batch_sizes, delay_us_max, ..DynamicBatching::default() };
        ModelConfig::new(format!("m{index}"))
            .input("x", DataType::Uint8, [ROW as i64])
            .output("y", DataType::Uint8, [ROW as i64])
            .max_batch_size(8)
            .instances(2)
            .queue_size_max(16)
            .dynamic_batching(batching)
            .caller_runs(manner)
    };
    manners.into_iter().enumerate().map(config).collect()
}

const LATE: &str = "
backend: custom
max_batch_size: 8
input: {name: x, data_type: TYPE_UINT8, dims: [8]}
output: {name: y, data_type: TYPE_UINT8, dims: [8]}
instance_group: {count: 2}
dynamic_batching: {default_queue_policy: {max_queue_size: 16}}
";

/// A backend that takes every request and hands it to the postman.
fn late(postman: mpsc::Sender<Taken>) -> Custom {
    let postman = Mutex::new(postman);
    let execute = move |batch: &dyn Batch| {
        for index in 0..batch.len() {
            let taken = batch.take(index)?;
            if postman.lock().unwrap().send(taken).is_err() {
                return Err(Error::internal("chaos: the postman has left"));
            }
        }
        Ok(())
    };
    Custom { attributes: Attributes::CALLER_OK, in_flight_max: 3, execute: Arc::new(execute) }
}

/// The postman keeps a few requests, and answers them in any order, wrongly, twice, or never.
fn deliver(letters: &mpsc::Receiver<Taken>, ledger: &Ledger, mut chance: Chance) {
    let mut bag: Vec<Taken> = Vec::new();
    loop {
        match letters.recv_timeout(Duration::from_micros(200)) {
            Ok(taken) => bag.push(taken),
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) if bag.is_empty() => continue,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if bag.len() > 4 || chance.once_in(2) {
            let index = chance.below(bag.len() as u64) as usize;
            answer_late(bag.swap_remove(index), ledger, &mut chance);
        }
    }
}

fn answer_late(taken: Taken, ledger: &Ledger, chance: &mut Chance) {
    let responder = taken.responder();
    let x = taken.info().input(0).unwrap();
    let bytes = x.as_slice::<u8>().unwrap();
    if bytes.chunks(ROW).any(|row| row[ROW - 1] != checksum(row)) {
        ledger.poison_seen.fetch_add(1, Ordering::SeqCst);
    }
    let y = Tensor::from_vec(expected(bytes), x.shape().clone()).unwrap();
    match chance.below(40) {
        0 => responder.fail(Error::internal("chaos: too late")),
        1 => drop((taken, responder)),
        2 => taken.release(Release::Done),
        3 => {
            responder.send([(0, y.clone())], ResponseFlags { last: true }).unwrap();
            assert!(responder.send([(0, y)], ResponseFlags { last: true }).is_err());
        }
        4 => {
            taken.release(Release::Done);
            responder.respond([(0, y)]).unwrap();
        }
        _ => responder.respond([(0, y)]).unwrap(),
    }
}

/// One client: its own chance, the shared ledger.
struct Client {
    chance: Chance,
    ledger: Arc<Ledger>,
    models: Vec<ModelHandle>,
}

impl Client {
    fn run(mut self, requests: u64) {
        for _ in 0..requests {
            self.ledger.end_hangs();
            let model = self.models[self.chance.below(4) as usize].clone();
            match self.chance.below(4) {
                0 | 1 => self.borrow(&model),
                2 => self.future(&model),
                // Now and then more at once than the queue holds.
                _ if self.chance.once_in(16) => (0..24).for_each(|_| self.callback(&model)),
                _ => self.callback(&model),
            }
            if self.chance.once_in(8) {
                let token = self.ledger.tokens.lock().unwrap().pop();
                token.iter().for_each(CancelToken::cancel);
            }
        }
    }

    /// Adds what may go wrong.
    fn spice<'a>(&mut self, mut request: Request<'a>) -> (Request<'a>, Why) {
        self.ledger.submitted.fetch_add(1, Ordering::SeqCst);
        let mut why = Why { has_deadline: false, has_cancel: false };
        if self.chance.once_in(4) {
            why.has_deadline = true;
            let us = [0, 20, 200, 2_000, 60_000_000][self.chance.below(5) as usize];
            request = request.timeout(Duration::from_micros(us));
        } else if self.chance.once_in(16) {
            why.has_deadline = true;
            request = request.deadline(Instant::now() - Duration::from_millis(1));
        }
        if self.chance.once_in(5) {
            why.has_cancel = true;
            let token = CancelToken::new();
            if self.chance.once_in(8) {
                token.cancel();
            }
            request = request.cancel_with(&token);
            self.ledger.tokens.lock().unwrap().push(token);
        }
        (request, why)
    }

    fn borrow(&mut self, model: &ModelHandle) {
        let mut input = rows(&mut self.chance);
        let copy = input.clone();
        let mut memory = vec![0u8; input.len()];
        let into = self.chance.once_in(2);
        let borrowed = Input::from_slice(&input, [copy.len() / ROW, ROW]).unwrap();
        let (mut request, why) = self.spice(Request::new().input("x", borrowed));
        if into {
            request = request.output_into("y", &mut memory);
        }
        let outcome = model.infer(request).map(|response| response.slice::<u8>("y").map(<[u8]>::to_vec).ok());
        input.fill(POISON);
        let outcome = outcome.map(|found| if into { Some(memory.clone()) } else { found.or(Some(Vec::new())) });
        // Nothing may be written here any more either; a late write is seen by the next owner of the memory at the latest.
        memory.fill(POISON);
        self.ledger.judge(outcome, &copy, why);
        assert!(input.iter().chain(&memory).all(|byte| *byte == POISON), "written after the release");
    }

    fn owned(&mut self) -> (Request<'static>, Vec<u8>, Why) {
        let input = rows(&mut self.chance);
        self.ledger.inputs_alive.fetch_add(1, Ordering::SeqCst);
        let owner = Arc::new(Owned(input.clone(), self.ledger.clone()));
        let buffer = Buffer::from_arc(owner, |owned| &owned.0);
        let tensor = Tensor::new(DataType::Uint8, [input.len() / ROW, ROW], buffer).unwrap();
        let (request, why) = self.spice(Request::new().input("x", tensor));
        (request, input, why)
    }

    fn future(&mut self, model: &ModelHandle) {
        let (request, input, mut why) = self.owned();
        let future = match model.infer_async(request) {
            Ok(future) => future,
            Err(refused) => return self.ledger.judge(Err(refused.error), &input, why),
        };
        if self.chance.once_in(6) {
            why.has_cancel = true;
            future.cancel();
        }
        let outcome = match self.chance.below(6) {
            0 | 1 => future.wait(),
            2 | 3 => block_on(future),
            4 => {
                let mut future = pin!(future);
                let _first = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                return self.ledger.count("dropped");
            }
            _ => return self.ledger.count("dropped"),
        };
        self.ledger.judge(outcome.map(|response| Some(bytes(&response))), &input, why);
    }

    fn callback(&mut self, model: &ModelHandle) {
        let (request, input, why) = self.owned();
        self.ledger.callbacks_open.fetch_add(1, Ordering::SeqCst);
        let mut receipt = Receipt(self.ledger.clone(), false);
        let own = input.clone();
        let refused = model.infer_callback(request, move |outcome| {
            if receipt.0.stop_ended.load(Ordering::SeqCst) {
                receipt.0.called_after_stop.fetch_add(1, Ordering::SeqCst);
            }
            receipt.1 = true;
            receipt.0.judge(outcome.map(|response| Some(bytes(&response))), &own, why);
        });
        if let Err(refused) = refused {
            // The callback went with its receipt, uncalled, as it should.
            self.ledger.callbacks_lost.fetch_sub(1, Ordering::SeqCst);
            self.ledger.judge(Err(refused.error), &input, why);
        }
    }
}

fn bytes(response: &Response) -> Vec<u8> {
    response.slice::<u8>("y").unwrap().to_vec()
}

/// One storm with one seed. The server is stopped somewhere in its second half.
fn storm(seed: u64, requests: u64) -> BTreeMap<String, u64> {
    let mut chance = Chance::new(seed);
    let ledger = Arc::new(Ledger::default());
    let folder = Folder::with(&[("late/config.yaml", LATE)]);
    let (postman, letters) = mpsc::channel();
    let builder = ServerHandle::builder().repository(folder.path()).strict().backend(Arc::new(late(postman)));
    let server = builder.start().unwrap();
    let (post_ledger, post_chance) = (ledger.clone(), Chance::new(seed ^ 0xffff));
    let post = thread::spawn(move || deliver(&letters, &post_ledger, post_chance));
    let register = |config| {
        let ledger = ledger.clone();
        server.register_model(config, move |batch| model(&ledger, batch)).unwrap()
    };
    let mut models: Vec<_> = configs(&mut chance).into_iter().map(register).collect();
    models.push(server.model("late").unwrap());
    let (send, done) = mpsc::channel();
    let clients = (0..CLIENTS).map(|index| {
        let chance = Chance::new(seed ^ (index + 1) << 32);
        let (client, send) = (Client { chance, ledger: ledger.clone(), models: models.clone() }, send.clone());
        thread::spawn(move || {
            client.run(requests / CLIENTS);
            send.send("client").unwrap();
        })
    });
    let clients: Vec<_> = clients.collect();
    let begin_at = requests / 2 + chance.below(requests / 2 - CLIENTS);
    let within = Duration::from_micros(chance.below(3) * chance.below(4_000));
    let (stopping, stop_ledger) = (server.clone(), ledger.clone());
    let stopper = thread::spawn(move || {
        eventually("the storm has begun", || stop_ledger.submitted.load(Ordering::SeqCst) >= begin_at);
        stop_ledger.stop_began.store(true, Ordering::SeqCst);
        let _some_were_left = stopping.stop(within);
        stop_ledger.stop_ended.store(true, Ordering::SeqCst);
        send.send("stopper").unwrap();
    });
    for _ in 0..=CLIENTS {
        if done.recv_timeout(4 * PATIENCE).is_err() {
            panic!("seed {seed}: {} of {requests} submitted, then nothing: {}", submitted(&ledger), state(&models));
        }
    }
    clients.into_iter().chain([stopper]).for_each(|thread| thread.join().unwrap());
    let name = format!("seed {seed}: {}", state(&models));
    eventually(&name, || ledger.callbacks_open.load(Ordering::SeqCst) == 0);
    check(seed, &ledger, &models);
    ledger.tokens.lock().unwrap().clear();
    drop((models, server));
    // The last instance of the backend went with the server, and with it the way to the postman.
    post.join().unwrap();
    // An execution that the stop abandoned lets go a moment later.
    eventually("every input is released", || ledger.inputs_alive.load(Ordering::SeqCst) == 0);
    std::mem::take(&mut ledger.outcomes.lock().unwrap())
}

fn submitted(ledger: &Ledger) -> u64 {
    ledger.submitted.load(Ordering::SeqCst)
}

fn state(models: &[ModelHandle]) -> String {
    format!("{:#?}", models.iter().map(ModelHandle::statistics).collect::<Vec<_>>())
}

/// The accounts: each request has one outcome, and the engine's own counts agree with the clients'.
fn check(seed: u64, ledger: &Ledger, models: &[ModelHandle]) {
    let outcomes = ledger.outcomes.lock().unwrap().clone();
    let wrong = ledger.wrong.lock().unwrap();
    assert!(wrong.is_empty(), "seed {seed}: {} wrong, such as {}", wrong.len(), wrong[0]);
    for (what, count) in [
        ("callbacks that were never called", &ledger.callbacks_lost),
        ("rows read after they were given back", &ledger.poison_seen),
        ("callbacks that ran after the stop", &ledger.called_after_stop),
    ] {
        assert_eq!(count.load(Ordering::SeqCst), 0, "seed {seed}: {what}");
    }
    assert_eq!(outcomes.values().sum::<u64>(), submitted(ledger), "seed {seed}: {outcomes:?}");
    let counted = |model: &ModelHandle| {
        let sums = model.statistics().unwrap();
        sums.success.count + sums.fail.count + sums.expired_count + sums.cancelled_count + sums.refused_count
    };
    let counted: u64 = models.iter().map(counted).sum();
    let outcome = |name: &str| outcomes.get(name).copied().unwrap_or(0);
    // What a stop refuses or abandons counts nowhere, and whoever drops a future does not learn what became of it.
    let most = submitted(ledger) - outcome("UNAVAILABLE");
    let least = most - outcome("dropped");
    assert!(
        (least..=most).contains(&counted),
        "seed {seed}: {counted} counted, {least}..={most} expected: {outcomes:?}"
    );
}

fn silence_chaos() {
    static SILENCED: Once = Once::new();
    SILENCED.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload_as_str().is_some_and(|said| said.starts_with("chaos")) {
                hook(info);
            }
        }));
    });
}

#[test]
fn soak_in_a_storm_every_request_is_answered_once_and_every_borrow_released_once() {
    silence_chaos();
    let requests = if std::env::var_os("INFERLAY_SOAK").is_some() { 52_000 } else { 4_000 };
    let mut seen = BTreeMap::new();
    for seed in 0..SEEDS {
        for (outcome, count) in storm(seed, requests) {
            *seen.entry(outcome).or_insert(0) += count;
        }
    }
    // A storm in which something never happens proves nothing of it.
    for outcome in ["ok", "dropped", "INTERNAL", "PANIC", "TIMEOUT", "CANCELLED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"] {
        assert!(seen.get(outcome).is_some_and(|count| *count > 20), "{outcome}: {seen:?}");
    }
}
