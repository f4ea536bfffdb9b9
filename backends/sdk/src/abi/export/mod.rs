//! The plugin's side: a backend in Rust behind the C table.
//!
//! ```text
//!   export_backend! -> entry -> Table      made once, never freed
//!     objects  backend, model, instance:   boxes behind the pointers that the host keeps
//!     source   files, config, log:         what `Backend::load` is given
//!     batch, request                       the SDK's traits over the host's functions
//! ```
//!
//! Every function is called by the host, catches panics and turns them into statuses.

mod batch;
mod objects;
mod options;
mod request;
mod source;

use super::{
    INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE, INFERLAY_ABI_MAJOR, INFERLAY_ABI_MINOR, guard_or, inferlay_abi_backend,
    inferlay_abi_engine, inferlay_abi_host,
};
use crate::Backend;
use std::ffi::{CString, c_char};
use std::ptr::null;
use std::sync::OnceLock;

/// The table of a backend in Rust. Lives as long as the process.
#[derive(Debug)]
pub struct Table(inferlay_abi_backend);

impl Table {
    /// The table of the backend that `B::default()` makes, once per server. What it points to is leaked: make one per
    /// process.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::abi::{INFERLAY_ABI_MAJOR, Table};
    /// # use inferlay_backend_sdk::*;
    /// # #[derive(Default)] struct Mine;
    /// # impl Backend for Mine {
    /// #     fn name(&self) -> &str { "mine" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, _: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> { Err(Error::unsupported("no")) }
    /// # }
    /// let table = Table::new::<Mine>();
    /// assert_eq!(table.table().abi_major, INFERLAY_ABI_MAJOR);
    /// ```
    pub fn new<B: Backend + Default + 'static>() -> Self {
        let backend = B::default();
        let mut file_names: Vec<_> = backend.file_names().iter().map(|name| leaked(name)).collect();
        file_names.push(null());
        Table(inferlay_abi_backend {
            struct_size: size_of::<inferlay_abi_backend>() as u32,
            abi_major: INFERLAY_ABI_MAJOR,
            abi_minor: INFERLAY_ABI_MINOR,
            // An instance in Rust is borrowed exclusively while it executes.
            attributes: backend.attributes().bits() & !INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE,
            name: leaked(backend.name()),
            version: leaked(backend.version()),
            file_names: file_names.leak().as_ptr(),
            input_memory: 0,
            instance_groups: null(),
            extension: None,
            backend_new: Some(objects::backend_new::<B>),
            backend_free: Some(objects::backend_free),
            model_new: Some(objects::model_new),
            model_free: Some(objects::model_free),
            model_signature: Some(objects::model_signature),
            model_config: Some(objects::model_config),
            model_memory_estimate: Some(objects::model_memory_estimate),
            model_memory_use: Some(objects::model_memory_use),
            model_trim: Some(objects::model_trim),
            model_reconfigure: None,
            model_suspend: None,
            model_resume: None,
            instance_new: Some(objects::instance_new),
            instance_free: Some(objects::instance_free),
            batches_in_flight_max: Some(objects::batches_in_flight_max),
            input_alloc: None,
            execute: Some(objects::execute),
            sequence_ended: None,
            batcher_new: None,
            batcher_free: None,
            batch_begin: None,
            batch_include: None,
            batch_end: None,
            instance_interrupt: None,
        })
    }

    /// The table as it crosses.
    pub fn table(&self) -> &inferlay_abi_backend {
        &self.0
    }
}

/// What the symbol of [`crate::export_backend!`] does.
#[doc(hidden)]
pub fn entry<B: Backend + Default + 'static>(table: &'static OnceLock<Table>) -> *const inferlay_abi_backend {
    guard_or(null(), || &raw const table.get_or_init(Table::new::<B>).0)
}

/// A string that ends with a null byte and is never freed; cut at a null byte of its own.
fn leaked(text: &str) -> *const c_char {
    let whole = text.split('\0').next().unwrap_or_default();
    CString::new(whole).map_or(null(), |text| text.into_raw().cast_const())
}

/// The host and the server that an object belongs to.
#[derive(Clone, Copy, Debug)]
struct Home {
    host: &'static inferlay_abi_host,
    engine: *const inferlay_abi_engine,
}

// SAFETY: the host's table is immutable, and the engine may be used on any thread until `backend_free`.
unsafe impl Send for Home {}
// SAFETY: as for `Send`.
unsafe impl Sync for Home {}

/// Exports a backend from a shared library, as the symbol `inferlay_backend_<name>`.
///
/// The type implements [`Backend`] and [`Default`], and its [`Backend::name`] is `<name>`. Put it behind a feature of the
/// backend's crate, such as `plugin`, so that the crate can be linked in as well without exporting anything, and build it
/// with `cargo rustc --features plugin --crate-type cdylib`. A crate that forbids `unsafe_code` must deny it instead.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::*;
///
/// #[derive(Default)]
/// struct Mine;
///
/// impl Backend for Mine {
///     fn name(&self) -> &str { "mine" }
///     fn version(&self) -> &str { "1" }
///     fn file_names(&self) -> &[&str] { &[".mine"] }
///     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
///         Err(Error::unsupported(format!("{}: this one loads nothing", source.name)))
///     }
/// }
///
/// export_backend!(mine, Mine);
/// ```
#[macro_export]
macro_rules! export_backend {
    ($name:ident, $backend:ty) => {
        #[allow(unsafe_code, reason = "an exported symbol may clash with another of its name")]
        const _: () = {
            static TABLE: ::std::sync::OnceLock<$crate::abi::Table> = ::std::sync::OnceLock::new();

            #[unsafe(export_name = ::std::concat!("inferlay_backend_", ::std::stringify!($name)))]
            unsafe extern "C" fn entry(
                _host: *const $crate::abi::inferlay_abi_host,
            ) -> *const $crate::abi::inferlay_abi_backend {
                $crate::abi::entry::<$backend>(&TABLE)
            }

            const _: $crate::abi::inferlay_abi_entry_fn = entry;
        };
    };
}
