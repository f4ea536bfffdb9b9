//! `inferlay migrate`: from Triton's config.pbtxt and config.json to config.yaml.
//!
//! ```text
//!   files.rs   which configs there are in a repository, and how one takes the place of another
//!   this file  text --parse--> config --to_yaml--> text --parse--> the same config, or it is refused
//! ```
//!
//! Invariants: 1. Nothing is written that does not read back as the same config. 2. Without `--write` the repository is
//! left as it is; with it, the old text is kept. 3. One config that cannot be migrated keeps no other from being.

mod files;

use crate::arguments::{Arguments, Format, Migrate};
use crate::report::{self, Remark, count, escaped};
use crate::{End, print};
use files::Old;
use inferlay::config::{self, ConfigErrors, PartialConfig};
use inferlay::{Error, Severity};
use serde_json::{Value, json};

pub(crate) fn migrate(own: &Migrate, said: &Arguments) -> Result<End, Error> {
    let all: Vec<_> = files::configs(&own.repository)?.into_iter().map(|old| Migration::new(old, own)).collect();
    match own.format {
        Format::Json => print(&format!("{:#}\n", Value::Array(all.iter().map(Migration::json).collect())))?,
        Format::Text => {
            let renderer = report::renderer(said);
            let texts: String = all.iter().map(|migration| migration.text(own, &renderer)).collect();
            print(&format!("{texts}{}\n", summary(own, &all)))?
        }
    };
    Ok(End::problems_if(all.iter().any(|migration| migration.yaml.is_err())))
}

fn summary(own: &Migrate, all: &[Migration]) -> String {
    let done = all.iter().filter(|migration| migration.yaml.is_ok()).count();
    let hint = match (own.write, &own.out) {
        (false, None) if done > 0 => "; nothing was written: say --write or --out DIR",
        _ => "",
    };
    format!("{} of {} migrated{hint}", done, count(all.len(), "config"))
}

/// What became of one config.
struct Migration {
    old: Old,
    /// What it says that is not served yet, and what is lost.
    lost: Vec<Loss>,
    yaml: Result<String, Fault>,
}

enum Loss {
    Config(config::ConfigError),
    Text(String),
}

enum Fault {
    Config(ConfigErrors),
    Text(String),
}

impl Migration {
    fn new(old: Old, own: &Migrate) -> Migration {
        let mut lost = Vec::new();
        let yaml = yaml(&old, &mut lost).and_then(|yaml| {
            let written = match (own.write, &own.out) {
                (true, _) => old.replace(&yaml),
                (false, Some(folder)) => old.write_below(folder, &yaml),
                (false, None) => Ok(()),
            };
            written.map(|()| yaml).map_err(|error| Fault::Text(error.message().to_owned()))
        });
        Migration { old, lost, yaml }
    }

    fn remarks(&self) -> Vec<Remark<'_>> {
        let lost = self.lost.iter().map(|loss| match loss {
            Loss::Config(warning) => Remark::of_config(Severity::Warning, &self.old.model, warning),
            Loss::Text(text) => Remark::of_text(Severity::Note, &self.old.model, text),
        });
        let mut all: Vec<_> = lost.collect();
        match &self.yaml {
            Err(Fault::Config(errors)) => {
                all.extend(errors.iter().map(|error| Remark::of_config(Severity::Error, &self.old.model, error)));
            }
            Err(Fault::Text(text)) => all.push(Remark::of_text(Severity::Error, &self.old.model, text)),
            Ok(_) => {}
        }
        all
    }

    fn json(&self) -> Value {
        json!({
            "model": self.old.model,
            "from": self.old.file,
            "to": self.yaml.is_ok().then(|| self.old.new_file()),
            "yaml": self.yaml.as_ref().ok(),
            "remarks": self.remarks().iter().map(Remark::json).collect::<Vec<_>>(),
        })
    }

    fn text(&self, own: &Migrate, renderer: &annotate_snippets::Renderer) -> String {
        let mut text: String = self.remarks().iter().map(|remark| remark.text(renderer) + "\n").collect();
        if let Ok(yaml) = &self.yaml {
            let (model, new) = (escaped(&self.old.model), self.old.new_file());
            text += &format!("{model}: {} -> {new}\n", self.old.file);
            if !own.write && own.out.is_none() {
                yaml.lines().for_each(|line| text += &format!("    {line}\n"));
            }
        }
        text
    }
}

/// The config as YAML, read back to be sure.
fn yaml(old: &Old, lost: &mut Vec<Loss>) -> Result<String, Fault> {
    let text = old.text().map_err(|error| Fault::Text(error.message().to_owned()))?;
    let config = config::parse(&old.label(), &text).map_err(Fault::Config)?;
    lost.extend(config.warnings().iter().cloned().map(Loss::Config));
    if old.file.ends_with(".pbtxt") && text.lines().any(|line| line.trim_start().starts_with('#')) {
        lost.push(Loss::Text(format!("the remarks in {} are not taken over", old.file)));
    }
    let yaml = config::to_yaml(&config);
    let read: Result<PartialConfig, _> = config::parse(&old.new_file(), &yaml);
    match read {
        Ok(read) if read.to_json() == config.to_json() => Ok(yaml),
        _ => Err(Fault::Text(format!("{}: its YAML does not read back as the same config", old.file))),
    }
}
