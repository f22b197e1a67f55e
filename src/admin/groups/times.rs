//! Dates and durations as `kafka-consumer-groups` takes them, in milliseconds.

use crate::base::Timestamp;

const EXPECTED: &str = "expected a date such as 2026-01-31T23:59:59.000 or 2026-01-31T23:59+02:00";

/// `YYYY-MM-DD[THH:MM[:SS[.mmm]]]`, in UTC unless `Z`, `±HH:MM` or `±HHMM` follows.
pub(super) fn parse_datetime(text: &str) -> Result<Timestamp, String> {
    datetime(text.trim()).map(Timestamp).ok_or_else(|| format!("{EXPECTED}, not {text:?}"))
}

fn datetime(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) || year < 1970 {
        return None;
    }
    let (time, zone_minutes) = split_zone(time)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next().unwrap_or("00"), 2)?);
    if hour > 23 || minute > 59 || second > 59 || fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    let millis = digits(fraction, fraction.len())? * 10_i64.pow(3 - fraction.len() as u32);
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - zone_minutes;
    Some((minutes * 60 + second) * 1000 + millis).filter(|time| *time >= 0)
}

/// The time of day without its zone, and the zone in minutes east of UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (time, zone) = time.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let zone = zone[1..].replace(':', "");
    let (hours, minutes) = (digits(zone.get(..2)?, 2)?, digits(zone.get(2..)?, 2)?);
    (hours <= 18 && minutes <= 59).then_some((time, sign * (hours * 60 + minutes)))
}

/// A number of exactly that many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

/// `PnDTnHnMnS` of ISO 8601, or the same without its `P` and `T`, such as `90m` or `7d`; 0 or more milliseconds.
pub(super) fn parse_duration_ms(text: &str) -> Result<i64, String> {
    duration_ms(text.trim()).ok_or_else(|| format!("expected a duration such as P7D, PT1H30M or 90m, not {text:?}"))
}

fn duration_ms(text: &str) -> Option<i64> {
    const UNITS: [(char, i64); 4] = [('D', 86_400_000), ('H', 3_600_000), ('M', 60_000), ('S', 1000)];
    let upper = text.to_ascii_uppercase();
    let is_iso = upper.starts_with('P');
    let mut rest = upper.strip_prefix('P').unwrap_or(&upper);
    let (mut total, mut units, mut is_time) = (0_i64, UNITS.as_slice(), !is_iso);
    if rest.is_empty() || rest.ends_with('T') {
        return None;
    }
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| is_iso && !is_time) {
            (rest, is_time) = (time, true);
        }
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..end].parse().ok()?;
        let unit = rest[end..].chars().next()?;
        let at = units.iter().position(|(name, _)| *name == unit)?;
        // In ISO 8601 an M before the T is a month, which has no fixed length.
        if is_iso && (unit != 'D') != is_time {
            return None;
        }
        total = total.checked_add(number.checked_mul(units[at].1)?)?;
        units = &units[at + 1..];
        rest = &rest[end + 1..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_unless_they_say_otherwise() {
        let at = |text: &str| parse_datetime(text).map(|time| time.0);
        assert_eq!(at("1970-01-01T00:00:00.000"), Ok(0));
        assert_eq!(at("2000-02-29T12:34:56.789"), Ok(951_827_696_789));
        assert_eq!(at("2026-11-21T16:41:40Z"), Ok(1_795_279_300_000));
        assert_eq!(at("2026-11-21T18:41:40+02:00"), Ok(1_795_279_300_000));
        assert_eq!(at("2026-11-21T11:11:40-0530"), Ok(1_795_279_300_000));
        assert_eq!(at("2026-11-21 16:41"), Ok(1_795_279_260_000));
        assert_eq!(at("2026-11-21"), Ok(1_795_219_200_000));
        assert_eq!(at("1970-01-01T00:00:00.5"), Ok(500));
    }

    #[test]
    fn what_is_no_date_is_told_so() {
        for wrong in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-11-21T24:00",
            "2026-11-21T16:41:40+2",
            "1969-12-31",
            "2026-11-21T1:2",
            "2026-11-21T00:00:00.1234",
            "2026-11-21T00:00+0é",
        ] {
            assert!(parse_datetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_isos_or_plain() {
        for (text, expected_ms) in
            [("P7D", 604_800_000), ("PT1H30M", 5_400_000), ("p1dt2s", 86_402_000), ("90m", 5_400_000), ("1d12h", 129_600_000), ("PT0S", 0)]
        {
            assert_eq!(parse_duration_ms(text), Ok(expected_ms), "{text}");
        }
        for wrong in
            ["", "P", "PT", "P1M", "PT1D", "5", "h", "1m1h", "P1DT", "-PT1H", "99999999999999999999d", "9999999999999d", "P1H", "1T2H"]
        {
            assert!(parse_duration_ms(wrong).is_err(), "{wrong}");
        }
    }
}
