//! What the machine must have, installed by its own package managers where that is allowed.

use crate::House;
use crate::step::Step;

/// Makes sure that cargo has a subcommand which a component of the toolchain brings.
///
/// # Errors
/// How to install it, when that is not possible from here.
pub(crate) fn component(house: &House, component: &str, subcommand: &str) -> Result<(), String> {
    if Step::cargo(house, &format!("{subcommand} --version")).ask().is_ok() {
        return Ok(());
    }
    let added = Step::new(house, "rustup").args(["component", "add", component]).run();
    added.map_err(|error| format!("cargo has no `{subcommand}`: install the toolchain's {component} ({error})"))
}

/// Installs Debian packages, as root or through sudo if it asks no password.
///
/// # Errors
/// Which packages to install by hand, when that is not possible from here.
pub(crate) fn packages(house: &House, packages: &[&str]) -> Result<(), String> {
    let by_hand = |error: String| format!("install {} by hand and try again: {error}", packages.join(" "));
    let root = Step::new(house, "id").args(["-u"]).ask().is_ok_and(|id| id.trim() == "0");
    if !root {
        Step::new(house, "sudo").args(["-n", "true"]).ask().map_err(by_hand)?;
    }
    let apt = |words: &str| {
        let step = if root { Step::new(house, "env") } else { Step::new(house, "sudo").args(["-n", "env"]) };
        step.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(words.split(' '))
    };
    apt("update -q").run().map_err(by_hand)?;
    apt("install -q -y --no-install-recommends").args(packages).run().map_err(by_hand)
}
