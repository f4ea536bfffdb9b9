//! The config room at its door: text in, values or messages out.

mod alike;
mod completion;
mod files;
mod hostile;
mod pbtxt;
mod print;
mod property;
mod written;

use super::*;

/// A good text in the text format.
fn pbtxt(text: &str) -> PartialConfig {
    parse("config.pbtxt", text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

/// The errors of a text as `line:column: message`, one a line.
fn errors(text: &str) -> String {
    lines(&parse("config.yaml", text).unwrap_err())
}

fn lines(errors: &ConfigErrors) -> String {
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(error: &ConfigError) -> String {
    match error.position() {
        Some((line, column)) => format!("{line}:{column}: {}", error.message()),
        None => error.message().to_owned(),
    }
}
