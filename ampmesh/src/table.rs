//! Tables of aligned columns.

use std::io::{self, Write};

use crate::terminal::Style;

/// A heading and rows of as many cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        Self { heading: heading.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row. Its cells must be [`harmless`](crate::text::harmless).
    pub(crate) fn push<T: Into<String>>(&mut self, row: impl IntoIterator<Item = T>) {
        self.rows.push(row.into_iter().map(Into::into).collect());
    }

    /// Writes heading and rows, columns two blanks apart.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut widths: Vec<usize> = Vec::new();
        for row in std::iter::once(&self.heading).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(column) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        writeln!(out, "{}", style.strong(&line(&self.heading, &widths)))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", line(row, &widths)))
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_letters_and_nothing_trails() {
        let mut table = Table::new(["CLUSTER", "RTT"]);
        table.push(["käse", "0.42 ms"]);
        table.push(["a longer name", ""]);
        let mut out = Vec::new();
        table.write(&mut out, Style::plain()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "CLUSTER        RTT\nkäse           0.42 ms\na longer name\n"
        );
    }
}
