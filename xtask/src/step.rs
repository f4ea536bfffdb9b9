//! One command of a stage: shown, run, its output streamed. What tells why it failed is kept for the report.

use crate::House;
use crate::outputs;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// A command to run in the root of the house, without standard input.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

/// What a command wrote, and how it ended.
pub(crate) struct Told {
    pub(crate) text: String,
    /// An error names the command; its further lines, indented, are what of the text tells why.
    pub(crate) end: Result<(), String>,
}

impl Step {
    pub(crate) fn new(house: &House, program: impl AsRef<OsStr>) -> Step {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(&house.root).stdin(Stdio::null());
        let name = Path::new(program).file_name().unwrap_or(program);
        Step { command, shown: name.to_string_lossy().into_owned() }
    }

    /// The cargo that runs this program; `words` are its arguments, separated by spaces.
    pub(crate) fn cargo(house: &House, words: &str) -> Step {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        Step::new(house, cargo).args(words.split(' '))
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Step {
        for arg in args {
            self.shown += " ";
            self.shown += &arg.as_ref().to_string_lossy();
            self.command.arg(arg);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Step {
        self.shown = format!("{name}={} {}", value.as_ref().to_string_lossy(), self.shown);
        self.command.env(name, value);
        self
    }

    /// Lets it run in this folder of the house.
    pub(crate) fn within(mut self, folder: impl AsRef<Path>) -> Step {
        let root = self.command.get_current_dir().map(Path::to_owned).unwrap_or_default();
        self.command.current_dir(root.join(folder));
        self
    }

    /// Runs it.
    pub(crate) fn run(self) -> Result<(), String> {
        self.hear().end
    }

    /// Runs it, showing its standard output as it comes and keeping it.
    pub(crate) fn tell(mut self) -> Told {
        println!("$ {}", self.shown);
        let child = self.command.stdout(Stdio::piped()).spawn();
        let mut text = String::new();
        let status = child.and_then(|mut child| {
            child.stdout.take().map_or(Ok(()), |out| show(out, &mut text))?;
            child.wait()
        });
        let end = self.judge(status);
        Told { text, end }
    }

    /// Runs it, showing all of its output as it comes, errors among it, and keeping it.
    pub(crate) fn hear(mut self) -> Told {
        println!("$ {}", self.shown);
        let mut text = String::new();
        let status = std::io::pipe().and_then(|(reader, writer)| {
            let mut child = self.command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
            // The output ends when nobody can write any more, this process included.
            self.command.stdout(Stdio::null()).stderr(Stdio::null());
            show(reader, &mut text)?;
            child.wait()
        });
        let reasons = |why| outputs::reasons(&text).lines().fold(why, |why, line| why + "\n    " + line);
        let end = self.judge(status).map_err(reasons);
        Told { text, end }
    }

    /// Runs it in silence: what it wrote to its standard output, if it succeeds.
    pub(crate) fn ask(mut self) -> Result<String, String> {
        let output = self.command.output().map_err(|error| format!("`{}` did not start: {error}", self.shown))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match self.judge(Ok(output.status)) {
            Ok(()) => Ok(text),
            Err(error) => Err(format!("{error}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    fn judge(&self, status: std::io::Result<ExitStatus>) -> Result<(), String> {
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{}` ended with {status}", self.shown)),
            Err(error) => Err(format!("`{}` did not start: {error}", self.shown)),
        }
    }
}

/// Shows each line as it comes, and keeps it.
fn show(from: impl Read, text: &mut String) -> std::io::Result<()> {
    for line in BufReader::new(from).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        *text += &line;
        text.push('\n');
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Step {
        Step::new(&House::new(false), "sh").args(["-c", script])
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_end() {
        assert_eq!(shell("exit 3").run().unwrap_err(), "`sh -c exit 3` ended with exit status: 3");
        assert!(Step::new(&House::new(false), "/no/such").run().unwrap_err().starts_with("`such` did not start"));
    }

    #[test]
    fn a_command_runs_in_the_folder_that_it_is_given() {
        let found = shell("pwd").within("xtask").ask().unwrap();
        assert_eq!(Path::new(found.trim()), House::new(false).root.join("xtask"));
    }

    #[test]
    fn what_a_command_says_is_kept_even_when_it_fails() {
        let told = shell("echo one; echo $NAME; exit 1").env("NAME", "two").tell();
        assert_eq!(told.text, "one\ntwo\n");
        assert!(told.end.is_err());
    }

    #[test]
    fn what_a_command_said_last_is_part_of_its_failure() {
        let why = shell("echo one; echo two >&2; exit 1").run().unwrap_err();
        assert_eq!(why.lines().skip(1).collect::<Vec<_>>(), ["    one", "    two"]);
    }

    #[test]
    fn a_question_that_fails_says_why() {
        assert_eq!(shell("echo yes").ask().unwrap(), "yes\n");
        assert!(shell("echo because >&2; exit 1").ask().unwrap_err().ends_with("because"));
    }
}
