//! The machine, as far as it explains figures.

use serde::{Deserialize, Serialize};

/// See the module. What the kernel does not tell is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    pub kernel: String,
    pub processor: String,
    pub processors: usize,
    /// With its unit, as `/proc/meminfo` has it.
    pub memory: String,
    /// Of frequency scaling, such as `performance`.
    pub governor: String,
    pub clock_source: String,
    /// A hypervisor is below this kernel.
    pub is_virtual: bool,
}

impl Machine {
    pub fn here() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let field = |text: &str, name: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let processors = read("/proc/cpuinfo");
        Machine {
            kernel: read("/proc/sys/kernel/osrelease"),
            processor: field(&processors, "model name"),
            // Not those of this process, which keeps off the servers' processor.
            processors: processors.lines().filter(|line| line.starts_with("processor")).count(),
            memory: field(&read("/proc/meminfo"), "MemTotal"),
            governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_source: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            is_virtual: field(&processors, "flags").split_whitespace().any(|flag| flag == "hypervisor"),
        }
    }

    /// Such as `24.0 GB`, from kibibytes.
    pub fn memory_in_words(&self) -> String {
        let kib: Option<f64> = self.memory.strip_suffix("kB").and_then(|number| number.trim().parse().ok());
        kib.map_or(self.memory.clone(), |kib| format!("{:.1} GB", kib * 1024.0 / 1e9))
    }

    /// One line.
    pub fn in_words(&self) -> String {
        let processors = format!("{} {}processors", self.processors, if self.is_virtual { "virtual " } else { "" });
        let words = [processors, self.processor.clone(), self.memory_in_words(), format!("Linux {}", self.kernel)];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
    }
}
