//! What the command line may say.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::{Path, PathBuf};

/// Checks, migrates, lists and asks repositories of models.
#[derive(Parser)]
#[command(
    name = "inferlay",
    version,
    after_help = "Exit codes: 0 all is well, 1 problems were found, 2 the command line is wrong."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// When to use colours; `auto`: on terminals, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: When,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Check repositories without loading a model, and print every error where it stands
    Lint(Lint),
    /// Turn the config.pbtxt and config.json of a repository into config.yaml, and list what has no equal
    ///
    /// Without --write and --out nothing is written: what would be is printed.
    Migrate(Migrate),
    /// Load a repository and list its models
    Models(Models),
    /// Ask a model with the arrays of a file, and print what it answers
    Run(Run),
    /// Write the manifest of each model, by which only what is there now is loaded from then on
    Seal(Seal),
    /// Make a key to sign manifests with, and print its public half
    Key {
        /// Where the secret half goes; only you may read it
        file: PathBuf,
    },
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Args)]
pub(crate) struct Lint {
    /// Folders of models
    #[arg(required = true)]
    pub(crate) repositories: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) backends: Backends,
    /// Check configs/NAME.yaml where a model has it
    #[arg(long, value_name = "NAME")]
    pub(crate) config_name: Option<String>,
    /// Count warnings as problems
    #[arg(long)]
    pub(crate) strict: bool,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args)]
pub(crate) struct Migrate {
    /// A folder of models
    pub(crate) repository: PathBuf,
    /// Write each config.yaml beside the old config, which is renamed to end with .bak
    #[arg(long, conflicts_with = "out")]
    pub(crate) write: bool,
    /// Write to DIR/MODEL/config.yaml, and leave the repository alone
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

#[derive(Args)]
pub(crate) struct Models {
    /// A folder of models, or the file of one
    pub(crate) repository: PathBuf,
    #[command(flatten)]
    pub(crate) backends: Backends,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Run {
    /// A folder of models, or the file of one
    pub(crate) repository: PathBuf,
    /// The model's name
    pub(crate) model: String,
    /// A file: .json, .npy or .npz; - for JSON on standard input
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) backends: Backends,
    /// Of the model; the newest that serves unless given
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// Where the outputs go: .json or .npz; JSON on standard output unless given
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Seal {
    /// A folder of models
    pub(crate) repository: PathBuf,
    /// The models; all of them unless given
    pub(crate) models: Vec<String>,
    /// How sums are made; sha256 can be checked by `sha256sum --check inferlay.manifest`
    #[arg(long, value_enum, default_value_t)]
    pub(crate) algorithm: Sums,
    /// Sign with the key in this file, see `inferlay key`; without it a signature that is there is removed
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sums {
    #[default]
    Sha256,
    Blake3,
}

#[derive(Args)]
pub(crate) struct Backends {
    /// A folder of backends; may be given several times [default: ../lib/inferlay/backends beside this program]
    #[arg(long = "backends", value_name = "DIR")]
    given: Vec<PathBuf>,
}

impl Backends {
    /// Where backends are looked for. Beside the program itself nothing can be: there, `inferlay` is the program.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        if !self.given.is_empty() {
            return self.given.clone();
        }
        let program = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
        let root = program.as_deref().and_then(|path| path.parent()?.parent().map(Path::to_owned));
        root.map(|root| root.join("lib/inferlay/backends")).into_iter().collect()
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    #[default]
    Auto,
    Always,
    Never,
}
