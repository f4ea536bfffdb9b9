//! The one error type, from a backend's depths to the caller: a kind with a fixed number, and a message.

use std::borrow::Cow;
use std::fmt;

/// What kind of failure it is; the numbers are the codes of the C API and never change.
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
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error { kind, message: message.into() }
    }

    /// A refusal with a fixed message, for constants.
    pub const fn fixed(kind: ErrorKind, message: &'static str) -> Self {
        Error { kind, message: Cow::Borrowed(message) }
    }

    /// An [`ErrorKind::InvalidArg`].
    pub fn invalid_arg(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArg, message)
    }

    /// An [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// An [`ErrorKind::NotFound`].
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// An [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// An [`ErrorKind::Unavailable`].
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the kind.
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
