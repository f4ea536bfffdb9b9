//! What paging has done on each device: models that were loaded when they were asked for, and evicted to make room.

use super::exposition::{Exposition, Kind, Labels};

/// The counts of one device; sums since the server started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PagingCounts {
    /// `host`, or the name of a device.
    pub(crate) device: String,
    /// Models that were loaded because a request asked for them.
    pub(crate) loads: u64,
    /// Models that were evicted to make room.
    pub(crate) evictions: u64,
    /// Loads of a model that was evicted only just before.
    pub(crate) thrashes: u64,
    /// Loads that found no room.
    pub(crate) exhausted: u64,
    /// Models that are there now.
    pub(crate) resident: u64,
    /// Bytes that models use or have reserved now.
    pub(crate) bytes_used: u64,
    /// The most bytes that they may use.
    pub(crate) bytes_max: u64,
}

/// One value of a device.
type Read = fn(&PagingCounts) -> u64;

const FAMILIES: [(&str, Kind, &str, Read); 7] = [
    ("inferlay_paging_loads_total", Kind::Counter, "Models loaded because a request asked for them", |of| of.loads),
    ("inferlay_paging_evictions_total", Kind::Counter, "Models evicted to make room", |of| of.evictions),
    ("inferlay_paging_thrashes_total", Kind::Counter, "Loads of models that were just evicted", |of| of.thrashes),
    ("inferlay_paging_exhausted_total", Kind::Counter, "Loads that found no room", |of| of.exhausted),
    ("inferlay_paging_resident_models", Kind::Gauge, "Model versions that are loaded now", |of| of.resident),
    ("inferlay_paging_used_bytes", Kind::Gauge, "Bytes that models use or have reserved", |of| of.bytes_used),
    ("inferlay_paging_budget_bytes", Kind::Gauge, "The most bytes that models may use", |of| of.bytes_max),
];

/// Writes the counts of all devices; nothing where nothing is paged.
pub(super) fn write(text: &mut Exposition, devices: &[PagingCounts]) {
    for (name, kind, help, read) in FAMILIES.iter().filter(|_| !devices.is_empty()) {
        let mut family = text.family(name, *kind, help);
        for device in devices {
            family.sample(&Labels::new([("device", &device.device[..])]), read(device) as f64);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_device_that_pages_shows_its_counts() {
        let mut text = Exposition::default();
        write(&mut text, &[]);
        assert_eq!(text.into_text(), "");
        let device = |name: &str, loads| PagingCounts { device: name.to_owned(), loads, ..PagingCounts::default() };
        let host = PagingCounts { evictions: 4, bytes_used: 5, bytes_max: 64, ..device("host", 3) };
        let mut text = Exposition::default();
        write(&mut text, &[host, device("cuda:0", 7)]);
        let text = text.into_text();
        for line in [
            "# TYPE inferlay_paging_loads_total counter",
            "inferlay_paging_loads_total{device=\"host\"} 3",
            "inferlay_paging_loads_total{device=\"cuda:0\"} 7",
            "inferlay_paging_evictions_total{device=\"host\"} 4",
            "inferlay_paging_used_bytes{device=\"host\"} 5",
            "inferlay_paging_budget_bytes{device=\"host\"} 64",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }
}
