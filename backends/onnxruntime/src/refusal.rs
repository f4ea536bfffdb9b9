//! How the runtime's failures become errors of ours.

use inferlay_backend_sdk::{Error, ErrorKind};
use ort::ErrorCode;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The runtime's messages may print whole graphs; more than this helps nobody.
const MESSAGE_LEN_MAX: usize = 800;

/// An error of the runtime, with the kind that its code stands for, or else `otherwise`.
pub(crate) fn refused<R>(place: &str, otherwise: ErrorKind, error: &ort::Error<R>) -> Error {
    let kind = match error.code() {
        ErrorCode::InvalidArgument | ErrorCode::InvalidProtobuf | ErrorCode::InvalidGraph | ErrorCode::NoModel => {
            ErrorKind::InvalidArg
        }
        ErrorCode::NoSuchFile => ErrorKind::NotFound,
        ErrorCode::NotImplemented => ErrorKind::Unsupported,
        ErrorCode::ExecutionProviderFailure | ErrorCode::DeviceReset => ErrorKind::Unavailable,
        _ => otherwise,
    };
    Error::new(kind, format!("{place}: {}", shortened(error.message())))
}

/// Runs `work`; a panic inside it becomes an error, because a guest must not take its host down.
///
/// # Errors
/// Its own, or `PANIC`.
pub(crate) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let literal = panic.downcast_ref::<&str>().copied();
        let text = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(Error::new(ErrorKind::Panic, format!("the ort crate panicked: {}", shortened(text))))
    })
}

/// One line of at most [`MESSAGE_LEN_MAX`] bytes.
pub(crate) fn shortened(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > MESSAGE_LEN_MAX {
        let end = (0..=MESSAGE_LEN_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(end);
        line.push_str(" …");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_message() {
        let error = contained::<()>(|| panic!("literal {}", "text")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.message().ends_with("literal text"), "{error}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = shortened(&"ä\n".repeat(1000));
        assert!(cut.len() <= MESSAGE_LEN_MAX + 4 && cut.ends_with(" …") && !cut.contains('\n'), "{cut}");
    }
}
