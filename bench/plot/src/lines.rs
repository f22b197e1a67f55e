//! Lines over an axis: latency by percentile, over time, by throughput.
//!
//! A value that is no number is a gap in its line.

use crate::drawing::{Chart, Drawing};
use crate::frame::{self, Area, LINE_HEIGHT, PADDING, TEXT_PX, words, words_width};
use crate::markup::{Element, pixels};
use crate::palette;
use crate::scale::{Axis, Fitted, Scale};
use crate::thin::thinned;

/// One line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub name: String,
    /// Number of its colour, see [`palette`].
    pub colour: usize,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// x, least and most: drawn as a band behind the line.
    pub band: Vec<(f64, f64, f64)>,
}

/// Something that happened at one place of the horizontal axis.
#[derive(Clone, Debug)]
pub struct Mark {
    pub x: f64,
    pub label: String,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct LineChart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
}

/// Up to so many points are shown each for itself.
const DOTS_MAX: usize = 40;
/// Columns of pixels in which points are thinned.
const COLUMN_PX: f64 = 1.5;
const KEY_LINE_PX: f64 = 24.0;
/// Half of the last label sticks out.
const LAST_LABEL_PX: f64 = 20.0;
/// Dashes of denser lines would be taken for what was measured.
const DASHED_POINTS_MAX: usize = 200;
const KEY_GAP_PX: f64 = 18.0;

fn plot_height(width: f64) -> f64 {
    (width * 0.38).clamp(210.0, 300.0)
}

impl Chart for LineChart {
    fn draw(&self, width: f64) -> Drawing {
        let (mut content, after_title) = frame::title(&self.title, width);
        let (keys, after_keys) = self.keys(width, after_title);
        content.extend(keys);
        let top = after_keys + LINE_HEIGHT + 18.0;
        let height = plot_height(width);
        let y = self.fitted_y(frame::ticks_up(height));
        let widest = y.ticks.iter().map(|tick| words_width(&tick.label, TEXT_PX)).fold(0.0, f64::max);
        let area = Area { left: PADDING + widest + 8.0, right: width - PADDING - LAST_LABEL_PX, top, bottom: top + height };
        let x = self.fitted_x(frame::ticks_across(area.width()));
        content.extend(frame::vertical_axis(&self.y, &y, area));
        content.extend(frame::horizontal_axis(&self.x, &x, area));
        content.extend(self.marks.iter().flat_map(|mark| drawn_mark(mark, &x, area)));
        if self.lines.iter().all(|line| line.points.iter().all(|point| !point.1.is_finite())) {
            let middle = ((area.left + area.right) / 2.0, (area.top + area.bottom) / 2.0);
            content.push(words(middle.0, middle.1, "middle empty", "nothing was measured"));
        }
        // Follows the pointer where there is a script.
        content.push(frame::line("cursor", (area.left, area.top), (area.left, area.bottom)));
        for (number, line) in self.lines.iter().enumerate() {
            content.push(self.drawn_line(number, line, (&x, &y), area));
        }
        Drawing { title: self.title.clone(), width, height: area.bottom + frame::HORIZONTAL_AXIS_HEIGHT, content }
    }
}

impl LineChart {
    fn fitted_x(&self, ticks_max: usize) -> Fitted {
        let marks = self.marks.iter().map(|mark| mark.x);
        Fitted::new(&self.x, self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.0)).chain(marks), ticks_max)
    }

    fn fitted_y(&self, ticks_max: usize) -> Fitted {
        let points = self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        let bands = self.lines.iter().flat_map(|line| line.band.iter().flat_map(|band| [band.1, band.2]));
        Fitted::new(&self.y, points.chain(bands), ticks_max)
    }

    /// Which line is which, in as many rows as it takes.
    fn keys(&self, width: f64, top: f64) -> (Vec<Element>, f64) {
        let mut keys = Vec::new();
        let (mut x, mut y) = (PADDING, top + LINE_HEIGHT);
        for (number, line) in self.lines.iter().enumerate() {
            let name = frame::fitted(&line.name, width - 2.0 * PADDING - KEY_LINE_PX - 6.0, TEXT_PX);
            let key_width = KEY_LINE_PX + 6.0 + words_width(&name, TEXT_PX);
            if x > PADDING && x + key_width > width - PADDING {
                (x, y) = (PADDING, y + LINE_HEIGHT);
            }
            let sample = stroked(frame::line("sample", (x, y - 4.0), (x + KEY_LINE_PX, y - 4.0)), line.colour).with("stroke-width", "2.5");
            let key = Element::new("g").class("key").with("data-line", number.to_string());
            keys.push(key.child(sample).child(words(x + KEY_LINE_PX + 6.0, y, "", name)));
            x += key_width + KEY_GAP_PX;
        }
        (keys, if self.lines.is_empty() { top } else { y })
    }

    fn drawn_line(&self, number: usize, line: &Line, (x, y): (&Fitted, &Fitted), area: Area) -> Element {
        let mut points: Vec<(f64, f64)> = line.points.clone();
        points.sort_by(|left, right| left.0.total_cmp(&right.0));
        let mut drawn: Vec<(f64, f64, (f64, f64))> = Vec::new();
        let mut path = String::new();
        for run in points.split(|point| !point.0.is_finite() || !point.1.is_finite()).filter(|run| !run.is_empty()) {
            let placed = run.iter().map(|point| (area.x(x, point.0), area.y(y, point.1), *point)).collect();
            let placed = thinned(placed, COLUMN_PX);
            for (at, point) in placed.iter().enumerate() {
                path.push_str(&format!("{}{} {}", if at == 0 { "M" } else { "L" }, pixels(point.0), pixels(point.1)));
            }
            drawn.extend(placed);
        }
        let shown = |pick: fn(&(f64, f64)) -> f64, unit: &crate::unit::Unit| {
            drawn.iter().map(|point| unit.show(pick(&point.2))).collect::<Vec<_>>().join("|")
        };
        let group = Element::new("g").class("line").with("data-line", number.to_string()).with("data-name", line.name.clone());
        let group = group.with("data-x", shown(|point| point.0, &self.x.unit)).with("data-y", shown(|point| point.1, &self.y.unit));
        let group = if line.band.is_empty() { group } else { group.child(band(line, (x, y), area)) };
        let curve = Element::new("path").class("curve").with("d", path);
        let is_dense = drawn.len() > DASHED_POINTS_MAX;
        let group = group.child(if is_dense { coloured(curve, line.colour) } else { stroked(curve, line.colour) });
        let single = self.x.scale != Scale::Percentile && drawn.len() <= DOTS_MAX || drawn.len() == 1;
        let dots = drawn.iter().filter(|_| single);
        let dot = |point: &(f64, f64, (f64, f64))| {
            let circle = Element::new("circle").at("cx", point.0).at("cy", point.1).at("r", 3.0);
            circle.with("style", format!("fill:{}", palette::colour(line.colour)))
        };
        group.children(dots.map(dot))
    }
}

fn coloured(element: Element, colour: usize) -> Element {
    element.with("style", format!("stroke:{}", palette::colour(colour)))
}

fn stroked(element: Element, colour: usize) -> Element {
    let element = coloured(element, colour);
    match palette::dash(colour) {
        "" => element,
        dash => element.with("stroke-dasharray", dash),
    }
}

fn band(line: &Line, (x, y): (&Fitted, &Fitted), area: Area) -> Element {
    let corner = |at: f64, value: f64| format!("{} {}", pixels(area.x(x, at)), pixels(area.y(y, value)));
    let finite = || line.band.iter().filter(|band| band.0.is_finite() && band.1.is_finite() && band.2.is_finite());
    let below = finite().map(|band| corner(band.0, band.1));
    let above = finite().rev().map(|band| corner(band.0, band.2));
    let corners: Vec<String> = below.chain(above).collect();
    let path = if corners.is_empty() { String::new() } else { format!("M{}Z", corners.join("L")) };
    Element::new("path").class("band").with("d", path).with("style", format!("fill:{}", palette::colour(line.colour)))
}

fn drawn_mark(mark: &Mark, x: &Fitted, area: Area) -> Vec<Element> {
    let at = area.x(x, mark.x);
    let label_width = words_width(&mark.label, TEXT_PX);
    let (label_x, class) = if at + 6.0 + label_width > area.right { (at - 6.0, "end") } else { (at + 6.0, "") };
    vec![frame::line("mark", (at, area.top), (at, area.bottom)), words(label_x, area.top + 12.0, class, mark.label.clone())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{NARROW, WIDE};
    use crate::unit::Unit;

    fn chart(lines: Vec<Line>) -> LineChart {
        let axis = |title: &str, scale| Axis::new(title, Unit::Seconds, scale);
        let (x, y) = (axis("time", Scale::Linear), axis("latency", Scale::Logarithmic));
        LineChart { title: "Latency <over> time".into(), x, y, lines, marks: vec![Mark { x: 3.0, label: "a & b".into() }] }
    }

    fn line(points: Vec<(f64, f64)>) -> Line {
        Line { name: "p99 <&>".into(), points, ..Line::default() }
    }

    /// Everything that has a place has it inside the picture.
    fn check(file: &str) {
        let document = roxmltree::Document::parse(file).expect("well-formed");
        let size = |name: &str| document.root_element().attribute(name).and_then(|text| text.parse::<f64>().ok()).expect("a size");
        let (width, height) = (size("width"), size("height"));
        for node in document.descendants() {
            for (name, limit) in [("x", width), ("x1", width), ("x2", width), ("cx", width), ("y", height), ("y1", height), ("cy", height)]
            {
                if let Some(value) = node.attribute(name) {
                    let value: f64 = value.parse().expect("a number");
                    assert!((0.0..=limit).contains(&value), "{name}={value} of {limit}");
                }
            }
            assert!(!node.attribute("d").unwrap_or_default().contains("NaN"));
        }
    }

    #[test]
    fn any_line_gives_a_picture() {
        let many = (0..100_000).map(|number| (number as f64, f64::from(number % 97) * 1e-6)).collect();
        let cases: Vec<Vec<(f64, f64)>> = vec![
            vec![],
            vec![(0.0, 0.0)],
            vec![(1.0, 0.001)],
            vec![(0.0, f64::NAN), (1.0, 0.001), (2.0, f64::INFINITY)],
            vec![(0.0, 1e-9), (1e9, 1e12)],
            vec![(-1.0, -1.0), (2.0, 1e300)],
            many,
        ];
        for points in cases {
            for width in [NARROW, WIDE] {
                let file = chart(vec![line(points.clone()), line(vec![(0.0, 0.5), (1.0, 0.25)])]).draw(width).file();
                check(&file);
                assert!(file.len() < 400_000, "{}", file.len());
            }
        }
        check(&chart(vec![]).draw(WIDE).file());
    }

    #[test]
    fn a_gap_stays_a_gap_and_values_can_be_read() {
        let file = chart(vec![line(vec![(0.0, 0.001), (1.0, f64::NAN), (2.0, 0.002)])]).draw(WIDE).file();
        let document = roxmltree::Document::parse(&file).expect("well-formed");
        let group = document.descendants().find(|node| node.attribute("class") == Some("line")).expect("a line");
        assert_eq!(group.attribute("data-y"), Some("1.00 ms|2.00 ms"));
        assert_eq!(group.attribute("data-name"), Some("p99 <&>"));
        let path = group.descendants().find_map(|node| node.attribute("d")).expect("a path");
        assert_eq!(path.matches('M').count(), 2, "{path}");
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        assert!(chart(vec![line(vec![])]).draw(WIDE).file().contains("nothing was measured"));
    }
}
