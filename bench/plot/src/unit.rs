//! How a number is shown: on a tick, beside a bar, in a table.
//!
//! Three significant digits unless said otherwise: runs differ by more than a thousandth.

/// What the numbers of an axis are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Times in seconds, shown in ns, µs, ms, s, min or h.
    Seconds,
    /// Parts of one, shown in percent with as many nines as it takes.
    Fraction,
    /// How many times as much as something else.
    Times,
    /// A number of something; large ones in k, M, G.
    Of(&'static str),
}

const SIGNIFICANT_DIGITS: i32 = 3;

impl Unit {
    /// A value with its unit, for a reader who sees nothing else.
    pub fn show(&self, value: f64) -> String {
        match self {
            _ if !value.is_finite() => "–".into(),
            Unit::Seconds => duration(value),
            Unit::Fraction => format!("{} %", nines(value)),
            Unit::Times => format!("{}×", significant(value)),
            Unit::Of("") => compact(value),
            Unit::Of(name) => format!("{} {name}", compact(value)),
        }
    }

    /// A value on an axis whose title names the unit. `step`: to the next tick, 0 if ticks are at uneven distances.
    pub fn tick(&self, value: f64, step: f64) -> String {
        match self {
            _ if value == 0.0 => "0".into(),
            Unit::Seconds => duration_tick(value, step),
            Unit::Fraction => format!("{} %", nines(value)),
            Unit::Times => format!("{}×", trimmed(value, step)),
            Unit::Of(_) => {
                let (factor, prefix) = prefix(value.abs().max(step));
                format!("{}{prefix}", trimmed(value / factor, step / factor))
            }
        }
    }

    /// What stands at an axis: its title and, where ticks do not show it, the unit.
    pub fn axis_title(&self, title: &str) -> String {
        match self {
            Unit::Of(name) if !name.is_empty() => format!("{title}, {name}"),
            _ => title.into(),
        }
    }
}

/// Three digits, whatever the size: `0.00123`, `1.23`, `123`, `12345`.
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let magnitude = value.abs().log10().floor();
    if !(-6.0..15.0).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = (SIGNIFICANT_DIGITS - 1 - magnitude as i32).max(0) as usize;
    let shown = format!("{value:.decimals$}");
    // 9.996 has become 10.00: one digit too many.
    let digits = shown.chars().filter(char::is_ascii_digit).skip_while(|digit| *digit == '0').count();
    if digits > SIGNIFICANT_DIGITS as usize && decimals > 0 { format!("{value:.*}", decimals - 1) } else { shown }
}

/// Three digits and a prefix: `12.3k`, `4.56M`.
pub fn compact(value: f64) -> String {
    // What rounds to 1000 belongs to the next prefix.
    let (factor, prefix) = prefix(value.abs() * 1.0005);
    format!("{}{prefix}", significant(value / factor))
}

fn prefix(value: f64) -> (f64, &'static str) {
    match value {
        v if v < 1e3 => (1.0, ""),
        v if v < 1e6 => (1e3, "k"),
        v if v < 1e9 => (1e6, "M"),
        v if v < 1e12 => (1e9, "G"),
        _ => (1e12, "T"),
    }
}

fn time_unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 1e-6 => (1e-9, "ns"),
        s if s < 1e-3 => (1e-6, "µs"),
        s if s < 1.0 => (1e-3, "ms"),
        s if s < 120.0 => (1.0, "s"),
        s if s < 7200.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    }
}

/// A time with its unit: `850 ns`, `1.25 ms`, `3.40 s`.
pub fn duration(seconds: f64) -> String {
    if seconds == 0.0 {
        return "0 s".into();
    }
    let (factor, unit) = time_unit(seconds.abs() * 1.0005);
    format!("{} {unit}", significant(seconds / factor))
}

fn duration_tick(seconds: f64, step: f64) -> String {
    let (factor, unit) = time_unit(seconds.abs() * (1.0 + 1e-9));
    format!("{} {unit}", trimmed(seconds / factor, step / factor))
}

/// As many decimals as tell one tick from the next, and no zeros behind them.
fn trimmed(value: f64, step: f64) -> String {
    let finest = if step > 0.0 { step } else { value.abs() };
    let decimals = if finest > 0.0 && finest < 1e15 { (2.0 - finest.log10().floor()).clamp(0.0, 12.0) as usize } else { 0 };
    let shown = format!("{value:.decimals$}");
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

/// `0.9999` as `99.99`: every nine, and at most two other digits.
fn nines(fraction: f64) -> String {
    let distance = 1.0 - fraction;
    let decimals = if distance > 0.0 && distance < 1.0 { (-distance.log10() - 1e-9).floor().clamp(0.0, 12.0) as usize } else { 0 };
    let shown = format!("{:.*}", decimals, fraction * 100.0);
    if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.').to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_of_any_size() {
        let shown = [0.0012345, 9.996, 1.0, 12.0, 999.6, 12345.0, 0.0].map(significant);
        assert_eq!(shown, ["0.00123", "10.0", "1.00", "12.0", "1000", "12345", "0"]);
        assert_eq!([999.6, 12_345.0, 4.56e6].map(compact), ["1.00k", "12.3k", "4.56M"]);
        assert_eq!((significant(1e30), significant(1e-9)), ("1.00e30".into(), "1.00e-9".into()));
    }

    #[test]
    fn times_go_by_their_size() {
        let shown = [8.5e-7, 1.25e-3, 0.9999, 3.4, 600.0, 9e4].map(duration);
        assert_eq!(shown, ["850 ns", "1.25 ms", "1.00 s", "3.40 s", "10.0 min", "25.0 h"]);
        assert_eq!(Unit::Seconds.tick(0.001, 0.0), "1 ms");
        assert_eq!(Unit::Seconds.tick(0.0015, 0.0005), "1.5 ms");
    }

    #[test]
    fn every_nine_is_shown() {
        let shown = [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 1.0].map(|fraction| Unit::Fraction.show(fraction));
        assert_eq!(shown, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "100 %"]);
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(Unit::Seconds.show(value), "–");
        }
    }
}
