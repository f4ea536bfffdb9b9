//! A network called by the C API of ONNX Runtime, in a loop: one thread, values made once, outputs written in place.
#![allow(unsafe_code)]

use super::Network;
use crate::case::{Case, CaseError};
use crate::measure::{Figures, Meter};
use ort::sys::{
    ONNXTensorElementDataType, OrtAllocatorType, OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtSession, OrtStatusPtr,
    OrtValue,
};
use std::ffi::CString;
use std::path::Path;
use std::ptr::{null, null_mut};
use std::time::Instant;

/// One network at one batch size. The runtime's environment must exist: a server that has loaded a model made it.
pub(super) struct Direct {
    name: &'static str,
    rows: usize,
    session: *mut OrtSession,
    names: [CString; 2],
    /// Values over the two vectors below, whose memory does not move.
    values: [*mut OrtValue; 2],
    memory: *mut OrtMemoryInfo,
    _input: Vec<f32>,
    _output: Vec<f32>,
}

fn check(status: OrtStatusPtr) -> Result<(), CaseError> {
    // SAFETY: the status was just returned by a function of the API, and is taken over once.
    Ok(unsafe { ort::Error::<()>::result_from_status(status) }?)
}

impl Direct {
    pub(super) fn new(name: &'static str, file: &Path, network: &Network, rows: usize) -> Result<Self, CaseError> {
        let session = session(file)?;
        let mut memory = null_mut();
        let (allocator, kind) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
        // SAFETY: a place of ours to write to.
        check(unsafe { (ort::api().CreateCpuMemoryInfo)(allocator, kind, &raw mut memory) })?;
        let (mut input, mut output) = (network.pixels(rows), vec![0f32; rows * network.output_len]);
        let input_value = value(memory, &mut input, &network.shape(rows))?;
        let output_value = value(memory, &mut output, &[rows as i64, network.output_len as i64])?;
        let names = [CString::new(network.input)?, CString::new(network.output)?];
        let values = [input_value, output_value];
        Ok(Direct { name, rows, session, names, values, memory, _input: input, _output: output })
    }

    fn run(&mut self, batches: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        let (input_name, output_name) = (self.names[0].as_ptr(), self.names[1].as_ptr());
        let (input, mut output) = (self.values[0].cast_const(), self.values[1]);
        for _ in 0..batches {
            let begun = Instant::now();
            // SAFETY: session, names and values are alive; the memory of the values is ours, and used by nobody else.
            let status = unsafe {
                (ort::api().Run)(
                    self.session,
                    null(),
                    &raw const input_name,
                    &raw const input,
                    1,
                    &raw const output_name,
                    1,
                    &raw mut output,
                )
            };
            check(status)?;
            samples.push(begun.elapsed().as_nanos() as u64);
        }
        Ok(())
    }
}

/// A session on one thread. The environment is the one that the process has already, by a count more.
fn session(file: &Path) -> Result<*mut OrtSession, CaseError> {
    let (api, mut environment, mut options, mut session) = (ort::api(), null_mut(), null_mut(), null_mut());
    let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR;
    // SAFETY: the name ends with a zero; the environment is written during the call, and never released.
    check(unsafe { (api.CreateEnv)(level, c"bare".as_ptr(), &raw mut environment) })?;
    // SAFETY: a place of ours to write to.
    check(unsafe { (api.CreateSessionOptions)(&raw mut options) })?;
    // SAFETY: the options are ours.
    check(unsafe { (api.SetIntraOpNumThreads)(options, 1) })?;
    // SAFETY: the options are ours.
    check(unsafe { (api.SetInterOpNumThreads)(options, 1) })?;
    let path = CString::new(file.to_string_lossy().into_owned())?;
    // SAFETY: environment and options are alive, and the path ends with a zero.
    check(unsafe { (api.CreateSession)(environment, path.as_ptr(), options, &raw mut session) })?;
    // SAFETY: ours, released once; the session has copied what it needs.
    unsafe { (api.ReleaseSessionOptions)(options) };
    Ok(session)
}

/// A value over `elements`, which must stay where they are as long as it is used.
fn value(memory: *const OrtMemoryInfo, elements: &mut [f32], shape: &[i64]) -> Result<*mut OrtValue, CaseError> {
    let mut value = null_mut();
    let (pointer, len) = (elements.as_mut_ptr().cast(), size_of_val(elements));
    let float = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    let create = ort::api().CreateTensorWithDataAsOrtValue;
    // SAFETY: the memory info and the shape are alive for the call; the runtime compares the length with the shape.
    check(unsafe { create(memory, pointer, len, shape.as_ptr(), shape.len(), float, &raw mut value) })?;
    Ok(value)
}

impl Drop for Direct {
    fn drop(&mut self) {
        for value in self.values {
            // SAFETY: ours, released once.
            unsafe { (ort::api().ReleaseValue)(value) };
        }
        // SAFETY: ours, released once, after the values.
        unsafe { (ort::api().ReleaseMemoryInfo)(self.memory) };
        // SAFETY: ours, released once.
        unsafe { (ort::api().ReleaseSession)(self.session) };
    }
}

impl Case for Direct {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let (warm_up, batches) = (warm_up.div_ceil(self.rows), requests.div_ceil(self.rows));
        let mut samples = Vec::with_capacity(warm_up.max(batches));
        self.run(warm_up, &mut samples)?;
        samples.clear();
        let meter = Meter::start();
        self.run(batches, &mut samples)?;
        let mut figures = meter.stop(self.name, batches * self.rows, &mut samples);
        figures.mean_batch = self.rows as f64;
        Ok(figures)
    }
}
