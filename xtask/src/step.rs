//! One command of a stage: shown, run, its output kept. What tells why it failed is part of the report.
//!
//! On a terminal the output streams. Elsewhere, where nobody watches and thousands of lines of what went well would bury
//! the one that did not, it goes to a file below `target/xtask/` that a failure names.

use crate::House;
use crate::outputs;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A command to run in the root of the house, without standard input.
pub(crate) struct Step {
    command: Command,
    shown: String,
    logs: PathBuf,
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
        Step { command, shown: name.to_string_lossy().into_owned(), logs: house.target.join("xtask") }
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

    /// Runs it, keeping its standard output.
    pub(crate) fn tell(mut self) -> Told {
        let (mut text, mut show) = (String::new(), self.show());
        let child = self.command.stdout(Stdio::piped()).spawn();
        let status = child.and_then(|mut child| {
            child.stdout.take().map_or(Ok(()), |out| show.all(out, &mut text))?;
            child.wait()
        });
        let end = self.judge(status);
        Told { text, end }
    }

    /// Runs it, keeping all of its output, errors among it.
    pub(crate) fn hear(mut self) -> Told {
        let (mut text, mut show) = (String::new(), self.show());
        let status = std::io::pipe().and_then(|(reader, writer)| {
            let mut child = self.command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
            // The output ends when nobody can write any more, this process included.
            self.command.stdout(Stdio::null()).stderr(Stdio::null());
            show.all(reader, &mut text)?;
            child.wait()
        });
        let end = self.judge(status).map_err(|why| {
            let log = show.log.filter(|_| !text.is_empty());
            let kept = log.map(|(path, _)| format!("\n    all of it: {}", path.display()));
            outputs::reasons(&text).lines().fold(why, |why, line| why + "\n    " + line) + &kept.unwrap_or_default()
        });
        Told { text, end }
    }

    /// Says what runs, and where what it prints goes.
    fn show(&self) -> Show {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        println!("$ {}", self.shown);
        if std::io::stdout().is_terminal() {
            return Show { log: None };
        }
        let path = self.logs.join(format!("step-{:03}.log", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::create_dir_all(&self.logs).and_then(|()| File::create(&path));
        Show { log: file.ok().map(|file| (path, file)) }
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

/// Where the output of a step is shown: on the terminal, or in a file.
struct Show {
    log: Option<(PathBuf, File)>,
}

impl Show {
    /// Shows each line as it comes, and keeps it.
    fn all(&mut self, from: impl Read, text: &mut String) -> std::io::Result<()> {
        for line in BufReader::new(from).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            match &mut self.log {
                Some((_, file)) => writeln!(file, "{line}")?,
                None => println!("{line}"),
            }
            *text += &line;
            text.push('\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step that keeps what it prints away from where the steps of a run beside these tests do.
    fn step(program: &str) -> Step {
        let logs = std::env::temp_dir().join(format!("inferlay-xtask-{}", std::process::id()));
        Step { logs, ..Step::new(&House::new(false), program) }
    }

    fn shell(script: &str) -> Step {
        step("sh").args(["-c", script])
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_end() {
        assert_eq!(shell("exit 3").run().unwrap_err(), "`sh -c exit 3` ended with exit status: 3");
        assert!(step("/no/such").run().unwrap_err().starts_with("`such` did not start"));
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
        assert_eq!(why.lines().skip(1).take(2).collect::<Vec<_>>(), ["    one", "    two"]);
        if let Some(log) = why.lines().find_map(|line| line.trim().strip_prefix("all of it: ")) {
            assert_eq!(fs::read_to_string(log).unwrap(), "one\ntwo\n");
        }
    }

    #[test]
    fn a_question_that_fails_says_why() {
        assert_eq!(shell("echo yes").ask().unwrap(), "yes\n");
        assert!(shell("echo because >&2; exit 1").ask().unwrap_err().ends_with("because"));
    }
}
