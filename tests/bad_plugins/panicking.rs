//! A backend in Rust that panics where its parameter `panic` says, and echoes otherwise.

use inferlay_backend_sdk::{
    Backend, Batch, Error, Instance, InstanceSpec, Model, ModelSource, Placement, Signature, export_backend,
};

#[derive(Default)]
struct Panicking;

export_backend!(panicking, Panicking);

/// What panics, and again when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

struct Panicker {
    signature: Signature,
    place: String,
}

impl Panicker {
    fn panic(&self, place: &str) {
        assert!(self.place != place, "at {place}");
        if self.place == format!("{place} with a grenade") {
            std::panic::panic_any(Grenade);
        }
    }
}

impl Backend for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let place = source.parameters.get("panic").cloned().unwrap_or_default();
        let own = Panicker { signature: source.config.clone(), place };
        own.panic("load");
        Ok(Box::new(own))
    }
}

impl Model for Panicker {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        self.panic("instance");
        Ok(Box::new(Panicker { signature: self.signature.clone(), place: self.place.clone() }))
    }
}

impl Instance for Panicker {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let x = batch.input(0, Placement::HOST)?;
        let is_bad = x.as_slice::<f32>()?[0] < 0.0;
        if is_bad {
            self.panic("execute");
        }
        if is_bad && self.place == "execute after taking" {
            let _taken = batch.take(0)?;
            self.panic("execute after taking");
        }
        batch.output_buffer(0, x.shape().clone())?.bytes().copy_from_slice(x.bytes()?);
        Ok(())
    }

    fn batches_in_flight_max(&self) -> usize {
        self.panic("batches_in_flight_max");
        1
    }
}

impl Drop for Panicker {
    fn drop(&mut self) {
        self.panic("drop");
    }
}
