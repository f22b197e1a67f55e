//! The counted part of a run: what the server used between two looks at it.

use std::io;
use std::time::Duration;

use hdrhistogram::Histogram;
use pagewire_floor::process_time;

use crate::sample::Sample;
use crate::server::Server;

/// What a server had used when the counted part began.
pub struct Counted {
    cpu_ns: u64,
    disk_read_bytes: u64,
}

/// What was done in the counted part.
pub struct Done {
    pub requests: u64,
    pub records: u64,
    pub bytes: u64,
    pub elapsed: Duration,
}

impl Counted {
    /// # Errors
    /// The server has ended.
    pub fn begin(server: &Server) -> io::Result<Counted> {
        let pid = server.pid();
        Ok(Counted { cpu_ns: process_time::of_process_ns(pid)?, disk_read_bytes: process_time::disk_read_bytes(pid)? })
    }

    /// # Errors
    /// The server has ended.
    pub fn end(self, server: &Server, done: &Done) -> io::Result<Sample> {
        let now = Counted::begin(server)?;
        Ok(Sample {
            requests: done.requests,
            records: done.records,
            bytes: done.bytes,
            seconds: done.elapsed.as_secs_f64(),
            cpu_seconds: (now.cpu_ns - self.cpu_ns) as f64 / 1e9,
            resident_bytes: process_time::resident_bytes(server.pid())?,
            disk_read_bytes: Some(now.disk_read_bytes - self.disk_read_bytes),
            ..Sample::default()
        })
    }
}

impl Sample {
    /// With what these latencies, in nanoseconds, say.
    pub fn with_latency(self, latency_ns: &Histogram<u64>) -> Sample {
        let quantile_us = |quantile| Some(latency_ns.value_at_quantile(quantile) as f64 / 1e3);
        Sample {
            mean_us: Some(latency_ns.mean() / 1e3),
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            p999_us: quantile_us(0.999),
            p9999_us: quantile_us(0.9999),
            ..self
        }
    }
}
