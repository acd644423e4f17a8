//! Tables in Markdown of what was seen, compared with those of `tests/README.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The page that shows the tables, below the project.
const PAGE: &str = "tests/README.md";

/// Rows of equal outcome are one row, with all its tools.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Row>,
}

#[derive(PartialEq)]
struct Row {
    case: String,
    tools: Vec<String>,
    seen: Vec<String>,
}

impl Table {
    pub fn new(head: &[&str]) -> Table {
        let head = head.iter().map(|&word| word.to_owned()).collect();
        let rows = Vec::new();
        Table { head, rows }
    }

    /// Notes what was seen of one tool in one case.
    pub fn add(&mut self, case: &str, tool: &str, seen: Vec<String>) {
        let mut rows = self.rows.iter_mut();
        let tool = tool.to_owned();
        match rows.find(|row| row.case == case && row.seen == seen) {
            Some(row) => row.tools.push(tool),
            None => self.rows.push(Row {
                case: case.to_owned(),
                tools: vec![tool],
                seen,
            }),
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        let rule = vec!["---".to_owned(); self.head.len()];
        let mut lines = vec![line(&self.head), line(&rule).replace(' ', "")];
        for row in &self.rows {
            let mut cells = vec![row.case.clone(), row.tools.join(", ")];
            cells.extend(row.seen.iter().cloned());
            lines.push(line(&cells));
        }
        lines
    }

    /// Prints the table, and panics if a case failed or [`PAGE`] shows another one between its marks.
    pub fn check(&self, name: &str, faults: &[String]) {
        let seen = self.lines();
        println!("{}", seen.join("\n"));
        let mut faults = faults.to_vec();
        let shown = shown(name);
        let outcomes = outcomes(&shown);
        for (key, seen) in outcomes_of(self) {
            match outcomes.get(&key) {
                Some(shown) if *shown == seen => {}
                Some(shown) => {
                    faults.push(format!("{key}: {PAGE} shows {shown}, seen is {seen}"));
                }
                None => faults.push(format!("{key}: {PAGE} does not show it; seen is {seen}")),
            }
        }
        if shown != seen {
            let lines = |sign, lines: &[String], others: &[String]| {
                let lines = lines.iter().filter(|line| !others.contains(line));
                lines
                    .map(|line| format!("{sign} {line}\n"))
                    .collect::<String>()
            };
            faults.push(format!(
                "{PAGE}: the table between <!-- {name} --> and <!-- /{name} --> (-) is not what was seen (+):\n{}{}",
                lines('-', &shown, &seen),
                lines('+', &seen, &shown)
            ));
        }
        assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
    }
}

/// The lines that [`PAGE`] has between the marks.
fn shown(name: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{PAGE}: {error}"));
    let mut lines = page.lines().map(str::to_owned);
    let (first, last) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    lines.find(|line| *line == first);
    lines
        .take_while(|line| *line != last)
        .filter(|line| !line.is_empty())
        .collect()
}

/// The outcomes in a table, by case and tool.
fn outcomes(lines: &[String]) -> BTreeMap<String, String> {
    let rows = lines.iter().skip(2).map(|line| {
        let cells = line.trim_matches('|').split(" | ");
        cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let mut outcomes = BTreeMap::new();
    for cells in rows.filter(|cells| cells.len() > 2) {
        for tool in cells[1].split(", ") {
            outcomes.insert(format!("{}: {tool}", cells[0]), cells[2..].join(" | "));
        }
    }
    outcomes
}

fn outcomes_of(table: &Table) -> BTreeMap<String, String> {
    outcomes(&table.lines())
}

/// A number with its thousands apart.
pub fn digits(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
