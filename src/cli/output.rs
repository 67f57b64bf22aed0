//! Where a command writes: data to stdout, everything else to stderr. A reader that went away
//! ends the command quietly.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::error::CliError;
use crate::config;

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a line stands out on a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    Strong,
    Faint,
}

/// A command's output.
pub(super) struct Output {
    json: bool,
    colour: bool,
    out: Box<dyn Write + Send>,
}

impl Output {
    pub(super) fn new(json: bool, colour: Colour) -> Self {
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                io::stdout().is_terminal()
                    && config::variable("NO_COLOR").is_none()
                    && config::variable("TERM").as_deref() != Some("dumb")
            }
        };
        Self {
            json,
            colour: colour && !json,
            out: Box::new(io::stdout()),
        }
    }

    /// Whether JSON is asked for.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a line for people, or `value` as a line of JSON.
    pub(super) fn record(&mut self, text: &str, value: &impl Serialize) -> Result<(), CliError> {
        if !self.json {
            return self.line(text);
        }
        let json = serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?;
        self.line(&json)
    }

    /// Writes a line as it is.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(CliError::Output)
    }

    /// `text`, marked where colours are used.
    pub(super) fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Strong => 1,
            Style::Faint => 2,
        };
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// Writes rows below a head, each column as wide as its longest text; in JSON an object a row.
    pub(super) fn table(
        &mut self,
        head: &[&str],
        rows: &[(Vec<String>, Value)],
    ) -> Result<(), CliError> {
        if self.json {
            return rows
                .iter()
                .try_for_each(|(_, value)| self.line(&value.to_string()));
        }
        let width = |column: usize| {
            let longest = rows
                .iter()
                .map(|(cells, _)| cells[column].chars().count())
                .max();
            longest.unwrap_or(0).max(head[column].chars().count())
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let aligned = |cells: &[&str]| {
            let padded = cells
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        if !rows.is_empty() {
            let head = self.styled(Style::Faint, &aligned(head));
            self.line(&head)?;
        }
        for (cells, _) in rows {
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            self.line(&aligned(&cells))?;
        }
        Ok(())
    }
}

/// Writes to stderr what is no data.
pub(super) fn note(text: &str) {
    // Nobody is left to be told where stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error to stderr.
pub(super) fn report(error: &CliError, json: bool) {
    if json {
        note(&json!({"error": error.to_json()}).to_string());
    } else {
        note(&format!("error: {error}"));
    }
}
