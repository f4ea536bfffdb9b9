//! The suite that every backend must pass, and the small host that drives it.
//!
//! ```text
//!   Case: backend + files + config + examples
//!     `-- run -> for each named check: load, make instances, execute a TestBatch, compare
//!                  `-- Report: what passed, what did not apply, every failure
//! ```
//!
//! The suite plays the engine in its simplest form: [`TestBatch`] gathers requests, tracks which were taken, and fails a
//! check when a request is answered never or twice, or when its inputs are held on to after they should be let go.
//! Checks are independent of each other, load the model anew, and run one after the other on the calling thread (some
//! start threads of their own); a panic counts as a failure of its check.
//!
//! # Examples
//! A backend's own test, in full (with `inferlay-backend-sdk`'s feature `conformance` in `dev-dependencies`):
//! ```no_run
//! use inferlay_backend_sdk::conformance::{Case, Example, run};
//! use inferlay_backend_sdk::Tensor;
//! # fn test(my_backend: fn() -> Box<dyn inferlay_backend_sdk::Backend>) {
//! let example = Example {
//!     inputs: vec![Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap()],
//!     outputs: vec![Tensor::from_vec(vec![3.0f32], [1, 1]).unwrap()],
//! };
//! let case = Case::new(my_backend(), vec![example]).with_file("model.onnx", vec![0; 8]);
//! run(&case).assert_passed();
//! # }
//! ```

mod case;
mod checks;
mod compare;
mod files;
mod host;
mod loading;
mod reply;
mod request;

pub use case::{Case, Example};
pub use compare::difference;
pub use files::MemoryFiles;
pub use host::{TestBatch, TestHost};
pub use reply::Outputs;
pub use request::TestRequest;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a check found: it passed, or it does not apply to this case and says why.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Mine;
/// # impl Backend for Mine {
/// #     fn name(&self) -> &str { "mine" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
/// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
/// #         let len = source.files.read(source.file_name)?.len();
/// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
/// #     }
/// # }
/// let (_name, first) = CHECKS[0];
/// let case = Case::new(Box::new(Mine), Vec::new());
/// assert!(first(&case).is_err_and(|fault| fault.starts_with("load: ")));
/// assert_ne!(Verdict::Passed, Verdict::Skipped("the model has no file"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The backend does as it should.
    Passed,
    /// The check has nothing to test here.
    Skipped(&'static str),
}

/// One check: what went wrong, as a sentence, if anything did.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Mine;
/// # impl Backend for Mine {
/// #     fn name(&self) -> &str { "mine" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
/// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
/// #         let len = source.files.read(source.file_name)?.len();
/// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
/// #     }
/// # }
/// // A check of one's own beside those of the suite.
/// let has_a_version: Check = |case| match case.backend.version() {
///     "" => Err("found no version".to_owned()),
///     _ => Ok(Verdict::Passed),
/// };
/// assert_eq!(has_a_version(&Case::new(Box::new(Mine), Vec::new())), Ok(Verdict::Passed));
/// ```
pub type Check = fn(&Case) -> Result<Verdict, String>;

/// Every check with its name, in the order in which [`run`] makes them.
pub const CHECKS: &[(&str, Check)] = &[
    ("the_signature_is_sane", loading::the_signature_is_sane),
    ("the_examples_give_their_answers", checks::the_examples_give_their_answers),
    ("a_batch_answers_like_its_requests_alone", checks::a_batch_answers_like_its_requests_alone),
    ("an_instance_survives_an_error", checks::an_instance_survives_an_error),
    ("instances_agree_across_threads", checks::instances_agree_across_threads),
    ("an_instance_moves_between_threads", checks::an_instance_moves_between_threads),
    ("every_request_is_answered_once", checks::every_request_is_answered_once),
    ("zero_rows_are_answered_or_refused", checks::zero_rows_are_answered_or_refused),
    ("outputs_not_wanted_may_be_left_out", checks::outputs_not_wanted_may_be_left_out),
    ("inputs_are_let_go", checks::inputs_are_let_go),
    ("outputs_outlive_instance_and_model", checks::outputs_outlive_instance_and_model),
    ("an_unknown_file_is_refused", loading::an_unknown_file_is_refused),
    ("a_garbage_model_is_refused", loading::a_garbage_model_is_refused),
    ("a_truncated_model_is_refused", loading::a_truncated_model_is_refused),
    ("a_damaged_model_never_panics", loading::a_damaged_model_never_panics),
];

/// Makes every check and reports them all; does not stop at the first failure.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Echo(Signature);
/// # impl Backend for Echo {
/// #     fn name(&self) -> &str { "echo" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &[] }
/// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Ok(Box::new(Echo(self.0.clone()))) }
/// # }
/// # impl Model for Echo {
/// #     fn signature(&self) -> &Signature { &self.0 }
/// #     fn instance(&self, _: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
/// #         Ok(Box::new(Echo(self.0.clone())))
/// #     }
/// # }
/// # impl Instance for Echo {
/// #     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
/// #         let x = batch.input(0, Placement::HOST)?;
/// #         batch.output(0, Tensor::new(x.dtype(), x.shape().clone(), Buffer::copy_of(x.bytes()?))?)
/// #     }
/// # }
/// # let x = TensorSpec { name: "x".into(), dtype: DataType::Fp32, dims: Some(vec![-1, 1]), optional: false };
/// # let signature = Signature { inputs: vec![x.clone()], outputs: vec![x], batches: true };
/// // The output of `Echo` is its input.
/// let x = || vec![Tensor::from_vec(vec![1.0f32], [1, 1]).unwrap()];
/// let example = Example { inputs: x(), outputs: x() };
/// let report = run(&Case::new(Box::new(Echo(signature)), vec![example]));
/// assert_eq!(report.passed.len() + report.skipped.len(), CHECKS.len());
/// ```
pub fn run(case: &Case) -> Report {
    let mut report = Report::default();
    CHECKS.iter().for_each(|(name, check)| report.make(case, name, *check));
    report
}

/// What [`run`] found.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Mine;
/// # impl Backend for Mine {
/// #     fn name(&self) -> &str { "mine" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
/// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
/// #         let len = source.files.read(source.file_name)?.len();
/// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
/// #     }
/// # }
/// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1]);
/// let report = run(&case);
/// assert!(report.passed.contains(&"a_truncated_model_is_refused"));
/// println!("{report}");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Report {
    /// The checks that passed.
    pub passed: Vec<&'static str>,
    /// The checks that do not apply, and why.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// The checks that failed.
    pub failures: Vec<Failure>,
}

/// One check that failed.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{*, conformance::*};
/// # struct Mine;
/// # impl Backend for Mine {
/// #     fn name(&self) -> &str { "mine" }
/// #     fn version(&self) -> &str { "1" }
/// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
/// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
/// #         let len = source.files.read(source.file_name)?.len();
/// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
/// #     }
/// # }
/// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1]);
/// let first = &run(&case).failures[0];
/// assert_eq!(first.check, "the_signature_is_sane");
/// assert_eq!(first.message, "load: UNSUPPORTED: mine.bin: found 1 bytes, expected none");
/// ```
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its name in [`CHECKS`].
    pub check: &'static str,
    /// What was found and what was expected.
    pub message: String,
}

impl Report {
    fn make(&mut self, case: &Case, name: &'static str, check: Check) {
        let verdict = catch_unwind(AssertUnwindSafe(|| check(case)));
        match verdict.unwrap_or_else(|panic| Err(format!("panicked: {}", panic_text(&*panic)))) {
            Ok(Verdict::Passed) => self.passed.push(name),
            Ok(Verdict::Skipped(why)) => self.skipped.push((name, why)),
            Err(message) => self.failures.push(Failure { check: name, message }),
        }
    }

    /// Whether the check of this name failed.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{*, conformance::*};
    /// # struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &["mine.bin"] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         let len = source.files.read(source.file_name)?.len();
    /// #         Err(Error::unsupported(format!("{}: found {len} bytes, expected none", source.file_name)))
    /// #     }
    /// # }
    /// let case = Case::new(Box::new(Mine), Vec::new()).with_file("mine.bin", vec![1]);
    /// let report = run(&case);
    /// assert!(report.failed("the_signature_is_sane") && !report.failed("a_garbage_model_is_refused"));
    /// ```
    pub fn failed(&self, check: &str) -> bool {
        self.failures.iter().any(|failure| failure.check == check)
    }

    /// Nothing, if no check failed.
    ///
    /// # Panics
    /// With all failures, if any did.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::conformance::{Failure, Report};
    /// Report::default().assert_passed();
    /// let failure = Failure { check: "the_signature_is_sane", message: "found no input".to_owned() };
    /// let report = Report { failures: vec![failure], ..Report::default() };
    /// assert!(std::panic::catch_unwind(|| report.assert_passed()).is_err());
    /// ```
    pub fn assert_passed(&self) {
        assert!(self.failures.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, skipped) = (self.passed.len(), self.skipped.len());
        write!(f, "conformance: {passed} passed, {skipped} do not apply, {} failed", self.failures.len())?;
        for (check, why) in &self.skipped {
            write!(f, "\n  {check}: does not apply: {why}")?;
        }
        for Failure { check, message } in &self.failures {
            write!(f, "\n  {check}: FAILED: {message}")?;
        }
        Ok(())
    }
}

/// The message of a caught panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a value that is no text")
}

#[cfg(test)]
mod tests;
