//! Tables: words to the left, numbers to the right.

use crate::markup::Element;

/// One cell; `class` is empty, or what the style knows: `met`, `missed`, `ours`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    pub text: String,
    pub class: &'static str,
    pub is_number: bool,
}

impl Cell {
    pub fn words(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), ..Cell::default() }
    }

    pub fn number(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), is_number: true, ..Cell::default() }
    }

    #[must_use]
    pub fn class(self, class: &'static str) -> Cell {
        Cell { class, ..self }
    }

    fn html(&self, name: &'static str) -> Element {
        let classes: Vec<&str> = [self.class, if self.is_number { "number" } else { "" }].into_iter().filter(|c| !c.is_empty()).collect();
        let element = Element::new(name).text(self.text.clone());
        if classes.is_empty() { element } else { element.class(classes.join(" ")) }
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub head: Vec<Cell>,
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn html(&self) -> Element {
        let row = |cells: &[Cell], name| Element::new("tr").children(cells.iter().map(|cell| cell.html(name)));
        let head = Element::new("thead").child(row(&self.head, "th"));
        let body = Element::new("tbody").children(self.rows.iter().map(|cells| row(cells, "td")));
        Element::new("div").class("scroll").child(Element::new("table").child(head).child(body))
    }
}
