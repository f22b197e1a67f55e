//! What charts have in common: words at their place, the title, axes with their grid.

use crate::markup::Element;
use crate::scale::{Axis, Fitted};

pub const TITLE_PX: f64 = 15.0;
pub const TEXT_PX: f64 = 12.0;
/// Between the edge of the picture and everything in it.
pub const PADDING: f64 = 16.0;
/// From a line of words to the next.
pub const LINE_HEIGHT: f64 = 18.0;
/// Below the area of a horizontal axis: its labels and its title.
pub const HORIZONTAL_AXIS_HEIGHT: f64 = 42.0;
/// Width of a letter by its height, on the generous side: nobody knows the reader's font.
const LETTER_WIDTH: f64 = 0.56;

/// Where values are drawn, in pixels from the upper left.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

impl Area {
    pub fn x(&self, axis: &Fitted, value: f64) -> f64 {
        self.left + axis.place(value) * (self.right - self.left)
    }

    pub fn y(&self, axis: &Fitted, value: f64) -> f64 {
        self.bottom - axis.place(value) * (self.bottom - self.top)
    }

    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

pub fn words(x: f64, y: f64, class: &str, text: impl Into<String>) -> Element {
    let element = Element::new("text").at("x", x).at("y", y);
    let element = if class.is_empty() { element } else { element.class(class) };
    element.text(text)
}

pub fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Element {
    Element::new("line").class(class).at("x1", x1).at("y1", y1).at("x2", x2).at("y2", y2)
}

/// About so wide.
pub fn words_width(text: &str, font_px: f64) -> f64 {
    text.chars().count() as f64 * font_px * LETTER_WIDTH
}

/// `text`, cut at the end if it is wider than `width`.
pub fn fitted(text: &str, width: f64, font_px: f64) -> String {
    let letters = (width / (font_px * LETTER_WIDTH)).floor().max(1.0) as usize;
    match text.chars().count() > letters {
        true => text.chars().take(letters - 1).chain(std::iter::once('…')).collect(),
        false => text.to_owned(),
    }
}

/// `text` in lines that fit `width`; a word wider than that is cut.
pub fn wrapped(text: &str, width: f64, font_px: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if words_width(line, font_px) + words_width(word, font_px) + font_px * LETTER_WIDTH <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(fitted(word, width, font_px)),
        }
    }
    lines
}

/// The title in as many lines as it takes, and where the next thing begins.
pub fn title(text: &str, width: f64) -> (Vec<Element>, f64) {
    let lines = wrapped(text, width - 2.0 * PADDING, TITLE_PX);
    let mut y = PADDING;
    let mut elements = Vec::new();
    for text in lines {
        y += LINE_HEIGHT;
        elements.push(words(PADDING, y - 4.0, "title", text));
    }
    (elements, y + 4.0)
}

/// Grid lines, labels and title of an axis from left to right.
pub fn horizontal_axis(axis: &Axis, fitted_axis: &Fitted, area: Area) -> Vec<Element> {
    let mut elements = Vec::new();
    for tick in &fitted_axis.ticks {
        let x = area.x(fitted_axis, tick.value);
        elements.push(line("grid", (x, area.top), (x, area.bottom)));
        if !tick.label.is_empty() {
            elements.push(words(x, area.bottom + LINE_HEIGHT, "middle", tick.label.clone()));
        }
    }
    elements.push(line("axis", (area.left, area.bottom), (area.right, area.bottom)));
    let title = fitted(&axis.full_title(), area.right - PADDING, TEXT_PX);
    elements.push(words(area.right, area.bottom + 2.0 * LINE_HEIGHT, "end", title));
    elements
}

/// Grid lines and labels of an axis from bottom to top; its title stands above it.
pub fn vertical_axis(axis: &Axis, fitted_axis: &Fitted, area: Area) -> Vec<Element> {
    let mut elements = Vec::new();
    for tick in &fitted_axis.ticks {
        let y = area.y(fitted_axis, tick.value);
        elements.push(line("grid", (area.left, y), (area.right, y)));
        if !tick.label.is_empty() {
            elements.push(words(area.left - 8.0, y + 4.0, "end", tick.label.clone()));
        }
    }
    elements.push(words(PADDING, area.top - 12.0, "", fitted(&axis.full_title(), area.right - PADDING, TEXT_PX)));
    elements
}

/// As many labels as stand beside each other.
pub fn ticks_across(width: f64) -> usize {
    (width / 58.0) as usize
}

/// As many labels as stand above each other.
pub fn ticks_up(height: f64) -> usize {
    (height / 36.0) as usize
}
