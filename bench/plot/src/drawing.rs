//! What a chart becomes: a picture of one width, for a page or as a file of its own.

use crate::markup::{Element, pixels};
use crate::palette;

/// Something that can be drawn at any width.
pub trait Chart {
    /// In pixels. Words keep their size, so a narrow picture is another picture and not the wide one made smaller.
    fn draw(&self, width: f64) -> Drawing;
}

/// Where there is room.
pub const WIDE: f64 = 900.0;
/// A telephone, or one of several side by side.
pub const NARROW: f64 = 360.0;

/// A picture.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub title: String,
    pub width: f64,
    pub height: f64,
    pub content: Vec<Element>,
}

/// Fonts, sizes and strokes of everything in a picture.
pub(crate) const STYLE: &str = include_str!("plot.css");

impl Drawing {
    fn svg(&self) -> Element {
        let view = format!("0 0 {} {}", pixels(self.width), pixels(self.height));
        Element::new("svg").with("viewBox", view).with("role", "img").with("aria-label", self.title.clone())
    }

    /// For a page that brings the style. `class`: beside `plot`.
    pub fn inline(self, class: &str) -> Element {
        self.svg().class(format!("plot {class}")).with("style", format!("max-width:{}px", pixels(self.width))).children(self.content)
    }

    /// A file that needs nothing else: its own style and ground, light or dark as the reader's screen is.
    pub fn file(self) -> String {
        let ground = Element::new("rect").class("ground").at("width", self.width).at("height", self.height).at("rx", 8.0);
        let style = Element::new("style").verbatim(format!("{}{STYLE}", palette::style(false)));
        let svg = self.svg().class("plot").with("xmlns", "http://www.w3.org/2000/svg");
        let svg = svg.at("width", self.width).at("height", self.height);
        let svg = svg.child(Element::new("title").text(self.title.clone())).child(style).child(ground).children(self.content);
        format!("{svg}\n")
    }
}
