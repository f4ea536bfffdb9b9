//! The processors and memory that this process may use: those of its control groups (versions 1 and 2), else the
//! machine's. Pure: a function gives the text of a file, or nothing.
//!
//! ```text
//!   /proc/self/cgroup      0::/a/b            the group, version 2;   5:memory:/a/b   version 1, one line per controller
//!   /sys/fs/cgroup/a/b     memory.max, memory.current, memory.stat, cpu.max, cpu.stat
//!   /sys/fs/cgroup/memory  memory.limit_in_bytes, memory.usage_in_bytes, memory.stat       version 1
//!   /sys/fs/cgroup/cpu     cpu.cfs_quota_us, cpu.cfs_period_us; cpuacct.usage              version 1
//!   /proc/meminfo, /proc/stat                 the machine
//! ```
//!
//! A limit of any group above holds as well, so all are asked from the innermost to the root, and the least counts. In a
//! container the path is often that of the host, where it is not mounted; the root is then the container's own.

use super::metrics::Memory;

/// Gives the text of a file, if it can be read.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A reading of processor time. Two of the same measure say how much was used between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CpuTime {
    busy: f64,
    /// What could have been used until now.
    total: f64,
    /// Processors that may be used at once; `None` for the machine's own account.
    quota: Option<f64>,
}

impl CpuTime {
    /// The share in use between two readings, from 0 to 1; `None` if they cannot be compared.
    pub(crate) fn utilization(&self, before: &CpuTime) -> Option<f64> {
        let total = self.total - before.total;
        let is_comparable = self.quota == before.quota && total > 0.0;
        is_comparable.then(|| ((self.busy - before.busy) / total).clamp(0.0, 1.0))
    }
}

/// The memory that may be used and is.
pub(crate) fn memory(read: Read<'_>) -> Option<Memory> {
    let machine = read("/proc/meminfo").and_then(|text| {
        let (total, free) = (field(&text, "MemTotal:")?, field(&text, "MemAvailable:")?);
        Some(Memory { total: total * 1024, used: total.saturating_sub(free) * 1024 })
    });
    let groups = group_memory(read);
    match (machine, groups) {
        (Some(machine), Some(group)) => Some(if group.total < machine.total { group } else { machine }),
        (machine, group) => machine.or(group),
    }
}

/// The processor time that was used until `now`, in nanoseconds on any clock that never falls.
pub(crate) fn cpu_time(read: Read<'_>, now: u64) -> Option<CpuTime> {
    group_cpu(read, now).or_else(|| {
        let text = read("/proc/stat")?;
        let line = text.lines().find(|line| line.starts_with("cpu "))?;
        // user nice system idle iowait irq softirq steal; what follows is counted in the first two already.
        let ticks: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|tick| tick.parse().ok()).collect();
        let (total, idle) = (ticks.iter().sum::<f64>(), ticks.get(3)? + ticks.get(4).unwrap_or(&0.0));
        Some(CpuTime { busy: total - idle, total, quota: None })
    })
}

/// The tightest memory limit of the groups.
fn group_memory(read: Read<'_>) -> Option<Memory> {
    let two = groups(read, "").into_iter().filter_map(|folder| {
        let total = number(&read(&format!("{folder}/memory.max"))?)?;
        Some(Memory { total, used: used(read, &folder, "memory.current", "inactive_file")? })
    });
    let one = groups(read, "memory").into_iter().filter_map(|folder| {
        let total = number(&read(&format!("{folder}/memory.limit_in_bytes"))?)?;
        Some(Memory { total, used: used(read, &folder, "memory.usage_in_bytes", "total_inactive_file")? })
    });
    two.chain(one).min_by_key(|memory| memory.total)
}

/// What a group uses, without pages of files that it can give up at any time: as Kubernetes counts it.
fn used(read: Read<'_>, folder: &str, file: &str, inactive: &str) -> Option<u64> {
    let used = number(&read(&format!("{folder}/{file}"))?)?;
    let inactive = read(&format!("{folder}/memory.stat")).and_then(|text| field(&text, inactive));
    Some(used.saturating_sub(inactive.unwrap_or(0)))
}

/// The group with the tightest quota of processors.
fn group_cpu(read: Read<'_>, now: u64) -> Option<CpuTime> {
    let two = groups(read, "").into_iter().filter_map(|folder| {
        let quota = quota(&read(&format!("{folder}/cpu.max"))?)?;
        let busy = field(&read(&format!("{folder}/cpu.stat"))?, "usage_usec")? as f64 * 1e3;
        Some((quota, busy))
    });
    let one = groups(read, "cpu").into_iter().filter_map(|folder| {
        let text = |name: &str| read(&format!("{folder}/{name}"));
        let quota = quota(&format!("{} {}", text("cpu.cfs_quota_us")?.trim(), text("cpu.cfs_period_us")?.trim()))?;
        let usage = text("cpuacct.usage").or_else(|| read(&format!("{}/cpuacct.usage", account(&folder))))?;
        Some((quota, number(&usage)? as f64))
    });
    let (quota, busy) = two.chain(one).min_by(|one, other| one.0.total_cmp(&other.0))?;
    Some(CpuTime { busy, total: now as f64 * quota, quota: Some(quota) })
}

/// Where a version 1 system that mounts the two apart keeps the account of a folder of `cpu`.
fn account(folder: &str) -> String {
    folder.replacen("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct", 1)
}

/// The folders of this process's group and of those above it, innermost first. `controller`: of version 1; empty for
/// version 2.
fn groups(read: Read<'_>, controller: &str) -> Vec<String> {
    let text = read("/proc/self/cgroup").unwrap_or_default();
    let is_it = |names: &str| match controller {
        "" => names.is_empty(),
        _ => names.split(',').any(|name| name == controller),
    };
    let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let path = lines.into_iter().find(|(names, _)| is_it(names)).map(|(_, path)| path);
    let Some(mut path) = path.map(|path| path.trim_end_matches('/')) else { return Vec::new() };
    let root = format!("/sys/fs/cgroup{}{controller}", if controller.is_empty() { "" } else { "/" });
    let mut folders = vec![format!("{root}{path}")];
    while let Some((above, _)) = path.rsplit_once('/') {
        path = above;
        folders.push(format!("{root}{path}"));
    }
    folders
}

/// `200000 100000` are two processors; `max` and -1 are no quota.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let (quota, period) = (words.next()?.parse::<f64>().ok()?, words.next()?.parse::<f64>().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// The number that a file holds; `None` for `max`.
fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number beside a name, on a line of its own.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(|line| line.split_whitespace());
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok()).flatten())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const MEMINFO: (&str, &str) =
        ("/proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\nMemAvailable:    6291456 kB\n");

    /// A machine is the texts of its files.
    type Files = &'static [(&'static str, &'static str)];

    const TWO: Files = &[
        MEMINFO,
        ("/proc/self/cgroup", "0::/pods/one/\n"),
        ("/sys/fs/cgroup/pods/one/memory.max", "max\n"),
        ("/sys/fs/cgroup/pods/one/memory.current", "104857600\n"),
        ("/sys/fs/cgroup/pods/memory.max", "536870912\n"),
        ("/sys/fs/cgroup/pods/memory.current", "209715200\n"),
        ("/sys/fs/cgroup/pods/memory.stat", "anon 5\ninactive_file 104857600\nactive_file 1\n"),
        ("/sys/fs/cgroup/pods/one/cpu.max", "150000 100000\n"),
        ("/sys/fs/cgroup/pods/one/cpu.stat", "usage_usec 3000000\nuser_usec 1\n"),
        ("/sys/fs/cgroup/pods/cpu.max", "max 100000\n"),
        ("/sys/fs/cgroup/pods/cpu.stat", "usage_usec 9000000\n"),
        ("/proc/stat", "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1 1\n"),
    ];
    /// The path is the host's; what is mounted is the container's.
    const TWO_IN_A_CONTAINER: Files = &[
        MEMINFO,
        ("/proc/self/cgroup", "0::/kubepods/x\n"),
        ("/sys/fs/cgroup/memory.max", "1073741824\n"),
        ("/sys/fs/cgroup/memory.current", "1048576\n"),
    ];
    const ONE: Files = &[
        MEMINFO,
        ("/proc/self/cgroup", "9:memory:/docker/a\n4:cpu,cpuacct:/docker/a\n1:name=systemd:/docker/a\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "134217728\n"),
        ("/sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 67108864\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("/sys/fs/cgroup/cpuacct/cpuacct.usage", "7000000000\n"),
    ];
    const ONE_WITHOUT_LIMITS: Files = &[
        MEMINFO,
        ("/proc/self/cgroup", "9:memory:/\n4:cpu,cpuacct:/\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "134217728\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
        ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ("/sys/fs/cgroup/cpu/cpuacct.usage", "7000000000\n"),
        ("/proc/stat", "cpu  100 0 100 700 100 0 0 0 0 0\n"),
    ];

    fn reader(files: Files) -> impl Fn(&str) -> Option<String> {
        move |path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
    }

    #[test]
    fn memory_is_that_of_the_tightest_group_else_of_the_machine() {
        let mib = |total: u64, used: u64| Some(Memory { total: total * MIB, used: used * MIB });
        for (what, files, expected) in [
            ("version 2, limited above", TWO, mib(512, 100)),
            ("version 2, in a container", TWO_IN_A_CONTAINER, mib(1024, 1)),
            ("version 1, in a container", ONE, mib(256, 64)),
            ("version 1, without limits", ONE_WITHOUT_LIMITS, mib(8192, 2048)),
            ("the machine alone", &[MEMINFO], mib(8192, 2048)),
            ("another system", &[], None),
            ("nonsense", &[("/proc/meminfo", "MemTotal: much\n"), ("/proc/self/cgroup", "::\n:\n\n0:")], None),
        ] {
            assert_eq!(memory(&reader(files)), expected, "{what}");
        }
    }

    #[test]
    fn processor_time_is_measured_by_the_tightest_quota_else_by_the_machine() {
        let time = |busy: f64, total: f64, quota| Some(CpuTime { busy, total, quota });
        for (what, files, expected) in [
            ("version 2", TWO, time(3e9, 1.5e10, Some(1.5))),
            ("version 1", ONE, time(7e9, 5e9, Some(0.5))),
            ("version 1, without limits", ONE_WITHOUT_LIMITS, time(200.0, 1000.0, None)),
            ("version 2, without processors", TWO_IN_A_CONTAINER, None),
            ("nonsense", &[("/proc/stat", "cpu  much\n")], None),
        ] {
            assert_eq!(cpu_time(&reader(files), 10_000_000_000), expected, "{what}");
        }
    }

    #[test]
    fn utilization_is_between_two_readings_of_the_same_measure() {
        let time = |busy: f64, total: f64, quota| CpuTime { busy, total, quota };
        let before = time(10.0, 100.0, None);
        for (now, expected) in [
            (time(35.0, 150.0, None), Some(0.5)),
            (time(95.0, 150.0, None), Some(1.0)),
            (time(5.0, 150.0, None), Some(0.0)),
            (time(35.0, 100.0, None), None),
            (time(35.0, 150.0, Some(2.0)), None),
        ] {
            assert_eq!(now.utilization(&before), expected, "{now:?}");
        }
    }
}
