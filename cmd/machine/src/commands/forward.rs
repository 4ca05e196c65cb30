//! `machine forward`: published ports of containers, on this computer.

use machine_provision::operations::{self, Forwards};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::names::OneName;
use crate::operation;
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::ReportArgs;
use crate::session::Session;

/// Forward the ports that containers publish to this computer, and list them
#[derive(Debug, clap::Args)]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    name: OneName,
    /// Forward ports below 1024 too, from now on; `--low-ports=false` takes that back
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    low_ports: Option<bool>,
    /// Go template for each row, or `table …` with titles
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "output")]
    format: Option<String>,
    /// One document with all details
    #[arg(short, long, value_enum)]
    output: Option<DocumentFormat>,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &ForwardArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, args.name.name.as_deref())?;
    let low_ports = args.low_ports;
    let forwards = operation::run(session, store, &args.report, |world, _| async move {
        Ok(operations::forward(&world, &name, low_ports).await?)
    })?;
    match args.output {
        Some(form) => {
            let value = serde_json::to_value(&forwards)
                .map_err(|e| CommandError::failure("cannot write the list").caused_by(&e))?;
            session.out.text(&document::render(form, &value)?)
        }
        None => session.out.text(&format_rows(args.format.as_deref().unwrap_or(TABLE), COLUMNS, &rows(&forwards))?),
    }
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Local", title: "HERE" },
    Column { field: "Remote", title: "ON THE HOST" },
    Column { field: "Container", title: "CONTAINER" },
    Column { field: "Note", title: "NOTE" },
];

const TABLE: &str = "table {{.Local}}\t{{.Remote}}\t{{.Container}}\t{{.Note}}";

/// The engine first, then ports carried, then those that are not and why.
fn rows(forwards: &Forwards) -> Vec<Value> {
    let row = |local: String, remote: String, container: &str, note: &str| json!({"Local": local, "Remote": remote, "Container": container, "Note": note});
    let note = forwards.trouble.as_deref().unwrap_or("the engine, with the machine's certificates");
    let engine = row(format!("127.0.0.1:{}", forwards.engine_port), "engine".to_owned(), "-", note);
    let carried = forwards.forwards.iter().map(|forward| {
        let remote = if forward.host.contains(':') {
            format!("[{}]:{}", forward.host, forward.host_port)
        } else {
            format!("{}:{}", forward.host, forward.host_port)
        };
        let protocol = if forward.udp { "/udp" } else { "" };
        row(format!("127.0.0.1:{}{protocol}", forward.port), remote, &forward.container, "")
    });
    let refused = forwards.refusals.iter().map(|refusal| {
        row("-".to_owned(), refusal.port.to_string(), &refusal.container, &format!("not forwarded: {}", refusal.reason))
    });
    let unlisted = (forwards.unlisted > 0)
        .then(|| row("-".to_owned(), "-".to_owned(), "-", &format!("not forwarded: {} more ports", forwards.unlisted)));
    std::iter::once(engine).chain(carried).chain(refused).chain(unlisted).collect()
}
