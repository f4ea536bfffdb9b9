//! The command line of the benches.

use std::path::PathBuf;

/// What to measure, and for how long.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) bench: String,
    /// JSON alone on stdout, instead of a table.
    pub(crate) is_json: bool,
    /// A few hundred milliseconds in all, to see that it works.
    pub(crate) is_short: bool,
    /// The core to stay on.
    pub(crate) core: Option<usize>,
    /// The one case to run; all if `None`.
    pub(crate) case: Option<String>,
    /// How often every case is measured.
    pub(crate) rounds: Option<usize>,
    /// Requests per measurement; as many as fill its time if `None`.
    pub(crate) requests: Option<usize>,
    /// Where the bench `peer` finds Triton's library.
    pub(crate) triton: Option<PathBuf>,
    /// The Python with which the bench `onnxruntime` writes a network.
    pub(crate) python: Option<PathBuf>,
}

pub(crate) const USAGE: &str = "usage: inferlay-benches overhead|capi|digits|live|onnxruntime|peer [--json] [--short] [--pin CORE] \
                                [--case NAME] [--rounds N] [--requests N] [--triton DIR] [--python FILE]";

impl Arguments {
    /// # Errors
    /// The first argument that is not understood, and why.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let mut arguments = Arguments { bench: words.next().ok_or("no bench is named")?, ..Arguments::default() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word}: found nothing, expected a value"));
            match word.as_str() {
                "--json" => arguments.is_json = true,
                "--short" => arguments.is_short = true,
                "--pin" => arguments.core = Some(number(&word, &value()?)?),
                "--case" => arguments.case = Some(value()?),
                "--rounds" => arguments.rounds = Some(number(&word, &value()?)?.max(1)),
                "--requests" => arguments.requests = Some(number(&word, &value()?)?.max(1)),
                "--triton" => arguments.triton = Some(value()?.into()),
                "--python" => arguments.python = Some(value()?.into()),
                _ => return Err(format!("'{word}' is not an option")),
            }
        }
        Ok(arguments)
    }
}

fn number(option: &str, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{option}: found '{text}', expected a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_command_line_is_read_or_refused_with_the_reason() {
        let read = parse("overhead --json --pin 1 --case sync/1 --rounds 0").unwrap();
        assert_eq!((read.is_json, read.core, read.rounds), (true, Some(1), Some(1)));
        assert_eq!(read.case.as_deref(), Some("sync/1"));
        assert_eq!(parse("peer --triton lib").unwrap().triton, Some("lib".into()));
        let rows = [
            ("", "no bench is named"),
            ("overhead --pin", "--pin: found nothing, expected a value"),
            ("overhead --pin one", "--pin: found 'one', expected a whole number"),
            ("overhead --fast", "'--fast' is not an option"),
        ];
        for (line, message) in rows {
            assert_eq!(parse(line).unwrap_err(), message, "{line}");
        }
    }
}
