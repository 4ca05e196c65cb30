//! `machine gc`: things at providers that no machine owns, and machines that no provider knows.

use machine_driver::Power;
use machine_provision::World;
use machine_provision::operations::{self, Deleted, Found, GcOptions, Left, NewAccount, Why};
use serde_json::{Value, json};

use crate::config::Config;
use crate::drivers::BuiltIn;
use crate::error::{CommandError, Kind, exit_code};
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::{Report, ReportArgs};
use crate::session::Session;
use crate::settings;
use crate::{operation, world};

/// List what is left over: things at providers without a machine here, and machines that are gone there
///
/// The providers asked are those of the machines here, and those whose credentials are to be had. Nothing is deleted without
/// --delete.
#[derive(Debug, clap::Args)]
pub(crate) struct GcArgs {
    /// Ask only this driver's provider; may be repeated
    #[arg(short, long, value_name = "DRIVER", add = clap_complete::engine::ArgValueCandidates::new(super::create::driver_candidates))]
    driver: Vec<String>,
    /// List what other stores have in the same accounts, too
    #[arg(long)]
    all_stores: bool,
    /// Delete what is listed; asks first
    #[arg(long)]
    delete: bool,
    /// Only this one, as listed in the first column; may be repeated
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
    /// Do not ask
    #[arg(short, requires = "delete")]
    yes: bool,
    /// A line for each through a Go template; begin with "table" for columns
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "output")]
    format: Option<String>,
    /// A document for programs
    #[arg(short, long, value_enum)]
    output: Option<DocumentFormat>,
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "ID", title: "ID" },
    Column { field: "Kind", title: "KIND" },
    Column { field: "Name", title: "NAME" },
    Column { field: "DriverName", title: "DRIVER" },
    Column { field: "MachineID", title: "MACHINE ID" },
    Column { field: "Store", title: "STORE" },
    Column { field: "State", title: "STATE" },
    Column { field: "Price", title: "AN HOUR" },
    Column { field: "Created", title: "CREATED" },
    Column { field: "Why", title: "WHY" },
];

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.DriverName}}\t{{.State}}\t{{.Price}}\t{{.Created}}\t{{.Why}}";
const TABLE_OF_ALL: &str =
    "table {{.ID}}\t{{.Name}}\t{{.DriverName}}\t{{.State}}\t{{.Price}}\t{{.Created}}\t{{.Store}}\t{{.Why}}";

pub(crate) fn run(session: &Session, args: &GcArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    if args.delete && args.all_stores && args.id.is_empty() {
        return Err(CommandError::usage("what other stores have is deleted by id only")
            .hint("add --id ID for each, or leave --all-stores away"));
    }
    if args.delete && !args.yes && !world::can_ask() {
        return Err(CommandError::usage("nobody is there to ask whether what is left over shall be deleted")
            .hint("`-y` deletes without asking"));
    }
    let options =
        GcOptions { drivers: args.driver.clone(), accounts: accounts(&args.driver)?, all_stores: args.all_stores };
    operation::run(session, store, &ReportArgs::default(), |world, report| async move {
        let found = operations::find(&world, &options).await?;
        let left = selected(&found, &args.id)?;
        session.out.text(&listing(args, &left)?)?;
        let mut codes = Vec::new();
        for trouble in &found.troubles {
            tell(&report, &trouble.whose.join(", "), trouble.error.clone().into(), &mut codes);
        }
        if left.is_empty() && codes.is_empty() {
            report.note("gc", if found.asked == 0 { NOBODY } else { "nothing is left over" });
        }
        if args.delete && !left.is_empty() {
            delete(&world, &report, &found, &left, args, &mut codes).await?;
        }
        if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
    })
}

const NOBODY: &str =
    "no provider was asked: there is no machine of one here, and no credential (see `machine credentials`)";

/// The accounts that new machines would be in, with the settings of the environment and of config.yaml.
fn accounts(wanted: &[String]) -> Result<Vec<NewAccount>, CommandError> {
    let known = |name: &String| BuiltIn.find(name).is_some_and(|driver| driver.list_all().is_some());
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        return Err(match BuiltIn.find(name) {
            Some(_) => CommandError::usage(format!("driver {name} has no provider that could be asked")),
            None => CommandError::usage(format!("there is no driver \"{name}\" here"))
                .hint(format!("the drivers are {}", BuiltIn.names().join(", "))),
        });
    }
    let config = Config::load()?;
    let mut accounts = Vec::new();
    for driver in BuiltIn.all().filter(|driver| driver.list_all().is_some()) {
        let name = driver.describe().name;
        match settings::defaults(driver, &config) {
            Ok((settings, secrets)) => accounts.push(NewAccount { driver: name, settings, secrets }),
            Err(error) if wanted.contains(&name) => return Err(error),
            // Nobody asked for it.
            Err(_) => {}
        }
    }
    Ok(accounts)
}

/// All that were found, or those named.
fn selected<'f>(found: &'f Found, ids: &[String]) -> Result<Vec<&'f Left>, CommandError> {
    let unknown: Vec<_> = ids.iter().filter(|id| found.left.iter().all(|left| left.id() != **id)).cloned().collect();
    if !unknown.is_empty() {
        return Err(CommandError::new(Kind::NotFound, format!("{} is not left over", unknown.join(", ")))
            .hint("`machine gc` lists what is, and `machine gc --all-stores` what other stores have"));
    }
    Ok(found.left.iter().filter(|left| ids.is_empty() || ids.contains(&left.id())).collect())
}

async fn delete(
    world: &World,
    report: &Report,
    found: &Found,
    left: &[&Left],
    args: &GcArgs,
    codes: &mut Vec<u8>,
) -> Result<(), CommandError> {
    if !args.yes {
        let question =
            format!("About to delete what is listed above ({}), for good.\nAre you sure? (y/n): ", left.len());
        match report.suspend(|| world::confirm(&question)).flatten() {
            Some(true) => {}
            _ => return Err(CommandError::exit(exit_code::OK)),
        }
    }
    // One after the other: the order is that in which nothing becomes unknown.
    for left in left {
        let id = left.id();
        match operations::delete(world, found, left, !args.id.is_empty()).await {
            Ok(Deleted::Done) => report.note(&id, "deleted"),
            Ok(Deleted::Spared(why)) => report.warn(&id, &format!("left alone: {why}")),
            Err(error) if error.kind == machine_provision::Kind::Interrupted => return Err(error.into()),
            Err(error) => tell(report, &id, error.into(), codes),
        }
    }
    Ok(())
}

fn tell(report: &Report, whose: &str, error: CommandError, codes: &mut Vec<u8>) {
    report.error(Some(whose), &error);
    codes.push(error.exit_code());
}

fn listing(args: &GcArgs, left: &[&Left]) -> Result<String, CommandError> {
    if let Some(output) = args.output {
        return document::render(output, &left.iter().map(|left| as_document(left)).collect());
    }
    let rows: Vec<Value> = left.iter().map(|left| fields(left)).collect();
    match &args.format {
        Some(format) => format_rows(format, COLUMNS, &rows),
        // Titles above nothing would only look like trouble.
        None if rows.is_empty() => Ok(String::new()),
        None => format_rows(if args.all_stores { TABLE_OF_ALL } else { TABLE }, COLUMNS, &rows),
    }
}

/// For `--format`.
fn fields(left: &Left) -> Value {
    let thing = &left.thing;
    json!({
        "ID": left.id(),
        "Kind": thing.kind,
        "Name": if thing.name.is_empty() { "-" } else { &thing.name },
        "DriverName": left.driver,
        "MachineID": thing.machine_id,
        "Store": thing.store_id.as_deref().unwrap_or("-"),
        "State": state(left).unwrap_or("-"),
        "Price": thing.price.as_ref().map_or_else(|| "-".to_owned(), |price| price.an_hour()),
        "Created": thing.created.as_deref().unwrap_or("-"),
        "Why": match left.why {
            Why::NoRecord => "no machine here",
            Why::Gone => "gone at its provider",
            Why::Elsewhere if thing.store_id.is_some() => "of another store",
            Why::Elsewhere => "of an unknown store",
        },
    })
}

/// For `-o`; the schema is in docs/output.md.
fn as_document(left: &Left) -> Value {
    let thing = &left.thing;
    json!({
        "id": left.id(),
        "kind": thing.kind,
        "name": thing.name,
        "driver": left.driver,
        "machine_id": thing.machine_id,
        "store_id": thing.store_id,
        "state": state(left),
        "price": thing.price,
        "created": thing.created,
        "why": match left.why {
            Why::NoRecord => "no-record",
            Why::Gone => "gone",
            Why::Elsewhere => "elsewhere",
        },
    })
}

/// In the words of `ls`.
fn state(left: &Left) -> Option<&'static str> {
    Some(match left.thing.power? {
        Power::Running => "Running",
        Power::Stopped => "Stopped",
        Power::Paused => "Paused",
        Power::Saved => "Saved",
        Power::Starting => "Starting",
        Power::Stopping => "Stopping",
        Power::Error => "Error",
        Power::Gone => "Gone",
        Power::Unknown => "Unknown",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_titles_and_documentation_agree() {
        let page = include_str!("../../../../docs/output.md");
        let row = page.lines().find(|line| line.starts_with("| `gc` | ")).expect("docs/output.md has the fields of gc");
        for column in COLUMNS {
            assert!(row.contains(&format!(".{}", column.field)), "docs/output.md lacks {}", column.field);
        }
        let titles: Value = COLUMNS.iter().map(|column| (column.field.to_owned(), Value::from(column.title))).collect();
        for table in [TABLE, TABLE_OF_ALL] {
            assert!(format_rows(table, COLUMNS, std::slice::from_ref(&titles)).is_ok(), "{table}");
        }
    }
}
