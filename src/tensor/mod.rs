//! Tensors as the caller makes and reads them. The types themselves are the SDK's, shared with every backend.

pub(crate) mod gather;
mod input;
#[cfg(feature = "ndarray")]
mod ndarray;
pub(crate) mod reshape;
pub(crate) mod wire;

pub use inferlay_backend_sdk::{Buffer, Element, Shape, Tensor, TensorRef};
pub use input::{Input, OutputMemory};
#[cfg(feature = "ndarray")]
pub use ndarray::{IntoTensor, ToNdarray};
