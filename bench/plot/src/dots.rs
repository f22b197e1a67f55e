//! Values on a logarithmic axis, one row each, with every run, the spread and the side of a limit on which they are to be.

use crate::bars::whisker;
use crate::drawing::{Chart, Drawing};
use crate::frame::{self, Area, LINE_HEIGHT, PADDING, TEXT_PX, words, words_width};
use crate::markup::Element;
use crate::palette;
use crate::scale::{Axis, Fitted};
use crate::spread::Spread;

/// One row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub name: String,
    pub colour: usize,
    pub spread: Spread,
    /// Each run for itself; may be empty.
    pub runs: Vec<f64>,
    /// Said behind the row.
    pub note: String,
    /// The note is a complaint.
    pub is_missed: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct DotChart {
    pub title: String,
    pub axis: Axis,
    /// Where rows are to be at or below, and what that is called.
    pub limit: Option<(f64, String)>,
    pub rows: Vec<Row>,
}

const ROW_HEIGHT: f64 = 22.0;
const NAMES_SHARE_MAX: f64 = 0.42;
const NOTES_SHARE_MAX: f64 = 0.2;
/// Below this width names stand above their rows.
const BESIDE_MIN: f64 = 560.0;

impl Chart for DotChart {
    fn draw(&self, width: f64) -> Drawing {
        let (mut content, after_title) = frame::title(&self.title, width);
        let is_beside = width >= BESIDE_MIN;
        let widest = |text: fn(&Row) -> &str, share: f64| {
            self.rows.iter().map(|row| words_width(text(row), TEXT_PX)).fold(0.0, f64::max).min(width * share)
        };
        let names = if is_beside { widest(|row| &row.name, NAMES_SHARE_MAX) + 12.0 } else { 8.0 };
        let notes = widest(|row| &row.note, NOTES_SHARE_MAX) + 14.0;
        let row_height = if is_beside { ROW_HEIGHT } else { ROW_HEIGHT + LINE_HEIGHT };
        let top = after_title + if self.limit.is_some() { LINE_HEIGHT + 8.0 } else { 8.0 };
        let bottom = top + row_height * self.rows.len().max(1) as f64 + 6.0;
        let area = Area { left: PADDING + names, right: width - PADDING - notes, top, bottom };
        let values = self
            .rows
            .iter()
            .flat_map(|row| [row.spread.median, row.spread.least, row.spread.most])
            .chain(self.limit.iter().map(|limit| limit.0));
        let fitted = Fitted::new(&self.axis, values, frame::ticks_across(area.width()));
        if let Some((limit, label)) = &self.limit {
            let x = area.x(&fitted, *limit);
            let side = Element::new("rect").class("good-side").at("x", area.left).at("y", area.top);
            content.push(side.at("width", x - area.left).at("height", area.height()));
            let (at, class) = if x < width * 0.7 { (x + 4.0, "") } else { (x - 4.0, "end") };
            content.push(words(at, area.top - 6.0, class, label.clone()));
        }
        content.extend(frame::horizontal_axis(&self.axis, &fitted, area));
        if let Some((limit, _)) = &self.limit {
            let x = area.x(&fitted, *limit);
            content.push(frame::line("limit", (x, area.top - 16.0), (x, area.bottom)));
        }
        for (number, row) in self.rows.iter().enumerate() {
            let row_bottom = top + row_height * (number + 1) as f64;
            let middle = row_bottom - ROW_HEIGHT / 2.0 + 3.0;
            let name = match is_beside {
                true => words(area.left - 12.0, middle + 4.0, "name end", frame::fitted(&row.name, names - 12.0, TEXT_PX)),
                false => words(PADDING, middle - LINE_HEIGHT + 4.0, "name", frame::fitted(&row.name, width - 2.0 * PADDING, TEXT_PX)),
            };
            content.push(self.drawn(row, name, &fitted, area, middle));
        }
        if self.rows.is_empty() {
            content.push(words(area.left, area.top + 16.0, "empty", "nothing was measured"));
        }
        Drawing { title: self.title.clone(), width, height: area.bottom + frame::HORIZONTAL_AXIS_HEIGHT, content }
    }
}

impl DotChart {
    fn drawn(&self, row: &Row, name: Element, fitted: &Fitted, area: Area, y: f64) -> Element {
        let show = |value: f64| self.axis.unit.show(value);
        let Spread { median, least, most } = row.spread;
        let said = format!("{}: {} ({} – {}) {}", row.name, show(median), show(least), show(most), row.note);
        let mut group = Element::new("g").class("dot").child(Element::new("title").text(said)).child(name);
        let colour = format!("fill:{}", palette::colour(row.colour));
        let circle = |value: f64, radius: f64| {
            Element::new("circle").at("cx", area.x(fitted, value)).at("cy", y).at("r", radius).with("style", colour.clone())
        };
        if least.is_finite() && most.is_finite() {
            group = group.child(whisker((area.x(fitted, least), area.x(fitted, most)), y));
        }
        group = group.children(row.runs.iter().filter(|run| run.is_finite()).map(|run| circle(*run, 2.5).with("opacity", "0.55")));
        if median.is_finite() {
            group = group.child(circle(median, 5.0));
        }
        let class = if row.is_missed { "missed" } else { "value" };
        group.child(words(area.right + 12.0, y + 4.0, class, row.note.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{NARROW, WIDE};
    use crate::scale::Scale;
    use crate::unit::Unit;

    fn chart(rows: Vec<Row>) -> DotChart {
        let axis = Axis::new("measured over allowed", Unit::Times, Scale::Logarithmic);
        DotChart { title: "Bars".into(), axis, limit: Some((1.0, "the bar".into())), rows }
    }

    fn row(median: f64) -> Row {
        Row {
            name: "<a> & b".into(),
            spread: Spread { median, least: median / 2.0, most: median * 2.0 },
            runs: vec![median],
            note: "met".into(),
            ..Row::default()
        }
    }

    #[test]
    fn what_is_met_stands_left_of_the_limit() {
        let file = chart(vec![row(0.5), row(4.0)]).draw(WIDE).file();
        let document = roxmltree::Document::parse(&file).expect("well-formed");
        let limit: f64 =
            document.descendants().find(|n| n.attribute("class") == Some("limit")).and_then(|n| n.attribute("x1")?.parse().ok()).unwrap();
        let medians: Vec<f64> =
            document.descendants().filter(|n| n.attribute("r") == Some("5")).map(|n| n.attribute("cx").unwrap().parse().unwrap()).collect();
        assert!(medians[0] < limit && medians[1] > limit, "{medians:?} {limit}");
    }

    #[test]
    fn any_row_gives_a_picture() {
        for rows in [vec![], vec![row(0.0)], vec![row(f64::NAN)], vec![row(1e-30), row(1e17)], vec![row(f64::INFINITY); 50]] {
            for width in [NARROW, WIDE] {
                let file = chart(rows.clone()).draw(width).file();
                roxmltree::Document::parse(&file).expect("well-formed");
                assert!(!file.contains("NaN") && !file.contains("\"inf"), "{file}");
            }
        }
    }
}
