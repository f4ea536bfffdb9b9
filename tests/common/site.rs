//! A server that watches a repository of the backend [`Scale`], with a clock that is moved by hand.

use super::scale::Scale;
use super::{Folder, eventually};
use inferlay::{ManualClock, PollOptions, Request, ServerBuilder, ServerHandle, Tensor};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A server that watches a folder, and the clock that it goes by.
pub struct Site {
    pub server: ServerHandle,
    pub clock: ManualClock,
    pub scale: Scale,
}

pub fn options() -> PollOptions {
    PollOptions::new().settle_time(Duration::from_secs(10)).period(Duration::from_secs(1)).by_period_only()
}

pub fn site(build: impl FnOnce(ServerBuilder) -> ServerBuilder, options: PollOptions) -> Site {
    let (clock, scale) = (ManualClock::new(), Scale::default());
    let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).manual_clock(&clock).poll(options);
    Site { server: build(builder).start().unwrap(), clock, scale }
}

impl Site {
    /// Lets time go by, a second at a time, until `is_so`.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut(&ServerHandle) -> bool) {
        eventually(what, || {
            self.clock.advance(Duration::from_secs(1));
            std::thread::yield_now();
            is_so(&self.server)
        });
    }

    /// What the model makes of 1; nothing when it does not serve.
    pub fn factor(&self, model: &str) -> Option<f32> {
        factor(&self.server, model)
    }
}

pub fn factor(server: &ServerHandle, model: &str) -> Option<f32> {
    let x = Tensor::from_vec(vec![1.0f32], [1, 1]).unwrap();
    let response = server.infer(model, Request::new().input("x", x)).ok()?;
    Some(response.slice::<f32>("y").unwrap()[0])
}

pub fn repository(files: &[(&str, &str)]) -> (Folder, PathBuf) {
    let folder = Folder::with(files);
    let path = folder.path().to_owned();
    (folder, path)
}

/// Puts a file in the place of another in one step, as whoever publishes a model should.
pub fn publish(folder: &Path, name: &str, text: &str) {
    fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    fs::write(folder.join("new.tmp"), text).unwrap();
    fs::rename(folder.join("new.tmp"), folder.join(name)).unwrap();
}
