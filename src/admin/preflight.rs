//! What stands between this machine and a good run: looked at before `serve` starts, and by `pagewire doctor`.
//!
//! Main thread, before any executor. `judge` holds the pure rules, this file asks the host and puts the answers together.
//! Invariants: every finding that is not fine carries what mends it; looking leaves nothing behind but a raised limit of open files.

mod host;
mod judge;

use std::path::Path;

use serde::Serialize;

use super::settings::Settings;
use crate::io::{directory, features, process_limits};
pub use host::host_facts;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Fine,
    /// It runs, and something is slower, smaller or riskier than it should be.
    Warning,
    /// It does not run.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub level: Level,
    /// What is there.
    pub found: String,
    /// The command or setting that mends it; `None` where nothing needs mending.
    pub remedy: Option<String>,
}

impl Finding {
    fn fine(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, level: Level::Fine, found: found.into(), remedy: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn failure(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, level: Level::Failure, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Everything that was looked at, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst level of all findings.
    pub fn level(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Fine)
    }

    /// As lines for people, each remedy below its finding.
    pub fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let lines = self.findings.iter().map(|Finding { check, level, found, remedy }| {
            let level = match level {
                Level::Fine => "ok",
                Level::Warning => "warn",
                Level::Failure => "FAIL",
            };
            let remedy = remedy.as_ref().map_or(String::new(), |remedy| format!("{:>4}  {:width$}  -> {remedy}\n", "", ""));
            format!("{level:>4}  {check:width$}  {found}\n{remedy}")
        });
        lines.collect()
    }

    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain values become JSON")
    }
}

/// Looks at everything. Raises the limit of open files to what is allowed.
pub fn look(settings: &Settings) -> Report {
    let text = |path: &str| directory::read_to_string(Path::new(path)).unwrap_or_default();
    let status = text("/proc/self/status");
    let cores = settings.cpus.len();
    let mut findings = vec![
        judge::kernel(text("/proc/sys/kernel/osrelease").trim()),
        io_uring(),
        judge::seccomp(host::status_field(&status, "Seccomp")),
        judge::locked_memory(host::locked_memory_limit(&text("/proc/self/limits")), cores),
        open_files(),
        judge::cpus(&settings.cpus, &host::allowed_cpus()),
        judge::cpu_quota(host::cpu_quota(&text("/sys/fs/cgroup/cpu.max")), cores),
        judge::clocksource(text("/sys/devices/system/clocksource/clocksource0/current_clocksource").trim()),
    ];
    findings.extend(host::data_directory(&settings.data_dir));
    let ports = (0..settings.core_count()).map(|core| settings.listen_of(core)).collect::<std::collections::BTreeSet<_>>();
    findings.extend(ports.into_iter().map(host::port));
    Report { findings }
}

fn io_uring() -> Finding {
    match features::probe_io_uring() {
        Ok(()) => Finding::fine("io_uring", "available"),
        // The error's own sentence ends with the way out.
        Err(error) => Finding::failure("io_uring", "not usable by this process", error.to_string()),
    }
}

fn open_files() -> Finding {
    match process_limits::raise_open_files().or_else(|_| process_limits::open_files()) {
        Ok(limit) => judge::open_files(limit),
        Err(error) => Finding::warning("open files", format!("the limit cannot be read: {error}"), "mount /proc, or look with `ulimit -n`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::settings::{HostFacts, ServeFlags};

    fn settings(data_dir: &Path, listen: &str) -> Settings {
        let flags = ServeFlags {
            data_dir: Some(data_dir.display().to_string()),
            listen: Some(listen.into()),
            advertise: Some("per-node".into()),
            ..ServeFlags::default()
        };
        let host: HostFacts = host_facts();
        Settings::resolve(&flags, &Default::default(), None, &host).unwrap()
    }

    #[test]
    fn every_finding_that_is_not_fine_says_what_mends_it_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let report = look(&settings(directory.path(), "127.0.0.1:0"));
        for finding in &report.findings {
            assert_eq!(finding.level == Level::Fine, finding.remedy.is_none(), "{finding:?}");
        }
        let names: Vec<_> = report.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(
            names,
            [
                "kernel",
                "io_uring",
                "seccomp",
                "locked memory",
                "open files",
                "cpus",
                "cpu quota",
                "clock source",
                "data directory",
                "file system",
                "disk space",
                "port"
            ]
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["findings"][0]["check"], "kernel");
    }

    #[test]
    fn a_taken_port_and_a_bad_directory_are_failures() {
        #[allow(clippy::disallowed_methods)] // the neighbour that has the port
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let report = look(&settings(file.path(), &taken.local_addr().unwrap().to_string()));
        assert_eq!(report.level(), Level::Failure);
        let failed: Vec<_> =
            report.findings.iter().filter(|finding| finding.level == Level::Failure).map(|finding| finding.check).collect();
        assert!(failed.contains(&"port") && failed.contains(&"data directory"), "{failed:?}");
    }

    #[test]
    fn the_remedy_stands_below_its_finding() {
        let report = Report { findings: vec![Finding::fine("kernel", "6.18"), Finding::warning("cpus", "few", "give it more")] };
        assert_eq!(report.text(), "  ok  kernel  6.18\nwarn  cpus    few\n              -> give it more\n");
        assert_eq!(report.level(), Level::Warning);
    }
}
