//! `--format`: the part of Go's text/template that people use with docker's tools, over JSON values.
//!
//! [`Template::parse`], then [`Template::render`]. Supported: fields, variables, pipes, `if`/`else if`/`else`, `range`
//! (with `break`, `continue`, `else`), `with`, comments, `{{-` and `-}}`, and the functions of [`functions::NAMES`].
//! What Go has and we do not (`define`, `template`, `block`, method calls) is refused by name. A literal `\t` or `\n`
//! outside `{{…}}` means a tab or a line break, as in docker-machine.

mod eval;
mod functions;
mod lexer;
mod parser;
mod printf;

use std::rc::Rc;

use serde_json::Value;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    nodes: Vec<parser::Node>,
}

/// What a field that is not there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// `<no value>`, as Go prints a missing key of a map.
    NoValue,
    /// An error where it is a field of the row itself, as Go has it for a struct; `<no value>` further down.
    Refused,
    /// The values are column titles: a field of a title is the field's own name in capitals.
    Title,
}

/// Why a template cannot be used: a lower-case fragment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct TemplateError(String);

impl TemplateError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

type Result<T, E = TemplateError> = std::result::Result<T, E>;

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ok(Self { nodes: parser::parse(lexer::lex(text)?)? })
    }

    /// Fills it in. Nothing is returned on an error, so nothing half-done is ever printed.
    pub(crate) fn render(&self, data: &Value, missing: Missing) -> Result<String> {
        eval::render(&self.nodes, Rc::new(data.clone()), missing)
    }
}

#[cfg(test)]
mod tests;
