//! What the broker says when it is ready: a few lines a person can read.

use crate::admin::settings::{Settings, show_cpu_list};
use crate::cluster::image::{Advertise, MetadataImage};
use crate::control::start::RecoverySummary;
use crate::io::directory;

/// Prints to standard error, where the log goes, so that standard output stays free.
pub(super) fn print(settings: &Settings, ports: &[u16], image: &MetadataImage, summary: &RecoverySummary, start_ns: u64) {
    let ip = settings.listen.ip();
    let (first, last) = (ports[0], ports[ports.len() - 1]);
    let listening = match settings.advertise {
        Advertise::PerCore if ports.len() > 1 => format!("{ip}:{first}–{last}, one port and one broker id per core"),
        Advertise::PerCore => format!("{ip}:{first}"),
        Advertise::PerNode => format!("{ip}:{first}, one port and one broker id for all cores"),
    };
    let advertised: Vec<String> = image.brokers.iter().map(|broker| format!("{} at {}:{}", broker.id, broker.host, broker.port)).collect();
    let file_system = directory::filesystem_name(&settings.data_dir).unwrap_or_else(|_| "unknown file system".into());
    eprintln!("pagewire {}", env!("CARGO_PKG_VERSION"));
    eprintln!("  cores       {} on processors {}", settings.cpus.len(), show_cpu_list(&settings.cpus));
    eprintln!("  listening   {listening}");
    eprintln!("  brokers     {}", advertised.join(", "));
    eprintln!("  data        {} ({file_system})", settings.data_dir.display());
    eprintln!("  partitions  {}", recovered(summary));
    if !summary.adopted.is_empty() {
        eprintln!("  adopted     {} topics found in the data directory: {}", summary.adopted.len(), shortened(&summary.adopted));
        if summary.adopted_are_kept {
            eprintln!(
                "              their settings are not known, so nothing of them is deleted by time or size; \
                 --set log.retention.ms=… at the first start says otherwise"
            );
        }
    }
    for note in &summary.noteworthy {
        tracing::warn!("{note}");
    }
    for unopened in &summary.unopened {
        tracing::error!("{}", unopened.why);
    }
    eprintln!("ready after {:.1} ms", start_ns as f64 / 1e6);
}

fn recovered(summary: &RecoverySummary) -> String {
    let RecoverySummary { partitions, behind, duration_ms, log_bytes_read, .. } = summary;
    match (partitions, summary.clean) {
        (_, true) if *behind > 0 => {
            let before = partitions - behind;
            format!(
                "{before} of {partitions} opened in {duration_ms} ms after a clean stop, {log_bytes_read} bytes of log read; the others behind the first request"
            )
        }
        (0, _) => "none yet".into(),
        (_, true) => format!("{partitions} opened in {duration_ms} ms after a clean stop, {log_bytes_read} bytes of log read"),
        (_, false) => format!("{partitions} recovered in {duration_ms} ms after an unclean stop, {log_bytes_read} bytes of log checked"),
    }
}

fn shortened(names: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_MAX { format!("{shown}, …") } else { shown }
}
