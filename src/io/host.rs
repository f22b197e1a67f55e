//! What the kernel tells about this machine, this thread and other processes: proc(5) and sysfs, read as text.
//!
//! Any thread that may block for a moment; every call reads a few small files. What a kernel does not tell is `None` or empty, never
//! an error.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::clock::monotonic_ns;

/// The text of a small file without the line end; `None` if it is missing, unreadable or empty.
fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What stands behind `name` and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim))
}

/// `Linux 6.18.5`.
pub fn kernel() -> String {
    [text("/proc/sys/kernel/ostype"), text("/proc/sys/kernel/osrelease")].map(Option::unwrap_or_default).join(" ")
}

pub fn processor_model() -> Option<String> {
    let text = text("/proc/cpuinfo")?;
    field(&text, "model name").or_else(|| field(&text, "Model")).map(str::to_owned)
}

/// Those that are online.
pub fn processors() -> Vec<usize> {
    text("/sys/devices/system/cpu/online").and_then(|list| parse_processors(&list).ok()).unwrap_or_default()
}

/// The frequency governor of the first processor.
pub fn governor() -> Option<String> {
    text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
}

pub fn clock_source() -> Option<String> {
    text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
}

pub fn memory_bytes() -> u64 {
    let kib = text("/proc/meminfo").and_then(|text| field(&text, "MemTotal")?.trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Runnable tasks, averaged over 1, 5 and 15 minutes.
pub fn load_average() -> Option<[f64; 3]> {
    let text = text("/proc/loadavg")?;
    let mut numbers = text.split(' ').map_while(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

/// A list of processors as the kernel and taskset write it: `0,2-5`.
///
/// # Errors
/// The part that is none.
pub fn parse_processors(list: &str) -> Result<Vec<usize>, String> {
    /// CONFIG_NR_CPUS goes up to here.
    const PROCESSORS_MAX: usize = 8192;
    let mut found = BTreeSet::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            (Ok(first), Ok(last)) if first <= last && last < PROCESSORS_MAX => found.extend(first..=last),
            _ => return Err(format!("expected processors such as 1 or 0,2-5, not {part:?}")),
        }
    }
    Ok(found.into_iter().collect())
}

/// What the thread has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadClock {
    pub wall_ns: u64,
    pub cpu_ns: u64,
    /// Ready to run, and waiting for a processor (schedstat).
    pub waiting_ns: Option<u64>,
    pub involuntary_switches: Option<u64>,
}

impl ThreadClock {
    /// Of the calling thread.
    pub fn now() -> ThreadClock {
        // Next to each other, because they are held against each other.
        let (wall_ns, cpu) = (monotonic_ns(), rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime));
        let waiting_ns = text("/proc/thread-self/schedstat").and_then(|text| text.split(' ').nth(1)?.parse().ok());
        let switches = text("/proc/thread-self/status").and_then(|text| field(&text, "nonvoluntary_ctxt_switches")?.parse().ok());
        let cpu_ns = cpu.tv_sec as u64 * 1_000_000_000 + cpu.tv_nsec as u64;
        ThreadClock { wall_ns, cpu_ns, waiting_ns, involuntary_switches: switches }
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &ThreadClock) -> ThreadClock {
        let difference = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        ThreadClock {
            wall_ns: self.wall_ns.saturating_sub(earlier.wall_ns),
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            waiting_ns: difference(self.waiting_ns, earlier.waiting_ns),
            involuntary_switches: difference(self.involuntary_switches, earlier.involuntary_switches),
        }
    }
}

/// Clock ticks of all processors since the boot, `cpu` of /proc/stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorTicks {
    pub total: u64,
    /// Given to other guests by the hypervisor.
    pub stolen: u64,
}

impl ProcessorTicks {
    pub fn now() -> Option<ProcessorTicks> {
        let text = text("/proc/stat")?;
        let numbers: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal; guest time is part of user time.
        (numbers.len() >= 8).then(|| ProcessorTicks { total: numbers[..8].iter().sum(), stolen: numbers[7] })
    }

    /// The share that was stolen since `earlier`.
    pub fn steal_share_since(&self, earlier: &ProcessorTicks) -> f64 {
        let total = self.total.saturating_sub(earlier.total);
        if total == 0 { 0.0 } else { self.stolen.saturating_sub(earlier.stolen) as f64 / total as f64 }
    }
}

/// A thread of another process: what it has used and where it may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadPlace {
    pub id: u32,
    pub cpu_ticks: u64,
    pub processors: Vec<usize>,
}

/// The threads of a process; empty if there is no such process or it is hidden.
pub fn threads_of(pid: u32) -> Vec<ThreadPlace> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let place = |entry: fs::DirEntry| {
        let stat = text(entry.path().join("stat"))?;
        // The name may hold anything; behind its last parenthesis come the state and then numbers, utime and stime the 12th and 13th.
        let numbers: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let cpu_ticks = numbers.get(11)?.parse::<u64>().ok()? + numbers.get(12)?.parse::<u64>().ok()?;
        let status = text(entry.path().join("status"))?;
        let processors = parse_processors(field(&status, "Cpus_allowed_list")?).ok()?;
        Some(ThreadPlace { id: entry.file_name().to_str()?.parse().ok()?, cpu_ticks, processors })
    };
    entries.flatten().filter_map(place).collect()
}

/// The first 200 bytes of a process's command line, words apart by spaces.
pub fn command_of(pid: u32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).replace('\0', " ");
    Some(words.trim_end().to_owned())
}

/// The process that listens on this TCP port of this machine; `None` if nobody does or it is hidden.
pub fn listener_on(port: u16) -> Option<u32> {
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let inodes: Vec<String> = sockets.flat_map(|table| listening_inodes(&table, port)).map(|inode| format!("socket:[{inode}]")).collect();
    if inodes.is_empty() {
        return None;
    }
    let is_one = |descriptor: &fs::DirEntry| {
        let target = fs::read_link(descriptor.path()).ok();
        target.and_then(|target| target.to_str().map(|target| inodes.iter().any(|inode| inode == target))).unwrap_or(false)
    };
    let mut processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.find(|pid| fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|fds| fds.flatten().any(|fd| is_one(&fd))))
}

/// Inodes of sockets that listen on `port`, from a table such as /proc/net/tcp.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local_port = u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok()?;
        (local_port == port && *words.get(3)? == LISTEN).then(|| words.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// The processors that the calling thread may run on.
///
/// # Errors
/// The host's.
pub fn own_processors() -> std::io::Result<Vec<usize>> {
    let set = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect())
}

/// Lets the calling thread run wherever the first thread of this process may: threads begin with the processors of whoever starts them.
///
/// # Errors
/// The host's.
pub fn keep_to_processors_of_the_process() -> std::io::Result<()> {
    let set = rustix::thread::sched_getaffinity(rustix::thread::Pid::from_raw(std::process::id() as i32))?;
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Keeps the calling thread, and those that it starts, on these processors.
///
/// # Errors
/// None of them is online or allowed to this process.
pub fn keep_to_processors(processors: &[usize]) -> std::io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    processors.iter().filter(|processor| **processor < rustix::thread::CpuSet::MAX_CPU).for_each(|processor| set.set(*processor));
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_processors("0,2-5\n"), Ok(vec![0, 2, 3, 4, 5]));
        assert_eq!(parse_processors("7"), Ok(vec![7]));
        for list in ["", "a", "3-1", "1,", "99999"] {
            assert!(parse_processors(list).is_err(), "{list:?}");
        }
    }

    #[test]
    fn this_machine_tells_about_itself() {
        assert!(kernel().starts_with("Linux ") && memory_bytes() > 1 << 20 && !processors().is_empty());
        assert!(load_average().is_some() && ProcessorTicks::now().is_some_and(|ticks| ticks.total > 0));
    }

    #[test]
    fn a_thread_sees_what_it_uses() {
        let before = ThreadClock::now();
        let mut sum = 0u64;
        while ThreadClock::now().since(&before).cpu_ns < 5_000_000 {
            sum = std::hint::black_box(sum + 1);
        }
        let used = ThreadClock::now().since(&before);
        // The two clocks are read one after the other.
        const BETWEEN_NS: u64 = 1_000_000;
        assert!(used.wall_ns + BETWEEN_NS >= used.cpu_ns && used.cpu_ns >= 5_000_000, "{used:?}");
    }

    #[test]
    fn a_thread_stays_where_it_is_kept() {
        let kept = std::thread::spawn(|| {
            let all = own_processors().unwrap();
            keep_to_processors(&all[..1]).unwrap();
            (own_processors().unwrap(), all[..1].to_vec())
        });
        let (now, wanted) = kept.join().unwrap();
        assert_eq!(now, wanted);
        assert!(keep_to_processors(&[]).is_err());
    }

    #[test]
    fn the_process_behind_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listener_on(port), Some(std::process::id()));
        assert!(command_of(std::process::id()).is_some_and(|command| !command.is_empty()));
        assert!(threads_of(std::process::id()).iter().all(|thread| !thread.processors.is_empty()));
        drop(listener);
        assert_eq!(listener_on(port), None);
    }
}
