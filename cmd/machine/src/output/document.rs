//! `-o json|yaml` and `--format`, the same for every listing.

use serde_json::Value;

use super::template::{Missing, Template};
use super::{table, visible};
use crate::error::CommandError;

/// A form that programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DocumentFormat {
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

/// Options of a listing of things kept here, which are known by a digest.
#[derive(Debug, clap::Args)]
pub(crate) struct ListingArgs {
    /// Digests only
    #[arg(short, long)]
    quiet: bool,
    /// A line for each through a Go template; begin with "table" for columns
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "output"])]
    format: Option<String>,
    /// A document for programs
    #[arg(short, long, value_enum, conflicts_with = "quiet")]
    output: Option<DocumentFormat>,
}

impl ListingArgs {
    /// The listing in the form asked for: `row` for templates, `document` for programs.
    pub(crate) fn render<T>(
        &self,
        (default, columns): (&str, &[Column]),
        things: &[T],
        digest: impl Fn(&T) -> String,
        row: impl Fn(&T) -> Result<Value, CommandError>,
        document: impl Fn(&T) -> Result<Value, CommandError>,
    ) -> Result<String, CommandError> {
        if self.quiet {
            return Ok(things.iter().map(|thing| digest(thing) + "\n").collect());
        }
        if let Some(output) = self.output {
            let all = things.iter().map(document).collect::<Result<Vec<_>, _>>()?;
            return render(output, &Value::from(all));
        }
        let rows = things.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        format_rows(self.format.as_deref().unwrap_or(default), columns, &rows)
    }
}

/// A value as a document, ending in a line break.
pub(crate) fn render(format: DocumentFormat, value: &Value) -> Result<String, CommandError> {
    match format {
        DocumentFormat::Json => {
            let text = serde_json::to_string_pretty(value)
                .map_err(|e| CommandError::failure("cannot write JSON").caused_by(&e))?;
            Ok(text + "\n")
        }
        DocumentFormat::Yaml => {
            serde_yaml::to_string(value).map_err(|e| CommandError::failure("cannot write YAML").caused_by(&e))
        }
    }
}

/// One column that a template may name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// As in `{{.Name}}`.
    pub(crate) field: &'static str,
    /// As above the column.
    pub(crate) title: &'static str,
}

/// A list through `--format`: one line a row; `table …` aligns columns under their titles.
pub(crate) fn format_rows(format: &str, columns: &[Column], rows: &[Value]) -> Result<String, CommandError> {
    let (is_table, body) = match format.strip_prefix("table") {
        Some(rest) if rest.starts_with([' ', '\t']) || rest.starts_with("\\t") || rest.starts_with("{{") => {
            (true, rest.trim_start())
        }
        _ => (false, format),
    };
    let bad = |e: super::template::TemplateError| {
        CommandError::usage(format!("--format: {e}")).hint("the fields and functions are listed in docs/output.md")
    };
    let template = Template::parse(body).map_err(bad)?;
    let mut text = String::new();
    let mut push = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    if is_table {
        let titles = columns.iter().map(|c| (c.field.to_owned(), Value::from(c.title))).collect();
        push(template.render(&Value::Object(titles), Missing::Title).map_err(bad)?);
    }
    for row in rows {
        push(template.render(&visible::value(row), Missing::Refused).map_err(bad)?);
    }
    Ok(if is_table { table::align(&text) } else { text })
}

/// One document through `--format`: fields that are not there print `<no value>`.
pub(crate) fn format_one(format: &str, value: &Value) -> Result<String, CommandError> {
    let bad = |e: super::template::TemplateError| CommandError::usage(format!("--format: {e}"));
    let value = visible::value_with_lines(value);
    Ok(Template::parse(format).map_err(bad)?.render(&value, Missing::NoValue).map_err(bad)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[Column { field: "Name", title: "NAME" }, Column { field: "Labels", title: "LABELS" }];

    #[test]
    fn a_table_has_titles_and_columns() {
        let rows = [json!({"Name": "web-1", "Labels": ["a=b", "c=d"]}), json!({"Name": "d", "Labels": []})];
        let text = format_rows("table {{.Name}}\\t{{join .Labels \",\"}}", COLUMNS, &rows).unwrap();
        assert_eq!(text, "NAME    LABELS\nweb-1   a=b,c=d\nd\n");
    }

    #[test]
    fn a_list_has_a_line_for_each_row() {
        let text = format_rows("{{.Name}}: {{len .Labels}}", COLUMNS, &[json!({"Name": "a", "Labels": [1]})]).unwrap();
        assert_eq!(text, "a: 1\n");
    }

    #[test]
    fn an_unknown_field_is_refused_and_named() {
        let error = format_rows("{{.Nome}}", COLUMNS, &[json!({"Name": "a", "Labels": []})]).unwrap_err();
        assert_eq!(error.to_string(), "--format: can't evaluate field Nome (there are Name, Labels)");
        let error = format_rows("table {{.Nome}}", COLUMNS, &[]).unwrap_err();
        assert_eq!(error.to_string(), "--format: can't evaluate field Nome (there are Name, Labels)");
    }

    #[test]
    fn tablecloth_is_no_table() {
        assert_eq!(format_rows("tablecloth", COLUMNS, &[json!({})]).unwrap(), "tablecloth\n");
    }

    #[test]
    fn documents_end_in_a_line_break() {
        assert_eq!(render(DocumentFormat::Json, &json!({"a": 1})).unwrap(), "{\n  \"a\": 1\n}\n");
        assert_eq!(render(DocumentFormat::Yaml, &json!({"a": [1]})).unwrap(), "a:\n- 1\n");
    }
}
