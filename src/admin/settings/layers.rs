//! Flags over environment over file: which text counts for a setting, and where it stood.
//!
//! Pure. Errors are collected, so that a person sees all of them at once.

use std::collections::BTreeMap;
use std::fmt;

use super::SettingsErrors;
use super::flags::{NAMES, ServeFlags};
use crate::cluster::broker_config::{BrokerConfig, check_values, known_names};
use crate::cluster::image::Configs;
use crate::cluster::setting::nearest;

const PREFIX: &str = "PAGEWIRE_";
const SET_PREFIX: &str = "PAGEWIRE_SET_";
/// Variables that are read elsewhere.
const OTHER_VARIABLES: &[&str] = &["PAGEWIRE_CONFIG", "PAGEWIRE_BOOTSTRAP"];

/// Where a value stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--data-dir`
    Flag(String),
    /// `PAGEWIRE_DATA_DIR`
    Variable(String),
    /// `data-dir` in the file
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(formatter, "--{name}"),
            Origin::Variable(name) => formatter.write_str(name),
            Origin::File(key) => write!(formatter, "{key} in the file"),
        }
    }
}

/// The winning text of each setting.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<&'static str, String>,
    set: Configs,
    pub(super) origins: BTreeMap<String, Origin>,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Layers {
    /// Puts the layers over each other, lowest first.
    ///
    /// # Errors
    /// A file that is not TOML; everything else is collected in `errors`.
    pub(super) fn new(flags: &ServeFlags, environment: &BTreeMap<String, String>, file: Option<&str>) -> Result<Layers, SettingsErrors> {
        let mut layers = Layers::default();
        if let Some(text) = file {
            layers.read_file(text)?;
        }
        layers.read_environment(environment);
        layers.read_flags(flags);
        Ok(layers)
    }

    fn read_file(&mut self, text: &str) -> Result<(), SettingsErrors> {
        let table: toml::Table = text.parse().map_err(|error| SettingsErrors(vec![format!("the settings file is not TOML: {error}")]))?;
        for (key, value) in &table {
            match (key.as_str(), value) {
                ("set", toml::Value::Table(configs)) => {
                    for (name, value) in flattened("", configs) {
                        self.put_config(name.clone(), value, Origin::File(format!("set.{name:?}")));
                    }
                }
                ("set", _) => self.errors.push("set in the file: expected a table [set] with a line NAME = VALUE per setting".into()),
                (key, value) => match (NAMES.iter().find(|name| **name == key), scalar(value)) {
                    (Some(name), Some(text)) => self.put(name, text, Origin::File(key.into())),
                    (Some(name), None) => self.errors.push(format!("{name} in the file: expected a text or a number, not {value}")),
                    (None, _) => self.errors.push(format!("{key} in the file: there is no setting of that name{}", hint(key))),
                },
            }
        }
        Ok(())
    }

    fn read_environment(&mut self, environment: &BTreeMap<String, String>) {
        for (variable, value) in environment.iter().filter(|(variable, _)| variable.starts_with(PREFIX)) {
            let origin = Origin::Variable(variable.clone());
            if let Some(name) = variable.strip_prefix(SET_PREFIX) {
                self.put_config(name.to_lowercase().replace('_', "."), value.clone(), origin);
                continue;
            }
            let name = variable[PREFIX.len()..].to_lowercase().replace('_', "-");
            match NAMES.iter().find(|known| **known == name) {
                Some(name) => self.put(name, value.clone(), origin),
                // Kubernetes puts PAGEWIRE_PORT, PAGEWIRE_SERVICE_HOST and more into the environment of whoever runs beside a
                // service called pagewire, so an unknown variable cannot be an error.
                None if OTHER_VARIABLES.contains(&variable.as_str()) => {}
                None => self.warnings.push(format!("{variable} is not used: there is no setting of that name{}", hint(&name))),
            }
        }
    }

    fn read_flags(&mut self, flags: &ServeFlags) {
        for name in NAMES {
            if let Some(value) = flags.get(name) {
                self.put(name, value.clone(), Origin::Flag((*name).into()));
            }
        }
        for pair in &flags.set {
            match pair.split_once('=') {
                Some((name, value)) => {
                    self.put_config(name.trim().into(), value.trim().into(), Origin::Flag(format!("set {}", name.trim())))
                }
                None => self.errors.push(format!("--set {pair}: expected NAME=VALUE")),
            }
        }
    }

    fn put(&mut self, name: &'static str, value: String, origin: Origin) {
        self.values.insert(name, value);
        self.origins.insert(name.into(), origin);
    }

    fn put_config(&mut self, name: String, value: String, origin: Origin) {
        self.origins.insert(name.clone(), origin);
        self.set.insert(name, value);
    }

    /// Reads one setting; `None` if it stands nowhere, or is wrong and noted in `errors`.
    pub(super) fn parse<T>(&mut self, name: &'static str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.values.get(name)?;
        match read(text.trim()) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.errors.push(format!("{}: {reason}, not {text:?}", self.origins[name]));
                None
            }
        }
    }

    /// Kafka's settings, under the names that were used.
    pub(super) fn configs(&self) -> Configs {
        self.set.clone()
    }

    /// Kafka's settings, checked one by one so that each wrong one is noted, and then together.
    pub(super) fn broker_config(&mut self) -> BrokerConfig {
        let mut accepted = Configs::new();
        for (name, value) in &self.set {
            let one = Configs::from([(name.clone(), value.clone())]);
            match check_values(&one) {
                Ok(()) => accepted.extend(one),
                Err(error) => self.errors.push(format!("{}: {}", self.origins[name], error.reason)),
            }
        }
        BrokerConfig::new(&accepted).unwrap_or_else(|error| {
            let origin = self.origins.get(error.name.as_str()).cloned();
            self.errors.push(format!("{}: {}", origin.map_or(error.name, |origin| origin.to_string()), error.reason));
            BrokerConfig::default()
        })
    }
}

fn hint(name: &str) -> String {
    match nearest(name, NAMES.iter().copied().chain(known_names())) {
        Some(near) if NAMES.contains(&near) => format!("; did you mean {near}?"),
        Some(near) => format!("; did you mean {near}, which goes under [set]?"),
        None => String::new(),
    }
}

/// `retention.ms = 5` without quotes is a table in a table to TOML; both spellings mean the same here.
fn flattened(prefix: &str, table: &toml::Table) -> Vec<(String, String)> {
    let entries = table.iter().flat_map(|(key, value)| match value {
        toml::Value::Table(inner) => flattened(&format!("{prefix}{key}."), inner),
        value => vec![(format!("{prefix}{key}"), scalar(value).unwrap_or_else(|| value.to_string()))],
    });
    entries.collect()
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) | toml::Value::Datetime(_) => None,
    }
}
