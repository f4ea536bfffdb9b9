//! `inferlay`: checks, migrates, lists and asks repositories of models from a terminal.
//!
//! ```text
//!   arguments.rs --> lint.rs, migrate, models.rs, run.rs, seal.rs --> report.rs   findings, tables, colours, progress
//!                                              `--> arrays          JSON, .npy and .npz <-> tensors
//! ```
//!
//! It exits with 0 when all is well, 1 when it found problems or could not do what it was asked, and 2 when it was asked
//! wrongly. Results go to standard output, everything else to standard error.
//!
//! Runs on the main thread; models are loaded on those of the library.

mod arguments;
mod arrays;
mod lint;
mod migrate;
mod models;
mod report;
mod run;
mod seal;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use inferlay::Error;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// How a command ended that did what it was asked.
enum End {
    Fine,
    Problems,
}

impl End {
    fn problems_if(found: bool) -> End {
        if found { End::Problems } else { End::Fine }
    }
}

fn main() -> ExitCode {
    let said = Arguments::parse();
    match obey(&said) {
        Ok(End::Fine) => ExitCode::SUCCESS,
        Ok(End::Problems) => ExitCode::FAILURE,
        Err(error) => {
            report::failure(&said, error.message());
            ExitCode::FAILURE
        }
    }
}

fn obey(said: &Arguments) -> Result<End, Error> {
    match &said.command {
        Command::Lint(own) => lint::lint(own, said),
        Command::Migrate(own) => migrate::migrate(own, said),
        Command::Models(own) => models::models(own),
        Command::Run(own) => run::run(own),
        Command::Seal(own) => seal::seal(own),
        Command::Key { file } => seal::key(file),
        Command::Completions { shell } => completions(*shell),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<End, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "inferlay", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes a result to standard output.
fn print(text: &str) -> Result<End, Error> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(End::Fine),
        Err(error) => Err(Error::unavailable(format!("standard output: {error}"))),
        Ok(()) => Ok(End::Fine),
    }
}
