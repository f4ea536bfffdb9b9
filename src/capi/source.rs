//! Repositories that lie elsewhere: named in options, brought into a cache when a server starts.

use super::door::door;
use super::handle::{borrow, borrow_mut, check_size, utf8};
use super::options::Options;
use super::repository::texts;
use super::status::Status;
use crate::config::SourceOptions;
use crate::repository::FolderSource;
use crate::server::ServerBuilder;
use inferlay_backend_sdk::Error;
use std::ffi::c_char;

/// What the URL of a folder begins with.
const FILE: &str = "file://";

/// A repository that lies elsewhere, and the folder that its copies are kept in. Set `struct_size` to
/// `sizeof(inferlay_source)`, and what is not used to 0.
#[repr(C)]
pub struct SourceOf {
    /// `sizeof(inferlay_source)`.
    pub struct_size: usize,
    /// Where it lies: `file:///folder`, such as a drive of the network; or, of a library that was built with the feature
    /// `object-store`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `https://host/folder`
    /// where WebDAV is spoken.
    pub url: *const c_char,
    /// The folder for copies. Several servers and processes may share it; only users who may change the models should be
    /// able to write into it.
    pub cache: *const c_char,
    /// Names of options of an object store, such as `aws_endpoint` and `aws_region`.
    pub option_names: *const *const c_char,
    /// Their values, one for each of `option_names`.
    pub option_values: *const *const c_char,
    /// The number of options.
    pub options_len: usize,
    /// Whether the environment variables `AWS_*`, `AZURE_*` and `GOOGLE_*` are options, too; those that are given go
    /// first.
    pub from_environment: bool,
}

impl SourceOf {
    /// The source that the caller describes.
    ///
    /// # Errors
    /// `INVALID_ARG`.
    ///
    /// # Safety
    /// `source` is NULL or good for reading, with all it points to.
    unsafe fn read(source: *const SourceOf) -> Result<SourceOptions, Error> {
        // SAFETY: the caller's promise.
        let said = unsafe { borrow(source, "source") }?;
        check_size::<Self>("source", said.struct_size)?;
        // SAFETY: the caller's promise.
        let names = unsafe { texts(said.option_names, said.options_len, "source: option_names") }?;
        // SAFETY: the caller's promise.
        let values = unsafe { texts(said.option_values, said.options_len, "source: option_values") }?;
        let options = names.iter().zip(values).map(|(name, value)| [(*name).to_owned(), value.to_owned()]);
        Ok(SourceOptions {
            // SAFETY: the caller's promise.
            url: unsafe { utf8(said.url, "source: url") }?.to_owned(),
            // SAFETY: the caller's promise.
            cache: unsafe { utf8(said.cache, "source: cache") }?.to_owned(),
            options: options.collect(),
            from_environment: said.from_environment,
        })
    }
}

/// Refuses what this library cannot reach.
///
/// # Errors
/// `INVALID_ARG` for what is no URL, `UNSUPPORTED` for an object store in a build without.
pub(super) fn check(said: &SourceOptions) -> Result<(), Error> {
    // Never the whole of it: a URL may hold a password.
    let Some((scheme, _)) = said.url.split_once("://") else {
        return Err(Error::invalid_arg("source: url: found no scheme, expected one such as file:// or s3://"));
    };
    if let Some(folder) = local(&said.url) {
        return folder.map(drop);
    }
    if cfg!(feature = "object-store") {
        return Ok(());
    }
    let scheme = scheme.escape_debug();
    let message =
        format!("source: found '{scheme}://' in a build without the feature `object-store`, expected file://");
    Err(Error::unsupported(message))
}

/// The builder, told of a source that was checked.
pub(super) fn apply(builder: ServerBuilder, said: &SourceOptions) -> ServerBuilder {
    match local(&said.url) {
        Some(Ok(folder)) => builder.source(FolderSource::new(folder), &said.cache),
        Some(Err(_)) | None => apply_url(builder, said),
    }
}

/// The folder that a URL of this machine names; `None` for what lies elsewhere.
///
/// # Errors
/// `INVALID_ARG` for one with a host, or whose path cannot be read.
fn local(url: &str) -> Option<Result<String, Error>> {
    let (host, path) = url.strip_prefix(FILE).map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))?;
    if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
        return Some(Err(Error::invalid_arg("source: url: found file:// with a host, expected file:///folder")));
    }
    if path.is_empty() {
        return Some(Err(Error::invalid_arg("source: url: found file:// without a folder, expected file:///folder")));
    }
    let expected = "expected UTF-8 without NUL, with % before two hexadecimal digits only";
    Some(
        decoded(path)
            .ok_or_else(|| Error::invalid_arg(format!("source: url: found a folder that is no text, {expected}"))),
    )
}

/// A path of a URL as text, each `%20` of it as the byte that it stands for.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let byte;
        (byte, rest) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                ((16 * digit(*high)? + digit(*low)?) as u8, after)
            }
            (b'%', _) => return None,
            _ => (*first, after),
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
}

#[cfg(feature = "object-store")]
fn apply_url(builder: ServerBuilder, said: &SourceOptions) -> ServerBuilder {
    let options = crate::repository::UrlOptions::new(&said.cache);
    let options = said.options.iter().fold(options, |options, [name, value]| options.option(name, value));
    let options = if said.from_environment { options.from_environment() } else { options };
    builder.repository_url(&said.url, options)
}

#[cfg(not(feature = "object-store"))]
fn apply_url(builder: ServerBuilder, _: &SourceOptions) -> ServerBuilder {
    builder
}

/// Adds a repository that lies elsewhere: what it lists is brought into its cache when a server starts, as far as it is
/// not there, and served from this copy.                                                  [one thread] [never blocks]
///
/// A download that was interrupted goes on where it ended, also in the next process; a copy is seen only when it is
/// whole. `source` and all it points to: borrowed for the call. Fails with UNSUPPORTED for an object store when this
/// library was built without; what cannot be reached fails the start.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_source(options: *mut Options, source: *const SourceOf) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        let said = unsafe { SourceOf::read(source) }?;
        check(&said)?;
        options.sources.push(said);
        Ok(())
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_this_machine_is_a_folder_and_of_another_one_is_refused() {
        let rows = [
            ("file:///mnt/models", Some("/mnt/models")),
            ("file://localhost/mnt/models", Some("/mnt/models")),
            ("file:///a%20b/%C3%A9%2e", Some("/a b/\u{e9}.")),
            ("file://drive/models", None),
            ("file://models", None),
            ("file://", None),
            ("file://localhost", None),
            ("file:///a%2", None),
            ("file:///a%zz", None),
            ("file:///a%+1", None),
            ("file:///a%00", None),
            ("file:///a%ff", None),
        ];
        for (url, expected) in rows {
            let found = local(url).expect("it is a URL of a file");
            assert_eq!(found.as_deref().ok(), expected, "{url}");
            let said = SourceOptions { url: url.to_owned(), ..SourceOptions::default() };
            assert_eq!(check(&said).is_ok(), expected.is_some(), "{url}");
        }
        assert!(local("s3://bucket/models").is_none());
    }
}
