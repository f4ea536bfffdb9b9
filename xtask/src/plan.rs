//! From the words of the command line to the stages to run. Pure.

use crate::dist;
use crate::stages::{SOAK, STAGES, Stage};
use std::fmt::Write;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Chore {
    Help,
    /// The libraries for C and C++ and the wheel for Python, without these parts.
    Dist(Vec<&'static str>),
    Run(Plan),
}

/// Stages to run, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<&'static Stage>,
    /// Whether the long forms are wanted.
    pub(crate) full: bool,
}

/// Reads the command line, without the name of the program.
pub(crate) fn parse(args: &[String]) -> Result<Chore, String> {
    let mut args = args.iter().map(String::as_str);
    match args.next() {
        None | Some("help" | "--help" | "-h") => Ok(Chore::Help),
        Some("test") => test(&args.collect::<Vec<_>>()),
        Some("soak") => named(SOAK, &args.collect::<Vec<_>>()).map(|stages| Chore::Run(Plan { stages, full: true })),
        Some("dist") => without(&args.collect::<Vec<_>>()).map(Chore::Dist),
        Some(other) => Err(format!("no chore `{other}`: expected test, soak, dist or help")),
    }
}

/// Any number of `--without PART`.
fn without(args: &[&str]) -> Result<Vec<&'static str>, String> {
    let known = dist::parts();
    let named = |pair: &[&str]| match pair {
        ["--without", name] => known
            .iter()
            .find(|known| *known == name)
            .copied()
            .ok_or_else(|| format!("`dist` has no part `{name}`: expected one of {}", known.join(", "))),
        other => Err(format!("`dist` takes no `{}`: expected --without PART", other.join(" "))),
    };
    args.chunks(2).map(named).collect()
}

fn test(args: &[&str]) -> Result<Chore, String> {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with('-'));
    if let Some(flag) = flags.iter().find(|flag| **flag != "--full") {
        return Err(format!("`test` takes no `{flag}`: expected --full or the names of stages"));
    }
    Ok(Chore::Run(Plan { stages: named(STAGES, &names)?, full: !flags.is_empty() }))
}

/// The stages of these names in the order of their table, or all of them.
fn named(stages: &'static [Stage], names: &[&str]) -> Result<Vec<&'static Stage>, String> {
    if let Some(name) = names.iter().find(|name| stages.iter().all(|stage| stage.name != **name)) {
        let known: Vec<_> = stages.iter().map(|stage| stage.name).collect();
        return Err(format!("no stage `{name}`: expected one of {}", known.join(", ")));
    }
    Ok(stages.iter().filter(|stage| names.is_empty() || names.contains(&stage.name)).collect())
}

/// What `cargo xtask help` prints.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "cargo xtask test [--full] [STAGE…]   every check there is, or the stages named; --full: the long forms\n\
         cargo xtask soak [STAGE…]            hours of chaos on a build without tract, or of the parts named\n\
         cargo xtask dist [--without PART…]   what C, C++ and Python programs need, in dist/; a backend, `cli` or the wheel \
         may be left out\n\
         cargo xtask help                     this page\n\n\
         stages, in order, and the minutes each may take from a fresh clone on two cores:\n",
    );
    let list = |text: &mut String, stages: &[Stage]| {
        for stage in stages {
            let _infallible = writeln!(text, "  {:<12} {:>3}  {}", stage.name, stage.minutes, stage.what);
        }
    };
    list(&mut text, STAGES);
    text += "\nparts of the soak:\n";
    list(&mut text, SOAK);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Result<Vec<&'static str>, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args).map(|chore| match chore {
            Chore::Help => vec!["help"],
            Chore::Dist(without) => without,
            Chore::Run(plan) => plan.stages.iter().map(|stage| stage.name).collect(),
        })
    }

    #[test]
    fn test_without_names_runs_every_stage() {
        assert_eq!(names("test").unwrap().len(), STAGES.len());
        assert_eq!(names("test --full").unwrap().len(), STAGES.len());
    }

    #[test]
    fn named_stages_run_in_the_order_of_the_table() {
        assert_eq!(names("test clippy fmt").unwrap(), ["fmt", "clippy"]);
    }

    #[test]
    fn parts_of_the_soak_are_named_like_stages() {
        assert_eq!(names("soak").unwrap().len(), SOAK.len());
        assert_eq!(names("soak fuzz loom").unwrap(), ["loom", "fuzz"]);
        assert!(names("soak clippy").unwrap_err().contains("`clippy`"));
    }

    #[test]
    fn full_is_asked_for_by_its_flag_only() {
        let full = |line: &str| match parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()) {
            Ok(Chore::Run(plan)) => plan.full,
            other => panic!("{other:?}"),
        };
        assert!(full("test --full fmt") && full("soak") && !full("test fmt"));
    }

    #[test]
    fn parts_may_be_left_out_of_dist() {
        assert!(names("dist").unwrap().is_empty());
        assert_eq!(names("dist --without tract --without null").unwrap(), ["tract", "null"]);
        assert_eq!(names("dist --without wheel --without cli").unwrap(), ["wheel", "cli"]);
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (line, named) in [
            ("test fnt", "`fnt`"),
            ("test --fast", "`--fast`"),
            ("dance", "`dance`"),
            ("soak 3", "`3`"),
            ("dist --without x", "`x`"),
            ("dist --without", "`--without`"),
            ("dist x", "`x`"),
        ] {
            assert!(names(line).unwrap_err().contains(named), "{line}");
        }
    }

    #[test]
    fn help_names_every_stage() {
        assert!(STAGES.iter().all(|stage| help().contains(stage.name)));
        assert_eq!(names("").unwrap(), ["help"]);
    }
}
