//! The models of `overhead` as Triton wants them, and the backend that serves them, in the folder for temporary files.

use super::place::Place;
use super::triton::{Api, Backend, Server};
use crate::case::CaseError;
use crate::models::Models;
use std::fs;
use std::rc::Rc;

const PLAIN: &str = "input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 1, 16 ] } ]\n\
                     output [ { name: \"y\" data_type: TYPE_FP32 dims: [ 1, 16 ] } ]\n";
const BATCHED: &str = "max_batch_size: 64\n\
                       input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 16 ] } ]\n\
                       output [ { name: \"y\" data_type: TYPE_FP32 dims: [ 16 ] } ]\n\
                       dynamic_batching { max_queue_delay_microseconds: 0 }\n";
/// One instance, as in ours, wherever Triton runs.
const INSTANCE: &str = "instance_group [ { kind: KIND_CPU count: 1 } ]\n";

/// What Triton serves; it goes when this does.
pub(super) struct Repository {
    models: Models,
    /// Apart from the models: every folder among them would be taken for one.
    backends: Models,
    pub(super) backend: Backend,
}

impl Repository {
    /// Writes the models and compiles the backend; `name` keeps it apart from others.
    pub(super) fn new(name: &str, place: &Place) -> Result<Self, CaseError> {
        let (models, backends) = (Models::new(name)?, Models::new(&format!("{name}-backends"))?);
        for (model, config) in [("plain", PLAIN), ("batched", BATCHED)] {
            let folder = models.folder().join(model);
            fs::create_dir_all(folder.join("1"))?;
            let backend = format!("backend: \"{}\"\n", Backend::NAME);
            fs::write(folder.join("config.pbtxt"), [&backend, config, INSTANCE].concat())?;
        }
        let backend = Backend::compile(backends.folder(), &place.library)?;
        Ok(Repository { models, backends, backend })
    }

    /// A server of these models, ready.
    pub(super) fn serve(&self, api: &'static Api) -> Result<Rc<Server>, String> {
        let server = Server::start(api, self.models.folder(), self.backends.folder())?;
        match server.is_ready()? {
            true => Ok(server),
            false => Err("triton: found it not ready after its start".to_owned()),
        }
    }
}
