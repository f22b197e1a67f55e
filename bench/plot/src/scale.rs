//! From a value to a place on an axis, and where its ticks stand.
//!
//! Invariants: `low < high`, both finite; a place is in 0..=1; there is at least one tick.

use crate::unit::Unit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From zero.
    Linear,
    /// By factors. What is zero or less stands at the low end.
    Logarithmic,
    /// Fractions by log(1 / (1 − fraction)): 90 %, 99 % and 99.9 % at even distances, as HdrHistogram's plots have it.
    Percentile,
}

/// What an axis is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    pub title: String,
    pub unit: Unit,
    pub scale: Scale,
}

impl Axis {
    pub fn new(title: impl Into<String>, unit: Unit, scale: Scale) -> Axis {
        Axis { title: title.into(), unit, scale }
    }

    pub fn full_title(&self) -> String {
        self.unit.axis_title(&self.title)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub value: f64,
    /// Empty for a grid line without a word.
    pub label: String,
}

/// An axis that fits its values.
#[derive(Clone, Debug)]
pub struct Fitted {
    scale: Scale,
    low: f64,
    high: f64,
    pub ticks: Vec<Tick>,
}

/// Beyond this a value is a mistake of whoever measured it, and arithmetic on it would overflow.
const VALUE_MAX: f64 = 1e18;
/// On a logarithmic axis: below this everything is the low end.
const VALUE_MIN: f64 = 1e-12;
/// Nines beyond these do not happen: nobody counts 10¹² messages.
const DISTANCE_MIN: f64 = 1e-12;
/// Steps of an axis of run time beyond two minutes, in seconds.
const LONG_STEPS: &[f64] = &[30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 43_200.0, 86_400.0];

/// How far along a scale a value lies; only differences mean something.
fn along(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.max(VALUE_MIN).log10(),
        Scale::Percentile => -(1.0 - value).clamp(DISTANCE_MIN, 1.0).log10(),
    }
}

impl Fitted {
    /// Fits `axis` to `values`, with at most about `ticks_max` labelled ticks.
    pub fn new(axis: &Axis, values: impl IntoIterator<Item = f64>, ticks_max: usize) -> Fitted {
        let usable =
            |value: &f64| value.is_finite() && value.abs() <= VALUE_MAX && (axis.scale != Scale::Logarithmic || *value > VALUE_MIN);
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.into_iter().filter(usable) {
            (low, high) = (low.min(value), high.max(value));
        }
        let ticks_max = ticks_max.max(2);
        match axis.scale {
            Scale::Linear => Fitted::linear(axis, low.min(0.0), if high > 0.0 { high } else { 1.0 }, ticks_max),
            Scale::Logarithmic if low > high => Fitted::logarithmic(axis, 1.0, 10.0, ticks_max),
            Scale::Logarithmic => Fitted::logarithmic(axis, low, high, ticks_max),
            Scale::Percentile => Fitted::percentile(axis, high.clamp(0.9, 1.0), ticks_max),
        }
    }

    fn linear(axis: &Axis, low: f64, high: f64, ticks_max: usize) -> Fitted {
        let step = match axis.unit {
            Unit::Seconds if high - low > 120.0 => {
                let fits = |step: &&f64| (high - low) / **step <= ticks_max as f64;
                LONG_STEPS.iter().find(fits).copied().unwrap_or_else(|| round_step((high - low) / ticks_max as f64))
            }
            _ => round_step((high - low) / ticks_max as f64),
        };
        let first = (low / step).floor() as i64;
        // A little over the last tick needs no tick more.
        let last = (high / step - 0.02).ceil() as i64;
        let tick = |number: i64| Tick { value: number as f64 * step, label: axis.unit.tick(number as f64 * step, step) };
        Fitted {
            scale: axis.scale,
            low: first as f64 * step,
            high: (last as f64 * step).max(high),
            ticks: (first..=last).map(tick).collect(),
        }
    }

    fn logarithmic(axis: &Axis, low: f64, high: f64, ticks_max: usize) -> Fitted {
        // Ends at round numbers below and above, near enough that no part of the axis is empty.
        let round = |value: f64, up: bool| {
            let decade = 10f64.powf(value.log10().floor());
            let steps = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0].map(|step| step * decade);
            let tolerance = if up { 1.0 - 1e-9 } else { 1.0 + 1e-9 };
            match up {
                true => steps.into_iter().find(|step| *step >= value * tolerance).unwrap_or(decade * 10.0),
                false => steps.into_iter().rev().find(|step| *step <= value * tolerance).unwrap_or(decade),
            }
        };
        let (mut low, mut high) = (round(low, false), round(high, true));
        if high / low < 2.0 {
            (low, high) = (round(low / 1.5, false), round(high * 1.5, true));
        }
        let within = |value: &f64| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9);
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let at = |steps: &[f64], every: usize| -> Vec<f64> {
            let values = decades.clone().step_by(every).flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
            values.filter(within).collect()
        };
        let choices: [(&[f64], usize); 7] =
            [(&[1.0, 2.0, 3.0, 5.0], 1), (&[1.0, 2.0, 5.0], 1), (&[1.0, 3.0], 1), (&[1.0], 1), (&[1.0], 2), (&[1.0], 3), (&[1.0], 5)];
        let chosen = choices.into_iter().find(|(steps, every)| at(steps, *every).len() <= ticks_max);
        let (steps, every) = chosen.unwrap_or((&[1.0], 5));
        let labelled = at(steps, every);
        let fine = if decades.clone().count() <= 7 { at(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 1) } else { at(&[1.0], 1) };
        let is_labelled = |value: f64| labelled.iter().any(|tick| (tick / value - 1.0).abs() < 1e-9);
        let label = |value: f64| if is_labelled(value) { axis.unit.tick(value, 0.0) } else { String::new() };
        Fitted { scale: axis.scale, low, high, ticks: fine.into_iter().map(|value| Tick { value, label: label(value) }).collect() }
    }

    fn percentile(axis: &Axis, high: f64, ticks_max: usize) -> Fitted {
        let distance = (1.0 - high).max(DISTANCE_MIN);
        let nines = (-distance.log10() - 1e-9).ceil().max(1.0) as i32;
        let mut ticks = vec![Tick { value: 0.0, label: axis.unit.tick(0.0, 0.0) }];
        let every = (nines as usize).div_ceil(ticks_max.saturating_sub(1).max(1));
        if every == 1 && nines as usize + 2 <= ticks_max {
            ticks.push(Tick { value: 0.5, label: axis.unit.tick(0.5, 0.0) });
        }
        for nine in 1..=nines {
            let value = 1.0 - 10f64.powi(-nine);
            let label = if (nine as usize).is_multiple_of(every) { axis.unit.tick(value, 0.0) } else { String::new() };
            ticks.push(Tick { value, label });
        }
        Fitted { scale: axis.scale, low: 0.0, high, ticks: ticks.into_iter().filter(|tick| tick.value <= high).collect() }
    }

    /// Where a value stands, from 0 at the low end to 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = (along(self.scale, self.low), along(self.scale, self.high));
        ((along(self.scale, value) - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// The next of 1, 2, 5 × a power of ten.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|round| *round >= step * (1.0 - 1e-9)).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: Unit, scale: Scale, values: &[f64], ticks_max: usize) -> Vec<String> {
        let fitted = Fitted::new(&Axis::new("x", unit, scale), values.iter().copied(), ticks_max);
        fitted.ticks.into_iter().map(|tick| tick.label).filter(|label| !label.is_empty()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(Unit::Seconds, Scale::Linear, &[0.037], 5), ["0", "10 ms", "20 ms", "30 ms", "40 ms"]);
        assert_eq!(labels(Unit::Seconds, Scale::Linear, &[700.0], 5), ["0", "5 min", "10 min", "15 min"]);
        assert_eq!(labels(Unit::Of("MB"), Scale::Linear, &[2100.0], 4), ["0", "1k", "2k", "3k"]);
        assert_eq!(labels(Unit::Seconds, Scale::Logarithmic, &[1.3e-4, 0.9], 5), ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]);
        assert_eq!(labels(Unit::Times, Scale::Logarithmic, &[0.6, 1.9], 6), ["0.5×", "1×", "2×"]);
        assert_eq!(labels(Unit::Fraction, Scale::Percentile, &[0.0, 0.9995], 8), ["0", "50 %", "90 %", "99 %", "99.9 %"]);
    }

    #[test]
    fn any_values_fit() {
        let extremes: [&[f64]; 8] =
            [&[], &[0.0], &[-5.0, 3.0], &[f64::NAN, f64::INFINITY], &[1e300], &[1e-300, 1e17], &[42.0], &[1.0, 1.0 + 1e-15]];
        for values in extremes {
            for scale in [Scale::Linear, Scale::Logarithmic, Scale::Percentile] {
                for unit in [Unit::Seconds, Unit::Fraction, Unit::Times, Unit::Of("MB")] {
                    let fitted = Fitted::new(&Axis::new("x", unit, scale), values.iter().copied(), 6);
                    assert!(fitted.low < fitted.high, "{values:?} {scale:?}: {fitted:?}");
                    assert!(!fitted.ticks.is_empty() && fitted.ticks.len() < 80, "{values:?} {scale:?}: {}", fitted.ticks.len());
                    assert!(fitted.ticks.iter().any(|tick| !tick.label.is_empty()), "{values:?} {scale:?}");
                    for value in values.iter().filter(|value| value.is_finite()) {
                        assert!((0.0..=1.0).contains(&fitted.place(*value)), "{value} {scale:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn places_are_in_order() {
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Percentile] {
            let values = [0.01, 0.1, 0.5, 0.9, 0.99];
            let fitted = Fitted::new(&Axis::new("x", Unit::Times, scale), values, 6);
            assert!(values.windows(2).all(|pair| fitted.place(pair[0]) < fitted.place(pair[1])), "{scale:?}");
        }
    }
}
