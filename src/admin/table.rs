//! Tables for people: columns line up, two spaces apart, and no line ends in spaces.

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// For names.
    Left,
    /// For numbers.
    Right,
}

/// A table being filled.
#[derive(Clone, Debug)]
pub struct Table<const COLUMNS: usize> {
    aligns: [Align; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub fn new(heads: [(&str, Align); COLUMNS]) -> Table<COLUMNS> {
        Table { aligns: heads.map(|(_, align)| align), rows: vec![heads.map(|(head, _)| head.to_owned())] }
    }

    pub fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    /// All rows, the heads first, each line behind `indent`.
    pub fn text(&self, indent: &str) -> String {
        let width = |cell: &String| cell.chars().count();
        let widths: [usize; COLUMNS] =
            std::array::from_fn(|column| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or_default());
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(self.aligns).zip(widths).map(|((cell, align), width)| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
            let line = format!("{indent}{}", cells.collect::<Vec<_>>().join("  "));
            text += line.trim_end();
            text += "\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_where_their_text_does() {
        let mut table = Table::new([("NAME", Align::Left), ("LAG", Align::Right), ("HOST", Align::Left)]);
        table.row(["ö".into(), "1000".into(), String::new()]);
        table.row(["longer".into(), "2".into(), "h".into()]);
        assert_eq!(table.text(" "), " NAME     LAG  HOST\n ö       1000\n longer     2  h\n");
    }
}
