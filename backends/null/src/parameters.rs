//! The parameters of a null model: read once at load, applied at every execution. Pure, but for the wait itself.

use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// How long an execution takes, how it passes the time, and when it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Parameters {
    /// Whether anything below differs from its default; one test on the hot path instead of four.
    pub(crate) active: bool,
    base: Duration,
    per_row: Duration,
    delay: Delay,
    fail_every: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Delay {
    #[default]
    Sleep,
    Burn,
}

impl Parameters {
    /// # Errors
    /// `INVALID_ARG` naming the parameter whose value is not what it should be.
    pub(crate) fn read(from: &BTreeMap<String, String>) -> Result<Self, Error> {
        let base = micros(from, "delay_us")?.saturating_add(micros(from, "latency_base_us")?);
        let per_row = micros(from, "latency_row_us")?;
        let delay = match from.get("delay").map(|text| text.trim()) {
            None | Some("sleep") => Delay::Sleep,
            Some("burn") => Delay::Burn,
            Some(other) => return Err(refused("delay", other, "sleep or burn")),
        };
        let fail_every = number::<u64>(from, "fail_every", "a whole number")?.unwrap_or(0);
        let active = !base.is_zero() || !per_row.is_zero() || fail_every != 0;
        Ok(Parameters { active, base, per_row, delay, fail_every })
    }

    /// Lets the time of execution number `count` (from 1) over `rows` rows pass, then fails if it is its turn.
    ///
    /// # Errors
    /// `INTERNAL` at every `fail_every`-th execution.
    pub(crate) fn apply(&self, count: u64, rows: usize) -> Result<(), Error> {
        self.wait(self.latency(rows));
        if self.fail_every != 0 && count.is_multiple_of(self.fail_every) {
            return Err(Error::fixed(ErrorKind::Internal, "null backend: fails as its parameter `fail_every` says"));
        }
        Ok(())
    }

    fn latency(&self, rows: usize) -> Duration {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        self.base.saturating_add(self.per_row.saturating_mul(rows))
    }

    fn wait(&self, latency: Duration) {
        match self.delay {
            _ if latency.is_zero() => {}
            Delay::Sleep => std::thread::sleep(latency),
            Delay::Burn => {
                let start = Instant::now();
                while start.elapsed() < latency {
                    std::hint::spin_loop();
                }
            }
        }
    }
}

fn micros(from: &BTreeMap<String, String>, name: &str) -> Result<Duration, Error> {
    let wanted = "microseconds, 0 or more";
    let Some(micros) = number::<f64>(from, name, wanted)? else { return Ok(Duration::ZERO) };
    Duration::try_from_secs_f64(micros / 1e6).map_err(|_| refused(name, &micros.to_string(), wanted))
}

fn number<T: FromStr>(from: &BTreeMap<String, String>, name: &str, wanted: &str) -> Result<Option<T>, Error> {
    let Some(text) = from.get(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| refused(name, text, wanted))
}

fn refused(name: &str, found: &str, wanted: &str) -> Error {
    Error::invalid_arg(format!("parameter '{name}': found '{found}', expected {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Parameters, Error> {
        Parameters::read(&pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn latency_is_a_plus_b_times_rows() {
        for (pairs, rows, micros) in [
            (&[][..], 9, 0.0),
            (&[("delay_us", "30")], 9, 30.0),
            (&[("latency_base_us", "100"), ("latency_row_us", "2.5")], 4, 110.0),
            (&[("delay_us", "1"), ("latency_base_us", "2"), ("latency_row_us", "3")], 1, 6.0),
        ] {
            let parameters = read(pairs).unwrap();
            assert_eq!(parameters.latency(rows), Duration::from_secs_f64(micros / 1e6), "{pairs:?}");
            assert_eq!(parameters.active, micros != 0.0, "{pairs:?}");
        }
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        for (name, value) in [
            ("delay_us", "-1"),
            ("latency_row_us", "NaN"),
            ("latency_base_us", "1e300"),
            ("delay", "doze"),
            ("fail_every", "1.5"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg);
            assert!(error.message().contains(name) && error.message().contains("expected"), "{error}");
        }
    }

    #[test]
    fn every_nth_execution_fails() {
        let parameters = read(&[("fail_every", "3")]).unwrap();
        let failures: Vec<u64> = (1..=9).filter(|count| parameters.apply(*count, 1).is_err()).collect();
        assert_eq!(failures, [3, 6, 9]);
    }

    #[test]
    fn burning_takes_at_least_its_time() {
        let parameters = read(&[("delay_us", "200"), ("delay", "burn")]).unwrap();
        let start = Instant::now();
        parameters.apply(1, 1).unwrap();
        assert!(start.elapsed() >= Duration::from_micros(200));
    }
}
