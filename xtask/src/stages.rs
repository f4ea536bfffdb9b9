//! Every check there is: what it runs, and how long it may take.

use crate::House;
use crate::dist;
use crate::licences;
use crate::machine;
use crate::outputs;
use crate::prometheus;
use crate::python;
use crate::report::Outcome;
use crate::sanitize;
use crate::step::{Step, Told};
use crate::wheel;

/// One check, or one kind of tests.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// What it shows, in a few words.
    pub(crate) what: &'static str,
    /// How long it may take from a fresh clone on two cores. Passing it is a warning, not a failure.
    pub(crate) minutes: u64,
    pub(crate) run: fn(&House) -> Outcome,
}

/// The stages of `cargo xtask test`, in order: cheap ones first, and each build before what runs it.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "fmt", what: "the code is formatted", minutes: 1, run: fmt },
    Stage { name: "licences", what: "every dependency's licence and source is allowed", minutes: 1, run: licences },
    Stage { name: "python", what: "Python, with the test data of ONNX", minutes: 1, run: python },
    Stage { name: "clippy", what: "lints, with and without tract", minutes: 4, run: clippy },
    Stage { name: "build", what: "everything builds, tests included", minutes: 8, run: build },
    Stage { name: "test", what: "unit, integration and documentation tests", minutes: 6, run: test },
    Stage { name: "loom", what: "every interleaving of the models `loom_*`", minutes: 5, run: loom },
    Stage { name: "doc", what: "the documentation has no dead links", minutes: 2, run: doc },
    Stage { name: "quickstart", what: "the first example classifies digits", minutes: 1, run: quickstart },
    Stage {
        name: "dist",
        what: "C and C++ programs build with what is installed, and run",
        minutes: 4,
        run: dist::check::stage,
    },
    Stage {
        name: "wheel",
        what: "the Python package, installed and tested on every Python there is",
        minutes: 9,
        run: wheel::stage,
    },
    Stage {
        name: "sanitize",
        what: "plugins under ASan, many threads under TSan",
        minutes: 3,
        run: sanitize::sanitize,
    },
    Stage { name: "fuzz", what: "config, plugin tables and the C door for a minute", minutes: 2, run: sanitize::fuzz },
    Stage { name: "benches", what: "the benchmark runs and reports its cases", minutes: 3, run: benches },
];

/// The stages of `cargo xtask soak`.
pub(crate) const SOAK: &[Stage] = &[
    Stage { name: "soak", what: "the long forms of the tests `soak_*`, in release", minutes: 120, run: soak },
    Stage { name: "loom", what: "the models `loom_*`, with more preemptions", minutes: 120, run: loom },
    Stage { name: "python", what: "the long forms of the tests of the Python package", minutes: 60, run: wheel::soak },
    Stage { name: "fuzz", what: "the fuzz targets, five minutes each", minutes: 25, run: sanitize::fuzz_long },
];

/// What the build that most stages share selects. Another selection of features would build tract again.
pub(crate) const EVERYTHING: &str = "--workspace --all-features";

/// The packages that build without tract.
const WITHOUT_TRACT: &str =
    "-p inferlay -p inferlay-backend-sdk -p inferlay-backend-null -p inferlay-cli --no-default-features";

fn fmt(house: &House) -> Outcome {
    machine::component(house, "rustfmt", "fmt").and_then(|()| one(Step::cargo(house, "fmt --all -- --check"))).into()
}

fn licences(house: &House) -> Outcome {
    licences::check(house).into()
}

fn python(house: &House) -> Outcome {
    python::check(house).into()
}

fn clippy(house: &House) -> Outcome {
    let all = Step::cargo(house, &format!("clippy {EVERYTHING} --all-targets -- -D warnings"));
    let without = Step::cargo(house, &format!("clippy {WITHOUT_TRACT} --all-targets -- -D warnings"));
    let run = || machine::component(house, "clippy", "clippy").and(one(all)).and(one(without));
    run().into()
}

fn build(house: &House) -> Outcome {
    one(Step::cargo(house, &format!("test {EVERYTHING} --no-run"))).into()
}

fn test(house: &House) -> Outcome {
    let step = with_python(house, Step::cargo(house, &format!("test {EVERYTHING} --no-fail-fast")));
    let step = with_store(house, step);
    let step = with_prometheus(house, step);
    tests(if house.full { step.env("INFERLAY_SOAK", "1") } else { step })
}

/// The same with what tests that need Python want to know.
fn with_python(house: &House, step: Step) -> Step {
    match python::variables(house) {
        Ok(variables) => variables.into_iter().fold(step, |step, (name, value)| step.env(name, value)),
        Err(why) => {
            println!("the tests that need Python do without: {why}");
            step
        }
    }
}

/// The same with what tests that need an object store want to know.
fn with_store(house: &House, step: Step) -> Step {
    match python::store(house) {
        Ok((name, program)) => step.env(name, program),
        Err(why) => {
            println!("the tests that need an object store do without: {why}");
            step
        }
    }
}

/// The same with the folder of Prometheus.
pub(crate) fn with_prometheus(house: &House, step: Step) -> Step {
    match prometheus::folder(house) {
        Ok(Some(folder)) => step.env(prometheus::VARIABLE, folder),
        Ok(None) => step,
        Err(why) => {
            println!("*** THE TESTS THAT NEED PROMETHEUS DO WITHOUT: {why}");
            step
        }
    }
}

/// Loom is built into a folder of its own, as its flag changes every crate.
fn loom(house: &House) -> Outcome {
    let preemptions = std::env::var("LOOM_MAX_PREEMPTIONS");
    let preemptions = preemptions.unwrap_or_else(|_| if house.full { "3" } else { "2" }.to_owned());
    let step = Step::cargo(house, "test -p inferlay --no-default-features --lib --release -- loom_")
        .env("CARGO_TARGET_DIR", house.target.join("loom"))
        .env("LOOM_MAX_PREEMPTIONS", preemptions)
        .env("RUSTFLAGS", "--cfg loom");
    tests(step)
}

fn doc(house: &House) -> Outcome {
    one(Step::cargo(house, &format!("doc {EVERYTHING} --no-deps")).env("RUSTDOCFLAGS", "-D warnings")).into()
}

/// The example is built as the tests are, so that tract is not compiled again; users run it in release.
fn quickstart(house: &House) -> Outcome {
    let run = || {
        one(Step::cargo(house, &format!("build {EVERYTHING} --example quickstart")))?;
        let told = Step::new(house, house.target.join("debug/examples/quickstart")).tell();
        told.end?;
        outputs::quickstart(&told.text)
    };
    run().into()
}

/// In release, as a benchmark says nothing otherwise, but without tract, which takes minutes to optimise.
fn benches(house: &House) -> Outcome {
    let length = if house.full { "" } else { " --short" };
    let told = Step::cargo(house, &format!("run --release -p inferlay-benches -- overhead --json{length}")).tell();
    told.end.and_then(|()| outputs::overhead(&told.text)).into()
}

fn soak(house: &House) -> Outcome {
    let packages = format!("{WITHOUT_TRACT} -p inferlay-backend-onnxruntime");
    // With what they print: growth, answers and states say more than that they passed.
    let step =
        Step::cargo(house, &format!("test {packages} --release -- soak_ --show-output")).env("INFERLAY_SOAK", "1");
    let told = with_python(house, step).env("RUST_BACKTRACE", "0").hear();
    let figures = outputs::figures(&told.text).iter().map(|line| format!("\n    {line}")).collect();
    judged(told, figures)
}

/// A step that is one check.
fn one(step: Step) -> Result<String, String> {
    step.run().map(|()| String::new())
}

/// A step that runs tests, each of them a check. That none ran is a failure: a filter has lost its tests.
fn tests(step: Step) -> Outcome {
    // Tests that make something panic on purpose say so on every run; where, is enough.
    judged(step.env("RUST_BACKTRACE", "0").hear(), String::new())
}

fn judged(told: Told, remark: String) -> Outcome {
    let (passed, failed) = outputs::tests(&told.text);
    match told.end {
        Ok(()) if passed > 0 => Outcome::Passed { checks: passed, remark },
        Ok(()) => Outcome::from(Err("no test ran".to_owned())),
        Err(why) => Outcome::Failed { passed, failed: failed.max(1), why },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_fit_into_fifty_minutes() {
        let minutes: u64 = STAGES.iter().map(|stage| stage.minutes).sum();
        assert!(minutes <= 50, "{minutes}");
    }

    #[test]
    fn every_stage_has_a_name_of_its_own() {
        for (at, stage) in STAGES.iter().enumerate() {
            assert!(STAGES[..at].iter().all(|other| other.name != stage.name), "{}", stage.name);
        }
    }
}
