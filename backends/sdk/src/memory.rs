//! Where memory lies and what orders access to it: plain values.

/// The kind of memory that a buffer lies in.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{MemoryKind, Placement};
/// assert_eq!(Placement::default().kind, MemoryKind::Host);
/// assert!(!MemoryKind::Device.is_host());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
#[non_exhaustive]
pub enum MemoryKind {
    /// Ordinary memory of the process.
    #[default]
    Host = 0,
    /// Page-locked host memory that a device copies from and to directly.
    Pinned = 1,
    /// Memory of a device; the host cannot read it.
    Device = 2,
    /// Memory that migrates between host and device.
    Managed = 3,
    /// Memory shared with another process.
    Shared = 4,
}

impl MemoryKind {
    /// Whether the processor may read and write it through a pointer.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::MemoryKind;
    /// assert!(MemoryKind::Pinned.is_host() && !MemoryKind::Device.is_host());
    /// ```
    pub fn is_host(self) -> bool {
        !matches!(self, MemoryKind::Device)
    }
}

/// The processor, or one accelerator by its number.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Device;
/// let number = |device| match device {
///     Device::Cuda(number) => Some(number),
///     _ => None,
/// };
/// assert_eq!((number(Device::Cuda(1)), number(Device::default())), (Some(1), None));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The host's processors.
    #[default]
    Cpu,
    /// A CUDA device.
    Cuda(u32),
}

/// Where memory lies, or is wanted: kind and device.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Device, MemoryKind, Placement};
/// let staging = Placement { kind: MemoryKind::Pinned, device: Device::Cuda(0) };
/// assert!(staging.kind.is_host() && staging != Placement::HOST);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The kind of memory.
    pub kind: MemoryKind,
    /// The device that it belongs to or is pinned for.
    pub device: Device,
}

impl Placement {
    /// Ordinary host memory.
    pub const HOST: Placement = Placement { kind: MemoryKind::Host, device: Device::Cpu };
}

/// What must have happened before the memory of a tensor may be touched.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, Ready, Tensor};
/// let stream = 0x7f00; // A `cudaStream_t` as a number.
/// let tensor = Tensor::from_vec(vec![1.0f32], [1])?;
/// assert_eq!(tensor.ready(), Ready::Now);
/// assert_eq!(tensor.with_ready(Ready::Stream(stream)).ready(), Ready::Stream(stream));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ready {
    /// Nothing: the data is there.
    #[default]
    Now,
    /// This device event (a `cudaEvent_t`) has been reached.
    Event(usize),
    /// Work queued so far on this stream (a `cudaStream_t`) has finished.
    Stream(usize),
}
