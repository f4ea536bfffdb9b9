//! How things are told: findings with the line that they are about, tables, colours and progress.
//!
//! Colours are for terminals only, and never where `NO_COLOR` is set to anything, see <https://no-color.org>.

use crate::arguments::{Arguments, When};
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use inferlay::config::ConfigError;
use inferlay::{Finding, ServerBuilder, Severity};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::ops::Range;

/// One thing to tell, about a place of a file or not.
pub(crate) struct Remark<'a> {
    pub(crate) severity: Severity,
    pub(crate) model: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
    pub(crate) position: Option<(usize, usize)>,
    pub(crate) message: &'a str,
    pub(crate) snippet: Option<(&'a str, Range<usize>)>,
}

impl<'a> Remark<'a> {
    pub(crate) fn of_finding(finding: &'a Finding) -> Self {
        Remark {
            severity: finding.severity(),
            model: finding.model(),
            file: finding.place().filter(|_| finding.position().is_some()),
            position: finding.position(),
            message: finding.message(),
            snippet: finding.snippet(),
        }
    }

    pub(crate) fn of_config(severity: Severity, model: &'a str, error: &'a ConfigError) -> Self {
        Remark {
            severity,
            model: Some(model),
            file: Some(error.place()),
            position: error.position(),
            message: error.message(),
            snippet: error.snippet(),
        }
    }

    pub(crate) fn of_text(severity: Severity, model: &'a str, message: &'a str) -> Self {
        Remark { severity, model: Some(model), file: None, position: None, message, snippet: None }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "severity": self.name(),
            "model": self.model,
            "file": self.file,
            "line": self.position.map(|(line, _)| line),
            "column": self.position.map(|(_, column)| column),
            "message": self.message,
        })
    }

    /// As a compiler would print it.
    pub(crate) fn text(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            _ => Level::NOTE,
        };
        let title = match (self.file, self.model) {
            (None, Some(model)) => format!("model '{}': {}", escaped(model), self.message),
            _ => self.message.to_owned(),
        };
        let group = level.primary_title(title).elements(None::<Origin<'_>>);
        let Some(file) = self.file else { return renderer.render(&[group]) + "\n" };
        let origin = match self.position {
            Some((line, column)) => Origin::path(file).line(line).char_column(column),
            None => Origin::path(file),
        };
        let group = match (&self.snippet, self.position) {
            (Some((line, marked)), Some((number, column))) => {
                let snippet = Snippet::source(*line).line_start(number);
                let snippet = snippet.annotation(AnnotationKind::Primary.span(marked.clone()));
                // The column is counted in the line, unless that was shortened.
                match line.get(..marked.start).map(|before| before.chars().count() + 1) {
                    Some(counted) if counted == column => group.element(snippet.path(file)),
                    _ => group.element(origin).element(snippet),
                }
            }
            _ => group.element(origin),
        };
        renderer.render(&[group]) + "\n"
    }

    fn name(&self) -> &'static str {
        match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            _ => "note",
        }
    }
}

/// A name on one line, whatever the file system allows in it.
pub(crate) fn escaped(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// What findings on standard output are drawn with.
pub(crate) fn renderer(said: &Arguments) -> Renderer {
    let has_colours = match said.color {
        When::Always => true,
        When::Never => false,
        When::Auto => is_colourful() && io::stdout().is_terminal(),
    };
    if has_colours { Renderer::styled() } else { Renderer::plain() }
}

fn is_colourful() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Why a command could not do what it was asked.
pub(crate) fn failure(said: &Arguments, message: &str) {
    let is_red = said.color == When::Always || said.color == When::Auto && is_colourful() && io::stderr().is_terminal();
    let (red, plain) = if is_red { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    // There is nowhere else to say it.
    _ = writeln!(io::stderr(), "inferlay: {red}error{plain}: {message}");
}

/// `2 errors`, `1 error`.
pub(crate) fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows under a head, each column as wide as its widest cell.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let rows = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    line(head) + &rows.collect::<String>()
}

/// Shows how far the loading of a server is, where standard error is a terminal.
pub(crate) fn with_progress(builder: ServerBuilder) -> (ServerBuilder, ProgressBar) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} loading {bar:30} {pos}/{len} {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let builder = builder.on_progress(move |progress| {
        shown.set_length(progress.total as u64);
        shown.set_position(progress.done as u64);
        shown.set_message(escaped(progress.model));
    });
    (builder, bar)
}
