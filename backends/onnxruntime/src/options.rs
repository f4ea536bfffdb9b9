//! What the server, not a model, says about this backend. Pure.

use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The names that [`Options::from_pairs`] knows.
const NAMES: [&str; 4] = ["library", "intra_op_thread_count", "allow_spinning", "custom_op_folder"];

/// The options of the backend, which hold for the whole process: the first model to be loaded settles them.
///
/// # Examples
/// ```
/// use inferlay_backend_onnxruntime::{OnnxRuntimeBackend, Options};
/// let options = Options::new().library("/opt/onnxruntime/lib/libonnxruntime.so").intra_op_thread_count(4);
/// let _backend = OnnxRuntimeBackend::new(options);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Options {
    pub(crate) library: Option<PathBuf>,
    pub(crate) intra_op_thread_count: Option<usize>,
    pub(crate) allow_spinning: bool,
    pub(crate) custom_op_folder: Option<PathBuf>,
}

impl Options {
    /// The runtime is looked for, computes on as many threads as there are cores, and no custom operators are loaded.
    pub fn new() -> Self {
        Self::default()
    }

    /// The file of the runtime's library, or the folder that it lies in. It is then looked for nowhere else.
    pub fn library(mut self, path: impl AsRef<Path>) -> Self {
        self.library = Some(path.as_ref().to_owned());
        self
    }

    /// How many threads one operator may spread over, the calling one included. All models without threads of their own
    /// share them.
    pub fn intra_op_thread_count(mut self, threads: usize) -> Self {
        self.intra_op_thread_count = Some(threads.max(1));
        self
    }

    /// Whether these threads burn their cores for a while when there is nothing to do.
    pub fn allow_spinning(mut self, allowed: bool) -> Self {
        self.allow_spinning = allowed;
        self
    }

    /// The folder from which models may have libraries of custom operators loaded. Such a library is code that runs in
    /// the server's process.
    pub fn custom_op_folder(mut self, path: impl AsRef<Path>) -> Self {
        self.custom_op_folder = Some(path.as_ref().to_owned());
        self
    }

    /// The options from pairs of name and value, as a server's configuration holds them: `library`,
    /// `intra_op_thread_count`, `allow_spinning` (0 or 1) and `custom_op_folder`.
    ///
    /// # Errors
    /// `INVALID_ARG` for a name that is none of these, or a value that is not what it should be.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_onnxruntime::Options;
    /// let pairs = [("intra_op_thread_count".to_owned(), "4".to_owned())].into();
    /// assert_eq!(Options::from_pairs(&pairs).unwrap(), Options::new().intra_op_thread_count(4));
    /// ```
    pub fn from_pairs(pairs: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut options = Options::new();
        for (name, value) in pairs {
            let refused =
                |wanted: &str| Error::invalid_arg(format!("option '{name}': found '{value}', expected {wanted}"));
            options = match &name[..] {
                "library" => options.library(value),
                "custom_op_folder" => options.custom_op_folder(value),
                "allow_spinning" => options.allow_spinning(match &value[..] {
                    "0" => false,
                    "1" => true,
                    _ => return Err(refused("0 or 1")),
                }),
                "intra_op_thread_count" => {
                    let threads = value.parse().ok().filter(|threads| *threads > 0);
                    options.intra_op_thread_count(threads.ok_or_else(|| refused("a whole number above 0"))?)
                }
                _ => {
                    let known = NAMES.join(", ");
                    return Err(Error::invalid_arg(format!("option '{name}': not known; known: {known}")));
                }
            };
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Options, Error> {
        Options::from_pairs(&pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn pairs_say_what_the_functions_say() {
        let pairs = [
            ("library", "/a/b.so"),
            ("intra_op_thread_count", "3"),
            ("allow_spinning", "1"),
            ("custom_op_folder", "/ops"),
        ];
        let options = Options::new().library("/a/b.so").intra_op_thread_count(3).allow_spinning(true);
        assert_eq!(read(&pairs), Ok(options.custom_op_folder("/ops")));
        assert_eq!(read(&[]), Ok(Options::new()));
    }

    #[test]
    fn a_wrong_pair_is_refused_by_name() {
        for (name, value) in
            [("intra_op_thread_count", "0"), ("intra_op_thread_count", "many"), ("allow_spinning", "yes"), ("lib", "/")]
        {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }
}
