//! What commands print.

use std::io::{self, Write as _};

use serde::Serialize;

use super::CommandError;

pub(super) fn bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CommandError::Output)
}

pub(super) fn text(text: &str) -> Result<(), CommandError> {
    bytes(text.as_bytes())
}

/// Beside the answer, so that a pipe gets the answer alone. Nobody may listen.
pub(super) fn remark(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

pub(super) fn complain(error: &CommandError) {
    remark(&format!("error: {error}"));
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<(), CommandError> {
    let json = serde_json::to_string_pretty(value).map_err(|error| CommandError::Output(error.into()))?;
    text(&format!("{json}\n"))
}

/// Columns as wide as their widest cell, two blanks between them.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), CommandError> {
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let lines = std::iter::once(&head).chain(rows).map(|row| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    });
    text(&lines.collect::<String>())
}

/// A list as a cell.
pub(super) fn list<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    if values.is_empty() { "-".to_owned() } else { values.join(", ") }
}

/// A value that may be missing as a cell.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
