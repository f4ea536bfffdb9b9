//! What the GPUs say, under Triton's names, labelled by `gpu_uuid`. This build serves on CPUs only and has none.

use super::exposition::{Exposition, Kind, Labels};

/// What one GPU says; `None` for what it does not tell.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(dead_code, reason = "whoever finds devices fills it; this build finds none")]
pub(crate) struct GpuMetrics {
    pub(crate) uuid: String,
    /// From 0 to 1.
    pub(crate) utilization: Option<f64>,
    pub(crate) memory_bytes: Option<f64>,
    pub(crate) memory_bytes_used: Option<f64>,
    pub(crate) power_watts: Option<f64>,
    pub(crate) power_watts_max: Option<f64>,
    /// Since the server started.
    pub(crate) energy_joules: Option<f64>,
}

/// One value of a GPU.
type Read = fn(&GpuMetrics) -> Option<f64>;

const FAMILIES: [(&str, Kind, &str, Read); 6] = [
    ("nv_gpu_utilization", Kind::Gauge, "Share of the time that the GPU computes, from 0 to 1", |of| of.utilization),
    ("nv_gpu_memory_total_bytes", Kind::Gauge, "Memory of the GPU", |of| of.memory_bytes),
    ("nv_gpu_memory_used_bytes", Kind::Gauge, "Memory of the GPU in use", |of| of.memory_bytes_used),
    ("nv_gpu_power_usage", Kind::Gauge, "Watts that the GPU takes", |of| of.power_watts),
    ("nv_gpu_power_limit", Kind::Gauge, "Watts that the GPU may take", |of| of.power_watts_max),
    ("nv_energy_consumption", Kind::Counter, "Joules that the GPU has taken", |of| of.energy_joules),
];

/// Writes what all GPUs say; nothing where there is none.
pub(super) fn write(text: &mut Exposition, gpus: &[GpuMetrics]) {
    for (name, kind, help, read) in FAMILIES.iter().filter(|(.., read)| gpus.iter().any(|gpu| read(gpu).is_some())) {
        let mut family = text.family(name, *kind, help);
        for (gpu, value) in gpus.iter().filter_map(|gpu| Some((gpu, read(gpu)?))) {
            family.sample(&Labels::new([("gpu_uuid", &gpu.uuid[..])]), value);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_shows_what_it_tells() {
        let mut text = Exposition::default();
        write(&mut text, &[]);
        assert_eq!(text.into_text(), "");
        let gpu = GpuMetrics { uuid: "GPU-1".to_owned(), memory_bytes: Some(64.0), ..GpuMetrics::default() };
        let mut text = Exposition::default();
        write(&mut text, &[gpu, GpuMetrics::default()]);
        let head = "# HELP nv_gpu_memory_total_bytes Memory of the GPU\n# TYPE nv_gpu_memory_total_bytes gauge\n";
        assert_eq!(text.into_text(), format!("{head}nv_gpu_memory_total_bytes{{gpu_uuid=\"GPU-1\"}} 64\n"));
    }
}
