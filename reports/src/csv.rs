//! Tables as Din writes them: names in the first line, no quotes, empty cells for what is not known.

use std::fmt::Write;

/// A table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csv {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Csv {
    /// Reads a table up to its first broken line, which is told.
    pub fn parse(text: &str) -> (Self, Option<String>) {
        let mut lines = text.lines().enumerate();
        let Some((_, header)) = lines.next() else { return (Self::default(), None) };
        let columns: Vec<String> = header.split(',').map(str::to_owned).collect();
        let mut rows = Vec::new();
        for (index, line) in lines {
            let row: Vec<String> = line.split(',').map(str::to_owned).collect();
            if row.len() != columns.len() {
                let (seen, due) = (row.len(), columns.len());
                let why =
                    format!("line {} and what follows: {seen} cells, and {due} are due", index + 1);
                return (Self { columns, rows }, Some(why));
            }
            rows.push(row);
        }
        (Self { columns, rows }, None)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The cells of a column; `None` when there is no such column.
    pub fn texts(&self, column: &str) -> Option<impl Iterator<Item = &str>> {
        let at = self.columns.iter().position(|name| name == column)?;
        Some(self.rows.iter().map(move |row| &row[at][..]))
    }

    /// The cells of a row.
    ///
    /// # Panics
    /// Beyond the last row.
    pub fn row(&self, index: usize) -> impl Iterator<Item = &str> {
        self.rows[index].iter().map(String::as_str)
    }

    /// The counts of a column; `None` for cells without one, and for all when there is no such column.
    pub fn counts(&self, column: &str) -> Vec<Option<u64>> {
        match self.texts(column) {
            Some(cells) => cells.map(|cell| cell.parse().ok()).collect(),
            None => vec![None; self.len()],
        }
    }

    /// The numbers of a column; `None` for cells without one, and for all when there is no such
    /// column.
    pub fn numbers(&self, column: &str) -> Vec<Option<f64>> {
        match self.texts(column) {
            Some(cells) => cells.map(number).collect(),
            None => vec![None; self.len()],
        }
    }
}

fn number(cell: &str) -> Option<f64> {
    cell.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A table of numbers as text; `None` gives an empty cell.
pub fn write(columns: &[String], rows: &[Vec<Option<f64>>]) -> String {
    let names: Vec<String> = columns.iter().map(|name| name.replace([',', '\n'], ";")).collect();
    let mut text = names.join(",");
    text.push('\n');
    for row in rows {
        let cells: Vec<String> =
            row.iter().map(|cell| cell.map(shown).unwrap_or_default()).collect();
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}", cells.join(","));
    }
    text
}

/// A number without what rounding leaves behind: four decimals at most.
pub fn shown(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_read_up_to_what_is_broken() {
        let (csv, broken) = Csv::parse("t_s,phase,n\n1.5,talk,3\n2.5,talk,\n3.5,ta");
        assert_eq!(broken.as_deref(), Some("line 4 and what follows: 2 cells, and 3 are due"));
        assert_eq!(csv.len(), 2);
        assert_eq!(csv.numbers("t_s"), [Some(1.5), Some(2.5)]);
        assert_eq!(csv.numbers("n"), [Some(3.0), None]);
        assert_eq!(csv.numbers("phase"), [None, None]);
        assert_eq!(csv.numbers("other"), [None, None], "a column that is not there");
        assert!(csv.texts("other").is_none());
        assert_eq!(csv.texts("phase").unwrap().collect::<Vec<_>>(), ["talk", "talk"]);
        assert_eq!(Csv::parse(""), (Csv::default(), None));
        assert_eq!(Csv::parse("a\nNaN\ninf\n").0.numbers("a"), [None, None]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let rows = vec![vec![Some(1.0), None], vec![Some(0.12345), Some(-0.00001)]];
        let text = write(&["t (s)".to_owned(), "a,b".to_owned()], &rows);
        assert_eq!(text, "t (s),a;b\n1,\n0.1235,0\n");
        assert_eq!(Csv::parse(&text).0.numbers("t (s)"), [Some(1.0), Some(0.1235)]);
    }
}
