//! What is measured: cases, each a closed loop of its own kind, in turn, round after round.
//!
//! Whatever else the machine does falls on all cases alike. Each measurement begins with a warm-up that is not counted.

use crate::arguments::Arguments;
use crate::measure::Figures;
use std::time::{Duration, Instant};

pub(crate) type CaseError = Box<dyn std::error::Error>;

/// A closed loop of one kind.
pub(crate) trait Case {
    fn name(&self) -> &'static str;

    /// Figures of `requests` requests, after `warm_up` others.
    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError>;
}

/// Requests that a measurement is preceded by: at least these, unless it has no more itself.
const WARM_UP_MIN: usize = 256;

/// Measures the cases that were asked for: the figures of each case, round by round.
pub(crate) fn measure(mut cases: Vec<Box<dyn Case>>, arguments: &Arguments) -> Result<Vec<Vec<Figures>>, CaseError> {
    if let Some(wanted) = &arguments.case {
        cases.retain(|case| case.name() == wanted);
        if cases.is_empty() {
            return Err(format!("--case: no case is called '{wanted}'").into());
        }
    }
    let (rounds, slice) = if arguments.is_short { (3, 10) } else { (11, 200) };
    let mut requests = Vec::with_capacity(cases.len());
    for case in &mut cases {
        requests.push(match arguments.requests {
            Some(requests) => requests,
            None => requests_within(Duration::from_millis(slice), case.as_mut())?,
        });
    }
    let mut figures = vec![Vec::new(); cases.len()];
    for round in 0..arguments.rounds.unwrap_or(rounds) {
        for turn in 0..cases.len() {
            // Another case begins each round, so that none always follows the same one.
            let index = (round + turn) % cases.len();
            let warm_up = (requests[index] / 20).max(WARM_UP_MIN.min(requests[index] / 2));
            figures[index].push(cases[index].measure(warm_up, requests[index])?);
        }
    }
    Ok(figures)
}

/// How many requests fill `slice`: found by more and more of them, so that a slow case is not run for minutes.
fn requests_within(slice: Duration, case: &mut dyn Case) -> Result<usize, CaseError> {
    let mut probed = 16;
    loop {
        let begun = Instant::now();
        case.measure(0, probed)?;
        let took = begun.elapsed();
        if took > slice / 8 {
            return Ok((slice.as_secs_f64() / took.as_secs_f64() * probed as f64) as usize + 1);
        }
        probed *= 4;
    }
}
