//! The one error type, from a backend's depths to the caller: a kind with a fixed number, and a message.

use std::borrow::Cow;
use std::fmt;

/// What kind of failure it is; the numbers are the codes of the C API and never change.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, ErrorKind};
/// let may_try_again = |error: &Error| matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::ResourceExhausted);
/// assert!(may_try_again(&Error::unavailable("the model is being loaded")));
/// assert!(!may_try_again(&Error::invalid_arg("found INT32, expected FP32")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing better is known.
    Unknown = 0,
    /// The engine or a backend broke a promise of its own.
    Internal = 1,
    /// No model, version, input, output or file has this name.
    NotFound = 2,
    /// The caller's value is wrong; the message says where, what was found and what was expected.
    InvalidArg = 3,
    /// The model or the server does not serve now.
    Unavailable = 4,
    /// Neither the engine nor the backend can do this.
    Unsupported = 5,
    /// The name is taken.
    AlreadyExists = 6,
    /// The caller cancelled the request.
    Cancelled = 7,
    /// The deadline passed.
    Timeout = 8,
    /// A bound was reached: queue length, memory budget, number of instances.
    ResourceExhausted = 9,
    /// The call is right but not now or not here, such as a blocking call inside a callback.
    FailedPrecondition = 10,
    /// Code of a backend, callback or closure panicked; it was contained.
    Panic = 11,
    /// Said by [`crate::Instance::execute`] and by functions that are models: this instance will execute nothing any more,
    /// as its device, process or connection is gone. It is given no further batch; whoever asked is told UNAVAILABLE. A model
    /// without instances does not serve until it is loaded anew. Not for what the next request may be spared.
    InstanceLost = 12,
}

impl ErrorKind {
    /// The name that the C API, logs and statistics use, such as `INVALID_ARG`.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay_backend_sdk::ErrorKind::InvalidArg.name(), "INVALID_ARG");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Unknown => "UNKNOWN",
            ErrorKind::Internal => "INTERNAL",
            ErrorKind::NotFound => "NOT_FOUND",
            ErrorKind::InvalidArg => "INVALID_ARG",
            ErrorKind::Unavailable => "UNAVAILABLE",
            ErrorKind::Unsupported => "UNSUPPORTED",
            ErrorKind::AlreadyExists => "ALREADY_EXISTS",
            ErrorKind::Cancelled => "CANCELLED",
            ErrorKind::Timeout => "TIMEOUT",
            ErrorKind::ResourceExhausted => "RESOURCE_EXHAUSTED",
            ErrorKind::FailedPrecondition => "FAILED_PRECONDITION",
            ErrorKind::Panic => "PANIC",
            ErrorKind::InstanceLost => "INSTANCE_LOST",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A failure: its [`ErrorKind`] and a message that names the place, what was found and what was expected.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::NotFound, "model 'digit': not found; known: digits");
/// assert_eq!(error.to_string(), "NOT_FOUND: model 'digit': not found; known: digits");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
}

impl Error {
    /// An error of `kind`; a literal message allocates nothing.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::ResourceExhausted, format!("device {}: no memory left", 0));
    /// assert_eq!(error.to_string(), "RESOURCE_EXHAUSTED: device 0: no memory left");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error { kind, message: message.into() }
    }

    /// A refusal with a fixed message, for constants.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// const GONE: Error = Error::fixed(ErrorKind::Unavailable, "the device is gone");
    /// assert_eq!(GONE.message(), "the device is gone");
    /// ```
    pub const fn fixed(kind: ErrorKind, message: &'static str) -> Self {
        Error { kind, message: Cow::Borrowed(message) }
    }

    /// An [`ErrorKind::InvalidArg`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// assert_eq!(Error::invalid_arg("found 3, expected 2").kind(), ErrorKind::InvalidArg);
    /// ```
    pub fn invalid_arg(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArg, message)
    }

    /// An [`ErrorKind::Internal`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// assert_eq!(Error::internal("the framework gave no output").kind(), ErrorKind::Internal);
    /// ```
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An [`ErrorKind::NotFound`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// assert_eq!(Error::not_found("input 'y' not found; known: x").kind(), ErrorKind::NotFound);
    /// ```
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// An [`ErrorKind::Unsupported`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// assert_eq!(Error::unsupported("operator 'Foo' is not known").kind(), ErrorKind::Unsupported);
    /// ```
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An [`ErrorKind::Unavailable`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// assert_eq!(Error::unavailable("the device is gone").kind(), ErrorKind::Unavailable);
    /// ```
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// What kind of failure it is.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind};
    /// let error = Error::not_found("no such file").at("model 'a'");
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the kind.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Error;
    /// let error = Error::not_found("no such file");
    /// assert_eq!((error.message(), &error.to_string()[..]), ("no such file", "NOT_FOUND: no such file"));
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure seen from further out: `place: message`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Error;
    /// assert_eq!(Error::internal("no weights").at("model 'a'").message(), "model 'a': no weights");
    /// ```
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Error { kind: self.kind, message: format!("{place}: {}", self.message).into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}
