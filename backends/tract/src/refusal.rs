//! How tract's failures become errors of ours.

use inferlay_backend_sdk::{Error, ErrorKind};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Tract's messages print whole nodes and tensors; more than this helps nobody.
const MESSAGE_LEN_MAX: usize = 600;

/// Runs `work`; a panic inside it becomes an error.
///
/// # Errors
/// Its own, or `INVALID_ARG` for a panic: tract panics on models that contradict themselves.
pub(crate) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let literal = panic.downcast_ref::<&str>().copied();
        let text = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(Error::invalid_arg(format!("not a model that tract can read: it panicked: {}", shortened(text))))
    })
}

/// An error of tract with its causes, outermost first.
pub(crate) fn refused(kind: ErrorKind, place: &str, error: impl Display) -> Error {
    Error::new(kind, format!("{place}: {}", shortened(&format!("{error:#}"))))
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
        for error in [
            contained::<()>(|| panic!("literal {}", "text")).unwrap_err(),
            contained::<()>(|| panic!("literal text")).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidArg);
            assert!(error.message().ends_with("literal text"), "{error}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = shortened(&"ä\n".repeat(1000));
        assert!(cut.len() <= MESSAGE_LEN_MAX + 4 && cut.ends_with(" …") && !cut.contains('\n'), "{cut}");
    }
}
