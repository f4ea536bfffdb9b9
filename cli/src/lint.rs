//! `inferlay lint`: every error of every model, where it stands.

use crate::arguments::{Arguments, Format, Lint};
use crate::report::{self, Remark, count};
use crate::{End, print};
use inferlay::{Error, ServerHandle, Severity};
use serde_json::{Value, json};

pub(crate) fn lint(own: &Lint, said: &Arguments) -> Result<End, Error> {
    let mut builder = ServerHandle::builder();
    for repository in &own.repositories {
        builder = builder.repository(repository);
    }
    for folder in own.backends.folders() {
        builder = builder.backend_directory(folder);
    }
    if let Some(name) = &own.config_name {
        builder = builder.config_name(name);
    }
    let findings = builder.lint()?;
    let number = |severity| findings.iter().filter(|finding| finding.severity() == severity).count();
    let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note].map(number);
    let remarks = findings.iter().map(Remark::of_finding);
    match own.format {
        Format::Json => {
            let remarks: Vec<Value> = remarks.map(|remark| remark.json()).collect();
            let all = json!({ "findings": remarks, "errors": errors, "warnings": warnings, "notes": notes });
            print(&format!("{all:#}\n"))?;
        }
        Format::Text => {
            let renderer = report::renderer(said);
            let texts: String = remarks.map(|remark| remark.text(&renderer) + "\n").collect();
            let counts = [count(errors, "error"), count(warnings, "warning"), count(notes, "note")];
            print(&format!("{texts}{}\n", counts.join(", ")))?;
        }
    }
    Ok(End::problems_if(errors > 0 || own.strict && warnings > 0))
}
