//! The settings in effect, for people and for programs: name, value, and where it comes from.

use serde::Serialize;

use super::{Settings, show_cpu_list};
use crate::cluster::image::Advertise;

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The name of the flag without its dashes, or Kafka's name.
    pub name: String,
    /// Empty where nothing is set.
    pub value: String,
    /// `default`, or the flag, variable or key.
    pub origin: String,
}

impl Settings {
    /// Every setting of `serve`, then those of Kafka's that were given.
    pub fn show(&self) -> Vec<Shown> {
        let path = |path: &std::path::Path| path.display().to_string();
        let advertise = match self.advertise {
            Advertise::PerCore => "per-core",
            Advertise::PerNode => "per-node",
        };
        let own = [
            ("listen", self.listen.to_string()),
            ("cores", show_cpu_list(&self.cpus)),
            ("advertise", advertise.into()),
            ("advertised-host", self.advertised_host.clone()),
            ("advertised-port", self.advertised_port.unwrap_or(self.listen.port()).to_string()),
            ("data-dir", path(&self.data_dir)),
            ("node-id", self.node_id.to_string()),
            ("rack", self.rack.clone().unwrap_or_default()),
            ("fetch-transfer", self.fetch_transfer.to_string()),
            ("spin-us", self.spin.as_micros().to_string()),
            ("histograms-dir", self.histograms_dir.as_deref().map(path).unwrap_or_default()),
            ("log-level", self.log_level.clone()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_string(), value));
        let kafkas = self.configs.iter().map(|(name, value)| (name.clone(), value.clone()));
        own.chain(kafkas)
            .map(|(name, value)| {
                let origin = self.origins.get(&name).map_or("default".into(), ToString::to_string);
                Shown { name, value, origin }
            })
            .collect()
    }

    /// [`Settings::show`] as a table.
    pub fn show_text(&self) -> String {
        let shown = self.show();
        let width = |text: fn(&Shown) -> &str| shown.iter().map(|entry| text(entry).len()).max().unwrap_or(0);
        let (names, values) = (width(|entry| &entry.name), width(|entry| &entry.value));
        let lines = shown.iter().map(|Shown { name, value, origin }| format!("{name:names$}  {value:values$}  {origin}\n"));
        lines.collect()
    }
}
