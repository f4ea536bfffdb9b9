//! The config room at its door: text in, values or messages out.

mod completion;
mod files;
mod hostile;
mod property;

use super::*;

/// The errors of a text as `line:column: message`, one a line.
fn errors(text: &str) -> String {
    lines(&parse("config.yaml", text).unwrap_err())
}

fn lines(errors: &ConfigErrors) -> String {
    let line = |error: &ConfigError| match error.position() {
        Some((line, column)) => format!("{line}:{column}: {}", error.message()),
        None => error.message().to_owned(),
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}
