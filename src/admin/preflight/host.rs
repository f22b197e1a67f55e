//! Asking the host: text files of the kernel, the data directory, the ports. What the answers mean stands in `judge`.

use std::net::SocketAddr;
use std::path::Path;

use super::{Finding, judge};
use crate::admin::settings::HostFacts;
use crate::io::host::own_processors;
use crate::io::{File, directory, glommio};

/// What the settings need to know of this machine.
pub fn host_facts() -> HostFacts {
    let hostname = directory::read_to_string(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default().trim().to_string();
    HostFacts { allowed_cpus: allowed_cpus(), hostname: if hostname.is_empty() { "localhost".into() } else { hostname } }
}

/// A field of /proc/self/status, proc_pid_status(5).
pub(super) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.map(str::trim)
}

/// The CPUs of this process's affinity mask; CPU 0 if the kernel does not tell.
pub(super) fn allowed_cpus() -> Vec<usize> {
    own_processors().unwrap_or_else(|_| vec![0])
}

/// The soft limit of locked memory in bytes, from /proc/self/limits; `None`: unlimited or not told.
pub(super) fn locked_memory_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many CPUs' worth of time the control group gives, cgroup v2's `cpu.max`; `None`: no bound.
pub(super) fn cpu_quota(cpu_max: &str) -> Option<f64> {
    let mut words = cpu_max.split_whitespace();
    let (quota, period): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (period > 0.0).then_some(quota / period)
}

/// Whether the data directory can be written, what its file system lacks, and how much room there is.
pub(super) fn data_directory(path: &Path) -> Vec<Finding> {
    // A directory that is yet to be made is judged by the nearest one that is there.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let exists = |path: &&Path| directory::exists(path).unwrap_or(false);
    let Some(present) = absolute.ancestors().find(exists) else {
        return vec![judge::data_directory(path, path, Err(std::io::ErrorKind::NotFound.into()))];
    };
    let probe = present.join(format!(".pagewire-preflight-{}", std::process::id()));
    let tried = try_file(&probe);
    // It may not be there, if making it is what failed.
    let _ = directory::remove_file(&probe);
    let (written, abilities) = match tried {
        Ok(abilities) => (Ok(()), Some(abilities)),
        Err(error) => (Err(error), None),
    };
    let mut findings = vec![judge::data_directory(path, present, written)];
    if let Some(abilities) = abilities {
        findings.push(judge::file_system(&directory::filesystem_name(present).unwrap_or_else(|_| "unknown".into()), abilities));
        findings.push(judge::disk_space(directory::space(present).ok().map(|space| space.available_bytes)));
    }
    findings
}

/// What the file system can do, tried on one page.
fn try_file(path: &Path) -> std::io::Result<judge::FileAbilities> {
    const PAGE: [u8; 4096] = [0; 4096];
    let file = File::create(path)?;
    file.write_all_at(&mut [std::io::IoSlice::new(&PAGE)], 0)?;
    let _ = file.try_read_at(&mut [0], 0);
    Ok(judge::FileAbilities { read_no_wait: file.has_read_no_wait(), preallocate: file.preallocate(0, 1 << 20).is_ok() })
}

/// Whether nobody else listens there. glommio binds with SO_REUSEPORT, so two brokers on one port would go unnoticed.
pub(super) fn port(address: SocketAddr) -> Finding {
    judge::port(address, glommio::check_port_is_free(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let status = "Name:\tpagewire\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(status_field(status, "Seccomp"), Some("2"));
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max locked memory         8388608              8388608              bytes\n";
        assert_eq!(locked_memory_limit(limits), Some(8_388_608));
        assert_eq!(locked_memory_limit("Max locked memory         unlimited            unlimited            bytes"), None);
        assert_eq!(cpu_quota("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_quota("max 100000\n"), None);
    }
}
