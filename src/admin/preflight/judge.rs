//! What the host's answers mean: fine, a warning or a failure, and what mends it. Pure functions.

use std::net::SocketAddr;
use std::path::Path;

use super::Finding;
use crate::io::process_limits::OpenFilesLimit;

/// The kernel that has every io_uring call a core needs, and the one that has `cachestat`.
const KERNEL_MIN: (u32, u32) = (5, 8);
const KERNEL_CACHESTAT: (u32, u32) = (6, 5);
/// Below this many open files a few thousand partitions or clients do not fit.
const OPEN_FILES_FEW: u64 = 65_536;
/// Rings and registered buffers of one executor. Kernels before 5.12 count the rings too.
const LOCKED_BYTES_PER_CORE: u64 = 512 << 10;
/// Room for one segment of the default size.
const DISK_BYTES_FEW: u64 = 1 << 30;

/// What a file system can do beyond reading and writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileAbilities {
    /// `preadv2` with `RWF_NOWAIT`
    pub read_no_wait: bool,
    /// `fallocate`
    pub preallocate: bool,
}

pub(super) fn kernel(release: &str) -> Finding {
    const CHECK: &str = "kernel";
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding::warning(CHECK, format!("its release {release:?} cannot be read"), "mount /proc, or look with `uname -r`");
    };
    let (major_min, minor_min) = KERNEL_MIN;
    if (major, minor) < KERNEL_MIN {
        let remedy = format!("run it on Linux {major_min}.{minor_min} or newer");
        return Finding::failure(CHECK, format!("Linux {release} lacks io_uring calls that a core needs"), remedy);
    }
    let without = if (major, minor) < KERNEL_CACHESTAT { ", without cachestat: cold reads are found by RWF_NOWAIT alone" } else { "" };
    Finding::fine(CHECK, format!("Linux {release}{without}"))
}

/// `mode` is the field Seccomp of /proc/self/status.
pub(super) fn seccomp(mode: Option<&str>) -> Finding {
    let found = match mode {
        Some("0") => "no filter",
        Some("2") => "a filter is active; whether it lets io_uring through is what the line above says",
        Some(_) => "strict mode",
        None => "not told by this kernel",
    };
    Finding::fine("seccomp", found)
}

/// `limit` in bytes; `None`: unlimited.
pub(super) fn locked_memory(limit: Option<u64>, cores: usize) -> Finding {
    const CHECK: &str = "locked memory";
    let wanted = LOCKED_BYTES_PER_CORE * cores as u64;
    match limit {
        None => Finding::fine(CHECK, "unlimited"),
        Some(limit) if limit >= wanted => Finding::fine(CHECK, format!("{limit} bytes for {cores} executors")),
        Some(limit) => Finding::warning(
            CHECK,
            format!("{limit} bytes; the rings and buffers of {cores} executors take up to {wanted}"),
            "`ulimit -l unlimited`, LimitMEMLOCK=infinity (systemd), or --ulimit memlock=-1 (Docker)",
        ),
    }
}

pub(super) fn open_files(limit: OpenFilesLimit) -> Finding {
    const CHECK: &str = "open files";
    match limit.soft >= OPEN_FILES_FEW {
        true => Finding::fine(CHECK, format!("up to {}", limit.soft)),
        false => Finding::warning(
            CHECK,
            format!("up to {}; a segment takes three and a client one", limit.soft),
            "`ulimit -n 1048576`, LimitNOFILE=1048576 (systemd), or --ulimit nofile=1048576 (Docker)",
        ),
    }
}

pub(super) fn cpus(wanted: &[usize], allowed: &[usize]) -> Finding {
    const CHECK: &str = "cpus";
    let list = crate::admin::settings::show_cpu_list;
    if let Some(cpu) = wanted.iter().find(|cpu| !allowed.contains(cpu)) {
        let found = format!("CPU {cpu} is not one this process may use ({})", list(allowed));
        return Finding::failure(CHECK, found, format!("--cores {}, or a wider affinity (taskset, AllowedCPUs=, cpuset)", list(allowed)));
    }
    let shared = wanted.iter().enumerate().find(|(position, cpu)| wanted[..*position].contains(cpu));
    match shared {
        Some((_, cpu)) => Finding::warning(
            CHECK,
            format!("executors on {}; more than one on CPU {cpu}, so they wait for each other", list(wanted)),
            format!("name each CPU once, unless this is a test: --cores {}", list(allowed)),
        ),
        None => Finding::fine(CHECK, format!("executors on {}", list(wanted))),
    }
}

/// `quota` in CPUs; `None`: no bound.
pub(super) fn cpu_quota(quota: Option<f64>, cores: usize) -> Finding {
    const CHECK: &str = "cpu quota";
    match quota {
        None => Finding::fine(CHECK, "none"),
        Some(quota) if quota >= cores as f64 => Finding::fine(CHECK, format!("{quota:.1} CPUs for {cores} executors")),
        Some(quota) => Finding::warning(
            CHECK,
            format!("{quota:.1} CPUs for {cores} executors: the kernel stops all of them for milliseconds when it is used up"),
            format!("a quota of {cores} CPUs or none (CPUQuota=, --cpus), or --cores with fewer CPUs"),
        ),
    }
}

pub(super) fn clocksource(name: &str) -> Finding {
    const CHECK: &str = "clock source";
    match name {
        "" => Finding::fine(CHECK, "not told by this kernel"),
        // Those that need a system call or a trap for every look at the clock.
        "hpet" | "acpi_pm" | "xen" | "jiffies" => Finding::warning(
            CHECK,
            format!("{name}: every look at the clock takes a system call, and each request takes several looks"),
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource, if the machine's TSC is stable",
        ),
        name => Finding::fine(CHECK, name),
    }
}

/// `present` is `path`, or its nearest ancestor that exists.
pub(super) fn data_directory(path: &Path, present: &Path, written: std::io::Result<()>) -> Finding {
    const CHECK: &str = "data directory";
    let shown = path.display();
    match written {
        Ok(()) if path == present => Finding::fine(CHECK, format!("{shown} can be written")),
        Ok(()) => Finding::fine(CHECK, format!("{shown}, in {}, which can be written", present.display())),
        Err(error) => Finding::failure(
            CHECK,
            format!("{} cannot be written: {error}", present.display()),
            format!("make {shown} a directory of the user that runs pagewire (mkdir -p, chown), or choose another with --data-dir"),
        ),
    }
}

pub(super) fn file_system(name: &str, abilities: FileAbilities) -> Finding {
    const CHECK: &str = "file system";
    let local = "ext4 or XFS on a local disk for --data-dir";
    match name {
        "tmpfs" => return Finding::warning(CHECK, "tmpfs: everything is gone after a reboot", local),
        "overlay" => {
            return Finding::warning(CHECK, "overlay: a container's own layer, gone with the container", "a volume for --data-dir");
        }
        "nfs" | "cifs" | "smb3" | "fuse" | "9p" | "ceph" => {
            return Finding::warning(CHECK, format!("{name}: reads and syncs wait for another machine or process"), local);
        }
        _ => {}
    }
    let lacks: Vec<&str> = [
        (abilities.read_no_wait, "reads that do not wait (RWF_NOWAIT), so cold reads stall a core"),
        (abilities.preallocate, "preallocation (fallocate), so appends allocate as they go"),
    ]
    .into_iter()
    .filter_map(|(has, what)| (!has).then_some(what))
    .collect();
    match lacks.is_empty() {
        true => Finding::fine(CHECK, name),
        false => Finding::warning(CHECK, format!("{name} lacks {}", lacks.join("; and ")), local),
    }
}

pub(super) fn disk_space(available: Option<u64>) -> Finding {
    const CHECK: &str = "disk space";
    match available {
        Some(bytes) if bytes >= DISK_BYTES_FEW => Finding::fine(CHECK, format!("{} GiB", bytes >> 30)),
        Some(bytes) => Finding::warning(
            CHECK,
            format!("{} MiB, less than one segment of the default size", bytes >> 20),
            "free some, choose another --data-dir, or smaller segments: --set log.segment.bytes=16777216",
        ),
        None => Finding::warning(CHECK, "cannot be read", "look with `df`"),
    }
}

pub(super) fn port(address: SocketAddr, bound: std::io::Result<()>) -> Finding {
    const CHECK: &str = "port";
    match bound {
        Ok(()) => Finding::fine(CHECK, format!("{address} is free")),
        Err(error) => {
            let remedy = format!("see who has it with `ss -ltnp 'sport = :{}'`, or choose another with --listen", address.port());
            Finding::failure(CHECK, format!("{address} cannot be listened on: {error}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level::{self, Failure, Fine, Warning};
    use super::*;

    fn levels(findings: impl IntoIterator<Item = Finding>) -> Vec<Level> {
        findings.into_iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn kernels_before_5_8_fail() {
        let releases = ["6.18.5", "5.8.0-generic", "5.7.19", "4.19.0", "5", ""];
        assert_eq!(levels(releases.map(kernel)), [Fine, Fine, Failure, Failure, Warning, Warning]);
        assert!(kernel("6.1.0").found.contains("without cachestat"));
        assert!(!kernel("6.5.0").found.contains("without cachestat"));
    }

    #[test]
    fn limits_are_measured_against_what_the_cores_need() {
        assert_eq!(levels([None, Some(1 << 20), Some(1 << 19)].map(|limit| locked_memory(limit, 2))), [Fine, Fine, Warning]);
        assert_eq!(levels([65_536, 1024].map(|soft| open_files(OpenFilesLimit { soft, hard: soft }))), [Fine, Warning]);
        assert_eq!(levels([None, Some(2.0), Some(1.5)].map(|quota| cpu_quota(quota, 2))), [Fine, Fine, Warning]);
    }

    #[test]
    fn cpus_must_be_allowed_and_should_not_be_shared() {
        assert_eq!(levels([cpus(&[0, 1], &[0, 1, 2]), cpus(&[0, 1, 0], &[0, 1]), cpus(&[0, 4], &[0, 1])]), [Fine, Warning, Failure]);
        assert!(cpus(&[0, 4], &[0, 1]).remedy.unwrap().contains("--cores 0-1"));
    }

    #[test]
    fn file_systems_are_known_by_what_they_lack() {
        let all = FileAbilities { read_no_wait: true, preallocate: true };
        let some = FileAbilities { preallocate: false, ..all };
        let names = ["ext4", "xfs", "tmpfs", "overlay", "nfs"];
        assert_eq!(levels(names.map(|name| file_system(name, all))), [Fine, Fine, Warning, Warning, Warning]);
        let lacking = file_system("ext4", some);
        assert_eq!(lacking.level, Warning);
        assert!(lacking.found.contains("fallocate") && !lacking.found.contains("RWF_NOWAIT"));
    }

    #[test]
    fn slow_clocks_little_room_and_filters_are_told() {
        assert_eq!(levels(["tsc", "kvm-clock", "arch_sys_counter", "hpet", ""].map(clocksource)), [Fine, Fine, Fine, Warning, Fine]);
        assert_eq!(levels([Some(5 << 30), Some(1 << 20), None].map(disk_space)), [Fine, Warning, Warning]);
        assert!(seccomp(Some("2")).found.contains("filter is active"));
    }
}
