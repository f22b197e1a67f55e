//! The colours: of series, of words and lines, of verdicts; in light and in dark.
//!
//! Series differ in lightness as well as in hue, so that they stay apart for readers who see fewer colours, and on paper; lines are dashed
//! differently on top. Colours reach a picture as custom properties of CSS (`--series-0`, `--ink`, …).

use std::fmt::Write;

/// Colours for series, by number; beyond the last they begin again.
pub const SERIES: usize = SERIES_COLOURS.len();

/// Name, light, dark. The last is grey: for what is only there to compare with.
const SERIES_COLOURS: [(&str, &str, &str); 7] = [
    ("--series-0", "#0b5fc0", "#5aa9ff"),
    ("--series-1", "#d9560b", "#ff9350"),
    ("--series-2", "#00806a", "#35c7a4"),
    ("--series-3", "#a23b8c", "#e593cf"),
    ("--series-4", "#a87400", "#ecc04d"),
    ("--series-5", "#3a3f9e", "#a3a8ff"),
    ("--series-6", "#7b8494", "#97a1b2"),
];

const OTHER_COLOURS: [(&str, &str, &str); 11] = [
    ("--page", "#f5f6f8", "#0e1116"),
    ("--surface", "#ffffff", "#171b22"),
    ("--ink", "#1b2028", "#e7eaf0"),
    ("--muted", "#566072", "#a0a9b8"),
    ("--grid", "#e3e6eb", "#2a303a"),
    ("--edge", "#c9ced6", "#3d4552"),
    ("--good", "#0a6b4d", "#4ad2a0"),
    ("--good-fill", "#e2f5ed", "#11332a"),
    ("--bad", "#b3261e", "#ff8a80"),
    ("--bad-fill", "#fdeae8", "#3f1a18"),
    ("--stripe", "#f7d5d2", "#57211e"),
];

/// The grey series.
pub const NEUTRAL: usize = SERIES - 1;

/// Dash patterns by series: the second sign beside the colour.
const DASHES: [&str; 4] = ["", "8 4", "2 3", "10 3 2 3"];

pub fn colour(series: usize) -> String {
    format!("var({})", SERIES_COLOURS[series % SERIES].0)
}

/// `stroke-dasharray`; empty for a line without gaps.
pub fn dash(series: usize) -> &'static str {
    DASHES[series % DASHES.len()]
}

/// Style that defines the colours, light or dark as the reader's screen is. `can_choose`: the page sets `data-theme` at its root.
pub fn style(can_choose: bool) -> String {
    let block = |pick: fn(&(&'static str, &'static str, &'static str)) -> &'static str| {
        SERIES_COLOURS.iter().chain(&OTHER_COLOURS).fold(String::new(), |mut text, colour| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}:{};", colour.0, pick(colour));
            text
        })
    };
    let (light, dark) = (block(|colour| colour.1), block(|colour| colour.2));
    match can_choose {
        false => format!(":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"),
        true => format!(
            ":root{{{light}color-scheme:light}}\n\
             @media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}color-scheme:dark}}}}\n\
             @media screen{{:root[data-theme=dark]{{{dark}color-scheme:dark}}}}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.1: the relative luminance of a colour.
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).expect("hexadecimal")) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(left: &str, right: &str) -> f64 {
        let (left, right) = (luminance(left), luminance(right));
        (left.max(right) + 0.05) / (left.min(right) + 0.05)
    }

    fn named(name: &str) -> (&'static str, &'static str) {
        let found = SERIES_COLOURS.iter().chain(&OTHER_COLOURS).find(|colour| colour.0 == name).expect("a colour");
        (found.1, found.2)
    }

    /// WCAG 2.1, 1.4.3 and 1.4.11: 4.5 for words, 3 for graphics.
    #[test]
    fn everything_stands_out_from_its_ground() {
        let asked: [(&str, &str, f64); 6] = [
            ("--ink", "--surface", 7.0),
            ("--muted", "--surface", 4.5),
            ("--muted", "--page", 4.5),
            ("--good", "--good-fill", 4.5),
            ("--bad", "--bad-fill", 4.5),
            ("--bad", "--stripe", 4.5),
        ];
        let series = SERIES_COLOURS.iter().map(|colour| (colour.0, "--surface", 3.0));
        for (front, ground, least) in asked.into_iter().chain(series) {
            let (front_colours, ground_colours) = (named(front), named(ground));
            for (front_colour, ground_colour) in [(front_colours.0, ground_colours.0), (front_colours.1, ground_colours.1)] {
                let ratio = contrast(front_colour, ground_colour);
                assert!(ratio >= least, "{front} on {ground}: {ratio:.2}");
            }
        }
    }
}
