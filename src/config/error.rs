//! What is wrong with a config: every error with its place, and the report that gathers them. Pure data, any thread.
//!
//! ```text
//! digits/config.yaml:2:1: unknown key 'max_bacth_size'; did you mean 'max_batch_size'?
//!    2 | max_bacth_size: 8
//!      | ^^^^^^^^^^^^^^
//! ```
//!
//! Invariants: 1. A report keeps at most [`ERRORS_MAX`] errors and counts the others, so that a hostile file cannot
//! grow it. 2. Whatever of a file is quoted is cut to a short line and freed of control characters.

use super::path::Path;
use super::tree::{At, Node};
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

/// Everything that is wrong with one config, in the order of the file.
///
/// # Examples
/// ```
/// let errors = inferlay::config::parse("config.yaml", "max_bacth_size: 8\n").unwrap_err();
/// assert_eq!(errors.to_string(), "\
/// config.yaml:1:1: unknown key 'max_bacth_size'; did you mean 'max_batch_size'?
///    1 | max_bacth_size: 8
///      | ^^^^^^^^^^^^^^");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
    left_out: usize,
}

impl ConfigErrors {
    /// The errors, in the order of the file; at least one, and at most 100 however many there are.
    ///
    /// # Examples
    /// ```
    /// let errors = inferlay::config::parse("config.yaml", "max_batch_size: -1\ncaller_runs: often").unwrap_err();
    /// let places: Vec<_> = errors.iter().map(|error| error.position()).collect();
    /// assert_eq!(places, [Some((1, 17)), Some((2, 14))]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.errors.iter()
    }
}

impl ConfigErrors {
    /// Those of a list that is not empty.
    pub(super) fn of(errors: Vec<ConfigError>) -> Self {
        ConfigErrors { errors, left_out: 0 }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

impl From<ConfigErrors> for inferlay_backend_sdk::Error {
    fn from(errors: ConfigErrors) -> Self {
        inferlay_backend_sdk::Error::invalid_arg(errors.to_string())
    }
}

/// One thing that is wrong with a config. Its `Display` is `file:line:column: message`, the line and a marker under it.
///
/// # Examples
/// ```
/// let errors = inferlay::config::parse("config.yaml", "max_batch_size: -1").unwrap_err();
/// let error = errors.iter().next().expect("there is one");
/// assert_eq!((error.place(), error.position()), ("config.yaml", Some((1, 17))));
/// assert_eq!(error.message(), "max_batch_size: found -1, expected a whole number from 0 to 2147483647");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    position: Option<Position>,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    at: At,
    snippet: String,
    marker: String,
}

impl ConfigError {
    /// The file as it was named to [`super::parse`], or the model when there is no file.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::{ModelConfig, parse};
    /// let of_file = parse("config.yaml", "max_batch_size: -1").unwrap_err();
    /// assert_eq!(of_file.iter().next().unwrap().place(), "config.yaml");
    /// let of_code = ModelConfig::new("a").instances(0).check().unwrap_err();
    /// assert_eq!(of_code.iter().next().unwrap().place(), "model 'a'");
    /// ```
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Line and column, each from 1, the column in characters; `None` when it is not about one place of a file.
    ///
    /// # Examples
    /// ```
    /// let errors = inferlay::config::parse("config.yaml", "name: a\nmax_batch_size: -1").unwrap_err();
    /// assert_eq!(errors.iter().next().unwrap().position(), Some((2, 17)));
    /// ```
    pub fn position(&self) -> Option<(usize, usize)> {
        self.position.as_ref().map(|position| (position.at.line as usize, position.at.column as usize))
    }

    /// What is wrong: what was found and what was expected.
    ///
    /// # Examples
    /// ```
    /// let errors = inferlay::config::parse("config.yaml", "max_bacth_size: 8").unwrap_err();
    /// let message = errors.iter().next().unwrap().message();
    /// assert_eq!(message, "unknown key 'max_bacth_size'; did you mean 'max_batch_size'?");
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line of the file, shortened where it is long, and which bytes of that are marked; `None` without a position.
    ///
    /// # Examples
    /// ```
    /// let errors = inferlay::config::parse("config.yaml", "max_batch_size: -1").unwrap_err();
    /// let (line, marked) = errors.iter().next().unwrap().snippet().unwrap();
    /// assert_eq!((line, &line[marked]), ("max_batch_size: -1", "-1"));
    /// ```
    pub fn snippet(&self) -> Option<(&str, Range<usize>)> {
        let Position { snippet, marker, .. } = self.position.as_ref()?;
        let byte = |at: usize| snippet.char_indices().nth(at).map_or(snippet.len(), |(byte, _)| byte);
        let start = marker.len() - marker.trim_start().len();
        Some((snippet, byte(start)..byte(marker.len())))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Position { at, snippet, marker }) = &self.position else {
            return write!(f, "{}: {}", self.place, self.message);
        };
        writeln!(f, "{}:{}:{}: {}", self.place, at.line, at.column, self.message)?;
        write!(f, "{:>4} | {snippet}\n     | {marker}", at.line)
    }
}

impl std::error::Error for ConfigError {}

/// The file that a config was read from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: String,
    pub(super) text: String,
}

/// Gathers the errors of one config.
pub(super) struct Report {
    place: String,
    source: Option<Arc<Source>>,
    root: Option<Arc<Node>>,
    errors: Vec<ConfigError>,
    left_out: usize,
    warnings: Vec<ConfigError>,
}

impl Report {
    /// For a config that was read from a file; `root` once there is a tree.
    pub(super) fn of_file(source: Arc<Source>, root: Option<Arc<Node>>) -> Self {
        Report { root, ..Report::new(source.file.clone(), Some(source)) }
    }

    /// For a config that was made in code: errors name the path of keys instead of a position.
    pub(super) fn of_model(name: &str) -> Self {
        Report::new(format!("model '{}'", quoted(name)), None)
    }

    fn new(place: String, source: Option<Arc<Source>>) -> Self {
        Report { place, source, root: None, errors: Vec::new(), left_out: 0, warnings: Vec::new() }
    }

    /// From now on errors may be placed by path.
    pub(super) fn set_root(&mut self, root: Arc<Node>) {
        self.root = Some(root);
    }

    /// An error about the file as a whole.
    pub(super) fn whole(&mut self, message: String) {
        self.push(None, message);
    }

    /// An error at a place of the file.
    pub(super) fn at(&mut self, at: At, message: String) {
        self.push(Some(at), message);
    }

    /// What the config may say although it is not, or not yet, served as it says.
    pub(super) fn warn(&mut self, at: At, message: String) {
        if self.warnings.len() < ERRORS_MAX {
            let warning = self.error(Some(at), message);
            self.warnings.push(warning);
        }
    }

    /// The warnings so far, in the order of the file.
    pub(super) fn take_warnings(&mut self) -> Vec<ConfigError> {
        self.warnings.sort_by_key(|warning| warning.position());
        std::mem::take(&mut self.warnings)
    }

    /// An error about the value at `path`, placed at the deepest node on the way to it that the file has. A place that
    /// already has an error gets no second one: it would only be its consequence.
    pub(super) fn on(&mut self, path: &Path, message: impl fmt::Display) {
        if self.is_full() {
            return self.left_out += 1;
        }
        let at = self.root.as_deref().map(|root| path.locate(root));
        if at.is_some() && self.errors.iter().any(|error| error.position.as_ref().map(|position| position.at) == at) {
            return;
        }
        self.push(at, format!("{path}: {message}"));
    }

    /// Whether further errors are only counted, so that their messages need not be made.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() == ERRORS_MAX
    }

    /// The value, if nothing was wrong.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        self.errors.sort_by_key(|error| error.position());
        Err(ConfigErrors { errors: self.errors, left_out: self.left_out })
    }

    fn push(&mut self, at: Option<At>, message: String) {
        if self.is_full() {
            return self.left_out += 1;
        }
        let error = self.error(at, message);
        self.errors.push(error);
    }

    fn error(&self, at: Option<At>, message: String) -> ConfigError {
        let position = at.zip(self.source.as_deref()).map(|(at, source)| Position::new(at, &source.text));
        ConfigError { place: self.place.clone(), position, message }
    }
}

impl Position {
    fn new(at: At, text: &str) -> Self {
        let is_break = |c| c == '\n' || c == '\r';
        let (before, after) = text.split_at_checked(at.offset as usize).unwrap_or((text, ""));
        let before = before.rsplit(is_break).next().unwrap_or("").trim_start_matches('\u{feff}');
        let after = after.split(is_break).next().unwrap_or("");
        let skipped = before.chars().count().saturating_sub(SNIPPET_MAX / 2);
        let lead = if skipped > 0 { "…" } else { "" };
        let before: String = lead.chars().chain(before.chars().skip(skipped)).map(printable).collect();
        let room = SNIPPET_MAX.saturating_sub(before.chars().count());
        let tail = if after.chars().nth(room).is_some() { "…" } else { "" };
        let marked = (at.len as usize).min(after.trim_end().chars().take(room).count()).max(1);
        let marker = format!("{}{}", " ".repeat(before.chars().count()), "^".repeat(marked));
        let snippet = before.chars().chain(after.chars().take(room).map(printable)).chain(tail.chars()).collect();
        Position { at, snippet, marker }
    }
}

/// The character itself if a terminal shows it as one.
pub(super) fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

/// Text of a file as a message may quote it: short and printable.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars().take(QUOTED_MAX) {
        match c.is_control() {
            // Writing to a string cannot fail.
            true => _ = write!(quoted, "{}", c.escape_default()),
            false => quoted.push(c),
        }
    }
    if text.chars().nth(QUOTED_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

/// Names as a message may list them: in their order, the first few.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let first: Vec<String> = names.by_ref().take(LISTED_MAX).map(quoted).collect();
    let more = names.count();
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    if first.is_empty() { "none".to_owned() } else { first.join(", ") + &tail }
}

const ERRORS_MAX: usize = 100;
const SNIPPET_MAX: usize = 100;
const QUOTED_MAX: usize = 60;
const LISTED_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str, offset: u32, len: u32) -> Position {
        Position::new(At { offset, line: 1, column: 1, len }, text)
    }

    #[test]
    fn a_snippet_is_the_marked_line_alone() {
        let marked = position("a: 1\r\nbé: 2\rc: 3", 11, 1);
        assert_eq!((marked.snippet.as_str(), marked.marker.as_str()), ("bé: 2", "    ^"));
    }

    #[test]
    fn a_long_line_is_cut_on_both_sides_of_the_marked_text() {
        let marked = position(&"x".repeat(1000), 500, 900);
        assert_eq!(marked.snippet, format!("…{}…", "x".repeat(99)));
        assert_eq!(marked.marker, format!("{}{}", " ".repeat(51), "^".repeat(49)));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert_eq!(position("a\u{1b}[2J\tb", 0, 1).snippet, "a\u{fffd}[2J b");
        assert_eq!(quoted("a\u{1b}[2J"), "a\\u{1b}[2J");
    }

    #[test]
    fn a_flood_of_errors_is_cut_and_counted() {
        let mut report = Report::of_model("a");
        (0..250).for_each(|n| report.whole(format!("error {n}")));
        let errors = report.finish(()).unwrap_err();
        assert_eq!(errors.iter().count(), 100);
        assert!(errors.to_string().ends_with("model 'a': error 99\nand 150 more"), "{errors}");
    }
}
