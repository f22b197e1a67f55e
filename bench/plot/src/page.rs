//! One page of HTML that needs nothing else: style, script and plots are in it. Without the script it shows the same.
//!
//! Invariant: the page is well-formed XML as well.

use crate::drawing::{self, Chart, NARROW, WIDE};
use crate::markup::Element;
use crate::palette;

/// See the module.
#[derive(Clone, Debug)]
pub struct Page {
    pub title: String,
    /// Below the title: what, when.
    pub subtitle: String,
    /// Every plot says so, so that none can be shown alone as if it were valid.
    pub is_invalid: bool,
    pub body: Vec<Element>,
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

impl Page {
    pub fn html(&self) -> String {
        let meta = Element::new("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1");
        let style = Element::new("style").verbatim(format!("{}{}{STYLE}", palette::style(true), drawing::STYLE));
        let head = Element::new("head").child(Element::new("meta").with("charset", "utf-8")).child(meta);
        let head = head.child(Element::new("title").text(self.title.clone())).child(style);
        let heading = Element::new("h1").text(self.title.clone());
        let header = Element::new("header").child(heading).child(Element::new("p").class("subtitle").text(self.subtitle.clone()));
        let main = Element::new("main").child(header).children(self.body.iter().cloned());
        let body = Element::new("body").class(if self.is_invalid { "invalid" } else { "valid" }).child(main);
        // In HTML the marks are a comment of the script, in XML they let it have its < and &.
        let body = body.child(Element::new("script").verbatim(format!("//<![CDATA[\n{SCRIPT}//]]>\n")));
        format!("<!DOCTYPE html>\n{}\n", Element::new("html").with("lang", "en").child(head).child(body))
    }
}

/// A part of the page under a heading.
pub fn section(title: &str, content: impl IntoIterator<Item = Element>) -> Element {
    Element::new("section").child(Element::new("h2").text(title)).children(content)
}

pub fn paragraph(text: impl Into<String>) -> Element {
    Element::new("p").text(text)
}

/// A command or another text whose lines and spaces count.
pub fn verbatim(text: impl Into<String>) -> Element {
    Element::new("pre").child(Element::new("code").text(text))
}

/// A chart, drawn for wide and for narrow screens; the style shows the one that fits.
pub fn figure(chart: &dyn Chart) -> Element {
    let figure = Element::new("figure").child(chart.draw(WIDE).inline("wide"));
    figure.child(chart.draw(NARROW).inline("narrow"))
}

/// Small charts side by side.
pub fn figures(charts: &[&dyn Chart]) -> Element {
    let small = |chart: &&dyn Chart| Element::new("figure").child(chart.draw(NARROW).inline("small"));
    Element::new("div").class("figures").children(charts.iter().map(small))
}

/// What the page comes to, before anything else, and why.
pub fn verdict(is_good: bool, headline: &str, reasons: &[String]) -> Element {
    let band = Element::new("div").class(if is_good { "verdict good" } else { "verdict bad" }).with("role", "status");
    let band = band.child(Element::new("strong").text(headline));
    match reasons.is_empty() {
        true => band,
        false => band.child(Element::new("ul").children(reasons.iter().map(|reason| Element::new("li").text(reason.clone())))),
    }
}

/// The few numbers that most readers came for: what, how much, and a remark that may be empty.
pub fn tiles(tiles: &[(&str, String, String)]) -> Element {
    let tile = |(name, value, note): &(&str, String, String)| {
        let tile = Element::new("div").class("tile").child(Element::new("span").class("tile-name").text(*name));
        let tile = tile.child(Element::new("span").class("tile-value").text(value.clone()));
        if note.is_empty() { tile } else { tile.child(Element::new("span").class("tile-note").text(note.clone())) }
    };
    Element::new("div").class("tiles").children(tiles.iter().map(tile))
}

/// Names and what they stand for; empty ones are left out.
pub fn facts(facts: &[(&str, String)]) -> Element {
    let known = facts.iter().filter(|(_, value)| !value.is_empty());
    let pair = |(name, value): &(&str, String)| [Element::new("dt").text(*name), Element::new("dd").text(value.clone())];
    Element::new("dl").children(known.flat_map(pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Cell, Table};

    #[test]
    fn a_page_is_well_formed_and_asks_nobody() {
        let table = Table { head: vec![Cell::words("a")], rows: vec![vec![Cell::number("1 < 2")]] };
        let body = vec![
            verdict(false, "INVALID", &["the <self-check> & more".into()]),
            tiles(&[("rate", "1".into(), String::new())]),
            section("Plots", [facts(&[("kernel", "6".into()), ("none", String::new())]), table.html()]),
        ];
        let html = Page { title: "A & B".into(), subtitle: "<today>".into(), is_invalid: true, body }.html();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let document = roxmltree::Document::parse_with_options(&html, options).expect("well-formed");
        let class = |name: &str| document.descendants().find(|node| node.has_tag_name(name)).and_then(|node| node.attribute("class"));
        assert_eq!(class("body"), Some("invalid"));
        assert_eq!(document.descendants().filter(|node| node.has_tag_name("dt")).count(), 1);
        for word in ["http:", "https:", "@import", "url(", "src="] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
