//! Elements of SVG and HTML, written so that an XML parser takes them too.
//!
//! Invariant: text and attributes are escaped here and nowhere else; [`Element::verbatim`] takes constants of this crate only.

use std::fmt::Write;

/// An element with its attributes and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Element(Element),
    Text(String),
    Verbatim(String),
}

/// Elements that close in place. In HTML only these may; any other empty element needs its end tag.
const CLOSE_IN_PLACE: &[&str] = &["circle", "line", "meta", "path", "rect"];

impl Element {
    pub fn new(name: &'static str) -> Element {
        Element { name, attributes: Vec::new(), children: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, attribute: &'static str, value: impl Into<String>) -> Element {
        self.attributes.push((attribute, value.into()));
        self
    }

    #[must_use]
    pub fn class(self, value: impl Into<String>) -> Element {
        self.with("class", value)
    }

    /// A number of an attribute, to a tenth of a pixel.
    #[must_use]
    pub fn at(self, attribute: &'static str, value: f64) -> Element {
        self.with(attribute, pixels(value))
    }

    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Element {
        self.children.push(Node::Text(text.into()));
        self
    }

    #[must_use]
    pub fn child(mut self, child: Element) -> Element {
        self.children.push(Node::Element(child));
        self
    }

    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Style and script, which no parser may change.
    #[must_use]
    pub(crate) fn verbatim(mut self, text: impl Into<String>) -> Element {
        self.children.push(Node::Verbatim(text.into()));
        self
    }

    fn write(&self, to: &mut String) {
        to.push('<');
        to.push_str(self.name);
        for (name, value) in &self.attributes {
            // Writing to a String cannot fail.
            let _ = write!(to, " {name}=\"{}\"", escaped(value));
        }
        if self.children.is_empty() && CLOSE_IN_PLACE.contains(&self.name) {
            to.push_str("/>");
            return;
        }
        to.push('>');
        for child in &self.children {
            match child {
                Node::Element(element) => element.write(to),
                Node::Text(text) => to.push_str(&escaped(text)),
                Node::Verbatim(text) => to.push_str(text),
            }
        }
        let _ = write!(to, "</{}>", self.name);
    }
}

impl std::fmt::Display for Element {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        to.write_str(&text)
    }
}

/// A length in the picture: a tenth of a pixel is finer than any screen.
pub fn pixels(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Never "-0".
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// XML 1.0, 2.2: control characters cannot stand in a document at all, not even as references.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(c),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_text_is_it_comes_back() {
        let text = "a<b> & \"c\" 'd' ]]> \u{1F600} µ";
        let written = Element::new("p").with("title", text).text(text).to_string();
        let document = roxmltree::Document::parse(&written).expect("well-formed");
        assert_eq!((document.root_element().text(), document.root_element().attribute("title")), (Some(text), Some(text)));
    }

    #[test]
    fn control_characters_are_replaced() {
        let written = Element::new("p").text("a\u{0}b\u{1b}[0m\u{ffff}").to_string();
        let document = roxmltree::Document::parse(&written).expect("well-formed");
        assert_eq!(document.root_element().text(), Some("a\u{fffd}b\u{fffd}[0m\u{fffd}"));
    }

    #[test]
    fn empty_elements_of_html_keep_their_end_tag() {
        assert_eq!(Element::new("div").to_string(), "<div></div>");
        assert_eq!(Element::new("line").at("x1", -0.04).to_string(), "<line x1=\"0\"/>");
    }
}
