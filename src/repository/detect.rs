//! Finds the model file of a version and the backend that reads it. Pure but for looking files up.

use super::name::Shown;
use inferlay_backend_sdk::{Error, ModelFiles};

/// How many names an error lists.
const LISTED_MAX: usize = 10;

/// The index of the backend in `backends` (name, file names and extensions in order of preference), and the name of the
/// model file.
///
/// `default_model_filename` is taken at its word; else an exact name such as `model.onnx` wins, in the order of
/// backends and names; else the one file directly in the folder that has an extension such as `.onnx`. Where several
/// backends read the same file, the first one gets it. A backend that is the only one may read any file that
/// `default_model_filename` names, and gets the empty name if it lists no file names: it needs no file.
///
/// # Errors
/// `NOT_FOUND` when there is no such file, naming what is there; `INVALID_ARG` when several fit or no backend reads it.
pub(crate) fn detect(
    files: &dyn ModelFiles,
    backends: &[(&str, &[&str])],
    default_model_filename: Option<&str>,
) -> Result<(usize, String), Error> {
    if let Some(name) = default_model_filename {
        return named(files, backends, name);
    }
    if let [(_, [])] = backends {
        return Ok((0, String::new()));
    }
    let names = files.names();
    if let Some(found) = exact(&names, backends) {
        return Ok(found);
    }
    let fitting: Vec<&String> = names.iter().filter(|name| by_extension(name, backends).is_some()).collect();
    match fitting[..] {
        [name] => Ok((by_extension(name, backends).unwrap_or_default(), name.clone())),
        [] => Err(Error::not_found(format!("model file: found {}, expected {}", listed(&names), recognised(backends)))),
        _ => Err(Error::invalid_arg(format!(
            "model file: found {}, expected one of them, or default_model_filename to say which",
            listed(&fitting)
        ))),
    }
}

/// The first of these names that the files have, as a file or as a folder.
pub(crate) fn first_of(files: &dyn ModelFiles, wanted: impl IntoIterator<Item = &'static str>) -> Option<String> {
    let names = files.names();
    wanted.into_iter().find(|name| names.iter().any(|own| own == name || lies_in(own, name))).map(str::to_owned)
}

fn lies_in(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn named(files: &dyn ModelFiles, backends: &[(&str, &[&str])], name: &str) -> Result<(usize, String), Error> {
    // A folder may be a model as well: in memory it is only seen by what lies in it.
    if !files.names().iter().any(|own| lies_in(own, name)) {
        files.path(name).map_err(|error| error.at("default_model_filename"))?;
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    let own = backends.iter().position(|(_, patterns)| patterns.contains(&name));
    match own.or_else(|| by_extension(last, backends)) {
        Some(backend) => Ok((backend, name.to_owned())),
        None if backends.len() == 1 => Ok((0, name.to_owned())),
        None => Err(Error::invalid_arg(format!(
            "default_model_filename: found {}, expected {}, or the key backend to say who reads it",
            Shown::text(name),
            recognised(backends)
        ))),
    }
}

fn exact(names: &[String], backends: &[(&str, &[&str])]) -> Option<(usize, String)> {
    let wanted = backends.iter().enumerate().flat_map(|(i, (_, patterns))| patterns.iter().map(move |p| (i, *p)));
    wanted
        .filter(|(_, pattern)| !is_extension(pattern))
        .find(|(_, pattern)| names.iter().any(|name| name == pattern))
        .map(|(backend, name)| (backend, name.to_owned()))
}

/// The first backend with an extension that `name`, which lies directly in the folder, ends with.
fn by_extension(name: &str, backends: &[(&str, &[&str])]) -> Option<usize> {
    let ends = |pattern: &&str| {
        let stem = name.len().checked_sub(pattern.len()).filter(|stem| *stem > 0 && name.is_char_boundary(*stem));
        is_extension(pattern) && stem.is_some_and(|stem| name[stem..].eq_ignore_ascii_case(pattern))
    };
    let fits = |(_, patterns): &(&str, &[&str])| patterns.iter().any(ends);
    backends.iter().position(fits).filter(|_| !name.contains('/'))
}

fn is_extension(pattern: &str) -> bool {
    pattern.starts_with('.')
}

fn listed(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<String> = names.iter().take(LISTED_MAX).map(|name| Shown::text(name.as_ref()).to_string()).collect();
    match names.len() {
        0 => "no file".to_owned(),
        count if count > LISTED_MAX => format!("{} and {} more", shown.join(", "), count - LISTED_MAX),
        _ => shown.join(", "),
    }
}

fn recognised(backends: &[(&str, &[&str])]) -> String {
    let of_backend = |(name, patterns): &(&str, &[&str])| match patterns {
        [] => format!("nothing ({name} needs to be named by the key backend)"),
        _ => format!("{} ({name})", patterns.join(" or ")),
    };
    match backends {
        [] => "a backend; there is none, neither linked, as the feature 'tract' does, nor in a folder of backends"
            .to_owned(),
        _ => backends.iter().map(of_backend).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::MemoryFiles;
    use super::*;
    use inferlay_backend_sdk::ErrorKind;

    const TRACT: (&str, &[&str]) = ("tract", &["model.onnx", ".onnx"]);
    const ORT: (&str, &[&str]) = ("onnxruntime", &["model.ort", ".ort", ".onnx"]);
    const NULL: (&str, &[&str]) = ("null", &[]);

    fn found(names: &[&str], backends: &[(&str, &[&str])], default: Option<&str>) -> Result<(usize, String), Error> {
        let files = names.iter().map(|name| ((*name).to_owned(), Vec::<u8>::new()));
        detect(&MemoryFiles::new(files).unwrap(), backends, default)
    }

    #[test]
    fn the_file_and_its_backend_are_found() {
        type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a [&'a str])], Option<&'a str>, usize, &'a str);
        let rows: [Row<'_>; 11] = [
            (&["model.onnx"], &[TRACT], None, 0, "model.onnx"),
            (&["a.onnx", "model.onnx"], &[TRACT], None, 0, "model.onnx"),
            (&["digits.onnx", "digits.onnx.data", "labels.txt"], &[TRACT], None, 0, "digits.onnx"),
            (&["DIGITS.ONNX"], &[TRACT], None, 0, "DIGITS.ONNX"),
            (&["model.onnx", "model.ort"], &[ORT, TRACT], None, 0, "model.ort"),
            (&["a.onnx"], &[NULL, ORT, TRACT], None, 1, "a.onnx"),
            (&["a.onnx", "parts/b.onnx"], &[TRACT], None, 0, "a.onnx"),
            (&["model.onnx", "b.ort"], &[TRACT, ORT], Some("b.ort"), 1, "b.ort"),
            (&["net/b.onnx"], &[NULL, TRACT], Some("net/b.onnx"), 1, "net/b.onnx"),
            (&["weights.bin"], &[TRACT], Some("weights.bin"), 0, "weights.bin"),
            (&[], &[NULL], None, 0, ""),
        ];
        for (names, backends, default, backend, name) in rows {
            assert_eq!(found(names, backends, default).unwrap(), (backend, name.to_owned()), "{names:?} {default:?}");
        }
    }

    #[test]
    fn what_is_not_found_is_told_with_what_is_there() {
        type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a [&'a str])], Option<&'a str>, ErrorKind, &'a str);
        let rows: [Row<'_>; 8] = [
            (
                &["v1/model.onnx"],
                &[TRACT],
                None,
                ErrorKind::NotFound,
                "model file: found 'v1/model.onnx', expected model.onnx or .onnx (tract)",
            ),
            (
                &[],
                &[TRACT, NULL],
                None,
                ErrorKind::NotFound,
                "found no file, expected model.onnx or .onnx (tract), nothing",
            ),
            (&[".onnx", "é.onn"], &[TRACT], None, ErrorKind::NotFound, "found '.onnx', 'é.onn', expected"),
            (
                &["a.onnx", "b.onnx"],
                &[TRACT],
                None,
                ErrorKind::InvalidArg,
                "found 'a.onnx', 'b.onnx', expected one of them",
            ),
            (&["a"], &[], None, ErrorKind::NotFound, "expected a backend; there is none"),
            (
                &["model.onnx"],
                &[TRACT],
                Some("b.onnx"),
                ErrorKind::NotFound,
                "default_model_filename: file 'b.onnx': not",
            ),
            (
                &["model.onnx"],
                &[TRACT],
                Some("../b.onnx"),
                ErrorKind::NotFound,
                "default_model_filename: file '../b.onnx'",
            ),
            (
                &["b.bin"],
                &[TRACT, NULL],
                Some("b.bin"),
                ErrorKind::InvalidArg,
                "found 'b.bin', expected model.onnx or .onnx",
            ),
        ];
        for (names, backends, default, kind, message) in rows {
            let error = found(names, backends, default).unwrap_err();
            assert_eq!(error.kind(), kind, "{names:?} {default:?}");
            assert!(error.message().contains(message), "{error}");
        }
    }

    #[test]
    fn a_folder_may_be_a_model() {
        let names = ["model.savedmodel/saved_model.pb", "model.pb"];
        assert_eq!(found(&names, &[NULL], Some("model.savedmodel")).unwrap().1, "model.savedmodel");
        assert!(found(&names, &[NULL], Some("model.saved")).is_err());
        let files = MemoryFiles::new(names.map(|name| (name.to_owned(), Vec::<u8>::new()))).unwrap();
        assert_eq!(first_of(&files, ["model.graphdef", "model.savedmodel"]).as_deref(), Some("model.savedmodel"));
        assert_eq!(first_of(&files, ["model.onnx"]), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        let names: Vec<String> = (0..25).map(|i| format!("file{i:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let error = found(&names, &[TRACT], None).unwrap_err();
        assert!(error.message().contains("'file09' and 15 more, expected"), "{error}");
    }
}
