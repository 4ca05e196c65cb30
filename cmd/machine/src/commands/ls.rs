//! `machine ls`: one row for each machine, broken ones included.

use std::time::Duration;

use machine_base::Diagnostic;
use machine_host::Store;
use machine_host::record::Record;
use machine_host::store::Entry;
use machine_provision::operations::{self, ListOptions, Row};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::env_vars;
use crate::error::CommandError;
use crate::filter::Filter;
use crate::operation;
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::ReportArgs;
use crate::session::Session;

/// A certificate that ends sooner than this is worth a word.
const EXPIRY_WARNING: time::Duration = time::Duration::days(30);

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Name", title: "NAME" },
    Column { field: "Active", title: "ACTIVE" },
    Column { field: "ActiveHost", title: "ACTIVE_HOST" },
    Column { field: "DriverName", title: "DRIVER" },
    Column { field: "State", title: "STATE" },
    Column { field: "URL", title: "URL" },
    Column { field: "DockerVersion", title: "DOCKER" },
    Column { field: "Error", title: "ERRORS" },
    Column { field: "ResponseTime", title: "RESPONSE" },
    Column { field: "EngineOptions", title: "ENGINE_OPTIONS" },
    Column { field: "Labels", title: "LABELS" },
    Column { field: "CertificateExpires", title: "CERTIFICATE_EXPIRES" },
];

/// What is printed where no format is given.
const TABLE: &str =
    "table {{.Name}}\t{{.Active}}\t{{.DriverName}}\t{{.State}}\t{{.URL}}\t{{.DockerVersion}}\t{{.Error}}";

/// List machines
#[derive(Debug, clap::Args)]
pub(crate) struct LsArgs {
    /// Names only; asks no machine
    #[arg(short, long)]
    quiet: bool,
    /// Only machines for which KEY is VALUE; keys are name, driver, state and label. May be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// How long to wait for answers, all machines together
    #[arg(short, long, default_value = "2s", value_name = "TIME", value_parser = crate::duration::parse)]
    timeout: Duration,
    /// A line for each machine through a Go template; begin with "table" for columns
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with_all = ["quiet", "output"])]
    format: Option<String>,
    /// A document for programs
    #[arg(short, long, value_enum, conflicts_with = "quiet")]
    output: Option<DocumentFormat>,
    /// Probe no machine: show the last known state
    #[arg(long)]
    no_probe: bool,
}

/// One row.
struct Line {
    name: String,
    active: bool,
    driver: String,
    state: String,
    url: String,
    docker: String,
    error: String,
    took: Option<Duration>,
    record: Option<Record>,
}

pub(crate) fn run(session: &Session, args: &LsArgs) -> Result<(), CommandError> {
    let filter = Filter::parse(&args.filter)?;
    let store = session.store()?;
    if args.quiet && filter.needs_nothing() {
        let names: String = store.names()?.iter().map(|name| format!("{name}\n")).collect();
        return session.out.text(&names);
    }
    let lines = if args.no_probe || (args.quiet && !filter.needs_state()) {
        store.list_with(|entry| Line::remembered(&store, entry))?
    } else {
        let options = ListOptions { deadline: args.timeout, probe: true };
        let machines = store
            .list()?
            .into_iter()
            .map(|entry| (entry.name, entry.record.map_err(|e| Diagnostic::from(e).one_line())))
            .collect();
        let rows = operation::run(
            session,
            store,
            &ReportArgs { quiet: true, ..ReportArgs::default() },
            |world, _| async move { Ok(operations::list(&world, machines, options).await) },
        )?;
        rows.into_iter().map(Line::probed).collect::<Vec<_>>()
    };
    let lines: Vec<Line> = lines.into_iter().filter(|line| filter.lets(line)).collect();
    session.out.text(&if args.quiet {
        lines.iter().map(|line| format!("{}\n", line.name)).collect()
    } else if let Some(output) = args.output {
        document::render(output, &lines.iter().map(Line::document).collect())?
    } else {
        let rows: Vec<Value> = lines.iter().map(Line::fields).collect();
        format_rows(args.format.as_deref().unwrap_or(TABLE), COLUMNS, &rows)?
    })
}

impl Line {
    /// By the record alone.
    fn remembered(store: &Store, entry: Entry) -> Self {
        let name = entry.name.to_string();
        match entry.record {
            Ok(record) => {
                let state = operations::recorded_state(store, &record).to_string();
                let docker = record.installed.as_ref().and_then(|i| i.known_version()).map(str::to_owned);
                Self::new(name, Some(record), state, docker, None, None)
            }
            Err(error) => {
                Self::new(name, None, "Error".to_owned(), None, Some(Diagnostic::from(error).one_line()), None)
            }
        }
    }

    /// As the machine itself said.
    fn probed(row: Row) -> Self {
        Self::new(
            row.name.to_string(),
            row.record,
            row.state.to_string(),
            row.engine_version,
            row.error,
            Some(row.took),
        )
    }

    fn new(
        name: String,
        record: Option<Record>,
        state: String,
        docker: Option<String>,
        error: Option<String>,
        took: Option<Duration>,
    ) -> Self {
        let url = record
            .as_ref()
            .and_then(|record| record.endpoint.as_ref())
            .map(|endpoint| endpoint.url())
            .unwrap_or_default();
        // Where there is no answer there is no use in the address.
        let off = ["Stopped", "Timeout", "Gone"].contains(&state.as_str());
        let expiry = record.as_ref().and_then(|record| expiry_warning(record, OffsetDateTime::now_utc()));
        let error = [error, expiry].into_iter().flatten().collect::<Vec<_>>().join("; ");
        Self {
            active: !off && !url.is_empty() && env_vars::DOCKER_HOST.get().is_some_and(|host| host == url),
            driver: record.as_ref().map_or_else(|| "not found".to_owned(), |record| record.driver.name.clone()),
            url: if off { String::new() } else { url },
            docker: docker.map_or_else(
                || if record.is_some() { "Unknown".to_owned() } else { String::new() },
                |v| format!("v{v}"),
            ),
            error,
            name,
            state,
            took,
            record,
        }
    }

    fn labels(&self) -> &[String] {
        self.record.as_ref().map_or(&[], |record| &record.engine.labels)
    }

    fn expires(&self) -> Option<&String> {
        self.record.as_ref()?.installed.as_ref()?.certificate_expires.as_ref()
    }

    fn engine_options(&self) -> Value {
        self.record.as_ref().and_then(|record| serde_json::to_value(&record.engine).ok()).unwrap_or_else(|| json!({}))
    }

    /// For `--format`.
    fn fields(&self) -> Value {
        json!({
            "Name": self.name,
            "Active": if self.active { "*" } else { "-" },
            "ActiveHost": self.active,
            "DriverName": self.driver,
            "State": self.state,
            "URL": self.url,
            "DockerVersion": self.docker,
            "Error": self.error,
            "ResponseTime": self.took.map_or_else(String::new, |took| format!("{}ms", took.as_millis())),
            "EngineOptions": self.engine_options(),
            "Labels": self.labels(),
            "CertificateExpires": self.expires().map_or("", String::as_str),
        })
    }

    /// For `-o`; the schema is in docs/output.md.
    fn document(&self) -> Value {
        let text = |text: &String| (!text.is_empty()).then(|| text.clone());
        json!({
            "name": self.name,
            "active": self.active,
            "driver": self.record.as_ref().map(|record| &record.driver.name),
            "state": self.state,
            "url": text(&self.url),
            "docker_version": self.docker.strip_prefix('v'),
            "error": text(&self.error),
            "labels": self.labels(),
            "certificate_expires": self.expires(),
            "response_ms": self.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

impl crate::filter::Filtered for Line {
    fn name(&self) -> &str {
        &self.name
    }
    fn driver(&self) -> &str {
        &self.driver
    }
    fn state(&self) -> &str {
        &self.state
    }
    fn labels(&self) -> &[String] {
        Self::labels(self)
    }
    fn is_broken(&self) -> bool {
        self.record.is_none()
    }
}

/// A word about a certificate that ends soon.
fn expiry_warning(record: &Record, now: OffsetDateTime) -> Option<String> {
    let text = record.installed.as_ref()?.certificate_expires.as_ref()?;
    let left = OffsetDateTime::parse(text, &Rfc3339).ok()? - now;
    if left.is_negative() {
        Some(format!("certificate expired on {}: machine regenerate-certs {}", text.split('T').next()?, record.name))
    } else if left < EXPIRY_WARNING {
        Some(format!("certificate expires in {} days: machine regenerate-certs {}", left.whole_days(), record.name))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_titles_and_documentation_agree() {
        let page = include_str!("../../../../docs/output.md");
        let line = Line::new("x".into(), None, "Error".into(), None, None, None);
        let fields = line.fields();
        for column in COLUMNS {
            assert!(fields.get(column.field).is_some(), "{} has no value", column.field);
            assert!(page.contains(&format!(".{}", column.field)), "docs/output.md lacks {}", column.field);
        }
        assert_eq!(fields.as_object().map(serde_json::Map::len), Some(COLUMNS.len()));
        for key in line.document().as_object().expect("an object").keys() {
            assert!(page.contains(&format!("| `{key}` | ")), "docs/output.md lacks {key}");
        }
    }
}
