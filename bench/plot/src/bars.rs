//! A bar for each contestant, group by group, with the spread of its runs as a whisker and what it had to stay below as a dashed line.
//!
//! Bars lie, so that names of any length stand beside them. They begin at zero: their lengths can be compared.

use crate::drawing::{Chart, Drawing};
use crate::frame::{self, Area, LINE_HEIGHT, PADDING, TEXT_PX, words, words_width};
use crate::markup::Element;
use crate::palette;
use crate::scale::{Axis, Fitted};
use crate::spread::Spread;

/// The median of several runs, and how far they lie apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    pub name: String,
    /// Number of its colour, see [`palette`].
    pub colour: usize,
    pub spread: Spread,
    /// The bar is meant to end before these.
    pub limits: Vec<f64>,
}

/// Bars of one kind of work.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Above its bars; empty for none.
    pub name: String,
    pub bars: Vec<Bar>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct BarChart {
    pub title: String,
    pub axis: Axis,
    pub groups: Vec<Group>,
}

const BAR_HEIGHT: f64 = 14.0;
const BAR_GAP: f64 = 6.0;
const GROUP_GAP: f64 = 10.0;
/// Room for the value behind the longest bar.
const VALUE_WIDTH: f64 = 64.0;
/// Of the picture's width, for names.
const NAMES_SHARE_MAX: f64 = 0.4;

impl Chart for BarChart {
    fn draw(&self, width: f64) -> Drawing {
        let (mut content, after_title) = frame::title(&self.title, width);
        let bars = || self.groups.iter().flat_map(|group| &group.bars);
        let names = bars().map(|bar| words_width(&bar.name, TEXT_PX)).fold(0.0, f64::max).min(width * NAMES_SHARE_MAX);
        let height: f64 = self.groups.iter().map(group_height).sum();
        let top = after_title + 8.0;
        let area = Area { left: PADDING + names + 10.0, right: width - PADDING - VALUE_WIDTH, top, bottom: top + height.max(LINE_HEIGHT) };
        let values = bars().flat_map(|bar| [bar.spread.median, bar.spread.most].into_iter().chain(bar.limits.iter().copied()));
        let fitted = Fitted::new(&self.axis, values, frame::ticks_across(area.width()));
        content.extend(frame::horizontal_axis(&self.axis, &fitted, area));
        let mut y = top;
        for group in &self.groups {
            y += GROUP_GAP;
            if !group.name.is_empty() {
                y += LINE_HEIGHT;
                content.push(words(PADDING, y - 5.0, "group", frame::fitted(&group.name, width - 2.0 * PADDING, TEXT_PX)));
            }
            for bar in &group.bars {
                content.push(self.drawn(bar, &fitted, area, y));
                y += BAR_HEIGHT + BAR_GAP;
            }
        }
        if bars().next().is_none() {
            content.push(words(area.left, area.top + 14.0, "empty", "nothing was measured"));
        }
        Drawing { title: self.title.clone(), width, height: area.bottom + frame::HORIZONTAL_AXIS_HEIGHT, content }
    }
}

fn group_height(group: &Group) -> f64 {
    let name = if group.name.is_empty() { 0.0 } else { LINE_HEIGHT };
    GROUP_GAP + name + group.bars.len() as f64 * (BAR_HEIGHT + BAR_GAP)
}

impl BarChart {
    fn drawn(&self, bar: &Bar, fitted: &Fitted, area: Area, y: f64) -> Element {
        let middle = y + BAR_HEIGHT / 2.0;
        let x = |value: f64| area.x(fitted, value);
        let show = |value: f64| self.axis.unit.show(value);
        let Spread { median, least, most } = bar.spread;
        let mut said = format!("{}: {} ({} – {})", bar.name, show(median), show(least), show(most));
        bar.limits.iter().for_each(|limit| said.push_str(&format!(", at most {} asked", show(*limit))));
        let name = frame::fitted(&bar.name, area.left - PADDING - 10.0, TEXT_PX);
        let group = Element::new("g").class("bar").child(Element::new("title").text(said));
        let mut group = group.child(words(area.left - 10.0, middle + 4.0, "name end", name));
        if !median.is_finite() {
            return group.child(words(area.left + 6.0, middle + 4.0, "value", "–"));
        }
        let length = (x(median) - area.left).max(1.0);
        let rectangle = Element::new("rect").at("x", area.left).at("y", y).at("width", length).at("height", BAR_HEIGHT).at("rx", 2.0);
        group = group.child(rectangle.with("style", format!("fill:{}", palette::colour(bar.colour))));
        let mut end = x(median);
        if most > least && least.is_finite() && most.is_finite() {
            group = group.child(whisker((x(least), x(most)), middle));
            end = end.max(x(most));
        }
        for limit in bar.limits.iter().filter(|limit| limit.is_finite()) {
            group = group.child(frame::line("limit", (x(*limit), y - 3.0), (x(*limit), y + BAR_HEIGHT + 3.0)));
            // A value beside a line is not struck through by it.
            if x(*limit) > end - 4.0 && x(*limit) < end + VALUE_WIDTH {
                end = end.max(x(*limit));
            }
        }
        group.child(words(end + 7.0, middle + 4.0, "value", self.axis.unit.tick(median, 0.0)))
    }
}

/// From the least to the most, with its ends.
pub(crate) fn whisker((least, most): (f64, f64), y: f64) -> Element {
    let (upper, lower) = (y - 4.0, y + 4.0);
    let path = [(least, upper, least, lower), (least, y, most, y), (most, upper, most, lower)].map(|(x1, y1, x2, y2)| {
        let pixels = crate::markup::pixels;
        format!("M{} {}L{} {}", pixels(x1), pixels(y1), pixels(x2), pixels(y2))
    });
    Element::new("path").class("whisker").with("d", path.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawing::{NARROW, WIDE};
    use crate::scale::Scale;
    use crate::unit::Unit;

    fn chart(bars: Vec<Bar>) -> BarChart {
        let axis = Axis::new("processor time", Unit::Of("s/GB"), Scale::Linear);
        BarChart { title: "Ingest".into(), axis, groups: vec![Group { name: "16 KiB".into(), bars }] }
    }

    fn bar(median: f64) -> Bar {
        let spread = Spread { median, least: median * 0.9, most: median * 1.1 };
        Bar { name: "floor".into(), spread, limits: vec![median * 1.25], colour: 0 }
    }

    #[test]
    fn lengths_are_as_values() {
        let file = chart(vec![bar(1.0), bar(2.0)]).draw(WIDE).file();
        let document = roxmltree::Document::parse(&file).expect("well-formed");
        let widths: Vec<f64> = document
            .descendants()
            .filter(|node| node.parent().and_then(|parent| parent.attribute("class")) == Some("bar"))
            .filter_map(|node| node.attribute("width")?.parse().ok())
            .collect();
        assert!((widths[1] / widths[0] - 2.0).abs() < 0.01, "{widths:?}");
        let title = document.descendants().find(|node| node.parent_element().is_some_and(|p| p.attribute("class") == Some("bar")));
        assert_eq!(title.and_then(|node| node.text()), Some("floor: 1.00 s/GB (0.900 s/GB – 1.10 s/GB), at most 1.25 s/GB asked"));
    }

    #[test]
    fn any_bar_gives_a_picture() {
        let long = Bar { name: "a <very> long & strange name that fits nowhere at all".into(), ..bar(3.0) };
        for bars in [vec![], vec![bar(0.0)], vec![bar(f64::NAN), bar(1e17)], vec![bar(1e300)], vec![long, bar(f64::INFINITY)]] {
            for width in [NARROW, WIDE] {
                let file = chart(bars.clone()).draw(width).file();
                roxmltree::Document::parse(&file).expect("well-formed");
                assert!(!file.contains("NaN") && !file.contains("inf"), "{file}");
            }
        }
    }
}
