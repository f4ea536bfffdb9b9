//! The command-line program, and the scripts by which shells complete its commands. Laid out as the shells and the program
//! expect it: the one looks for backends in `../lib/inferlay/backends` from where it lies.

use super::{copy, put};
use crate::House;
use crate::step::Step;
use std::path::{Path, PathBuf};

/// The name by which `--without` leaves it out.
pub(super) const NAME: &str = "cli";

/// What cargo selects.
pub(super) const SELECTION: &str = "-p inferlay-cli";

/// Where each shell looks for what completes the commands of a program that is installed.
pub(super) const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/inferlay"),
    ("zsh", "share/zsh/site-functions/_inferlay"),
    ("fish", "share/fish/vendor_completions.d/inferlay.fish"),
];

/// Builds the program and puts it into the tree: its path.
pub(super) fn write(house: &House, place: &Path) -> Result<PathBuf, String> {
    Step::cargo(house, &format!("build --profile dist {SELECTION}")).run()?;
    let program = place.join("bin/inferlay");
    copy(&house.target.join("dist/inferlay"), &program)?;
    for (shell, script) in COMPLETIONS {
        put(&place.join(script), &Step::new(house, &program).args(["completions", shell]).ask()?)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_a_part_that_may_be_left_out() {
        assert!(super::super::parts().contains(&NAME));
    }

    #[test]
    fn what_cargo_selects_has_the_program() {
        let house = House::new(false);
        let manifest = super::super::read(&house.root.join("cli/Cargo.toml")).unwrap();
        let package = SELECTION.strip_prefix("-p ").unwrap();
        assert!(manifest.contains(&format!("name = \"{package}\"")) && manifest.contains("name = \"inferlay\""));
    }
}
