//! Repositories that are more than one folder, and those that come and go while a server runs.

use super::door::door;
use super::handle::{borrow, check_size, slice, utf8};
use super::server::{Server, handle};
use super::status::Status;
use crate::server::Repository;
use inferlay_backend_sdk::Error;
use std::ffi::c_char;

/// A repository: folders of models that are searched as one, and the names that their models are served under. Set
/// `struct_size` to `sizeof(inferlay_repository)`, and what is not used to 0.
#[repr(C)]
pub struct RepositoryOf {
    /// `sizeof(inferlay_repository)`.
    pub struct_size: usize,
    /// The folders: `<folder>/<model>/<version>/<file>`. A model lies in one of them.
    pub folders: *const *const c_char,
    /// The number of folders, at least 1.
    pub folders_len: usize,
    /// What is put before the names of all models, and a '/', so that two repositories may hold the same name; NULL for
    /// nothing.
    pub prefix: *const c_char,
    /// Names of models' folders.
    pub own_names: *const *const c_char,
    /// Under which they are served, one for each of `own_names`.
    pub served_names: *const *const c_char,
    /// The number of names; 0 when all are served as their folders are called.
    pub names_len: usize,
}

impl RepositoryOf {
    /// The repository that the caller describes.
    ///
    /// # Errors
    /// `INVALID_ARG`.
    ///
    /// # Safety
    /// `repository` is NULL or good for reading, with all it points to.
    pub(super) unsafe fn read(repository: *const RepositoryOf) -> Result<Repository, Error> {
        // SAFETY: the caller's promise.
        let said = unsafe { borrow(repository, "repository") }?;
        check_size::<Self>("repository", said.struct_size)?;
        // SAFETY: the caller's promise.
        let folders = unsafe { texts(said.folders, said.folders_len, "repository: folders") }?;
        let Some((first, others)) = folders.split_first() else {
            return Err(Error::invalid_arg("repository: folders: found none, expected one at least"));
        };
        let mut made = others.iter().fold(Repository::at(*first), |made, folder| made.and(*folder));
        if !said.prefix.is_null() {
            // SAFETY: the caller's promise.
            made = made.namespace(unsafe { utf8(said.prefix, "repository: prefix") }?);
        }
        // SAFETY: the caller's promise.
        let own = unsafe { texts(said.own_names, said.names_len, "repository: own_names") }?;
        // SAFETY: the caller's promise.
        let served = unsafe { texts(said.served_names, said.names_len, "repository: served_names") }?;
        Ok(own.iter().zip(served).fold(made, |made, (own, name)| made.serve_as(*own, name)))
    }
}

/// Texts of the caller.
///
/// # Safety
/// `pointer` is NULL or good for reading `len` texts, which stay as they are during the call.
pub(super) unsafe fn texts<'a>(
    pointer: *const *const c_char,
    len: usize,
    parameter: &'static str,
) -> Result<Vec<&'a str>, Error> {
    // SAFETY: the caller's promise.
    let all = unsafe { slice(pointer, len, parameter) }?;
    // SAFETY: the caller's promise.
    all.iter().map(|one| unsafe { utf8(*one, parameter) }).collect()
}

/// Adds a folder of models to a server that runs. One that polls loads them; else they are loaded when they are asked
/// for.                                                                                   [any thread] [never blocks]
///
/// `folder`: borrowed for the call. Fails with ALREADY_EXISTS for a repository of the same folder.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_add_repository(server: *const Server, folder: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.add_repository(unsafe { utf8(folder, "folder") }?)
    })
}

/// Adds a repository of several folders, or whose models are served under other names, to a server that runs.
///                                                                                        [any thread] [never blocks]
/// `repository` and all it points to: borrowed for the call. Fails as `inferlay_server_add_repository`, and with
/// INVALID_ARG for a name or prefix that no model may bear.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_add_repository_with(
    server: *const Server,
    repository: *const RepositoryOf,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.add_repository_with(unsafe { RepositoryOf::read(repository) }?)
    })
}

/// Takes a repository away, by its folders. A server that polls unloads its models; else they serve on.
///                                                                                        [any thread] [never blocks]
/// `folders`: borrowed for the call, all those that the repository was added with. Fails with NOT_FOUND.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_remove_repository(
    server: *const Server,
    folders: *const *const c_char,
    folders_len: usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.remove_repository(unsafe { texts(folders, folders_len, "folders") }?)
    })
}
