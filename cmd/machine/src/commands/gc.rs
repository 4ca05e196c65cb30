//! `machine gc`: resources at providers that no machine owns, and machines that no provider knows.

use machine_base::Kind;
use machine_driver::{Ability, Power};
use machine_provision::World;
use machine_provision::operations::{self, Deleted, Found, GcOptions, NewAccount, Orphan, OrphanReason};
use serde_json::{Value, json};

use crate::config::Config;
use crate::drivers::BuiltIn;
use crate::error::{CommandError, exit_code};
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::{Report, ReportArgs};
use crate::session::Session;
use crate::settings;
use crate::{operation, world};

/// List what is left over: resources at providers without a machine here, and machines that no longer exist there
///
/// The providers asked are those of the machines here, and those whose credentials are available. Nothing is deleted without
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
            .hint("add --id ID for each, or leave out --all-stores"));
    }
    if args.delete && !args.yes && !world::can_ask() {
        return Err(CommandError::usage("cannot ask for confirmation to delete what is left over: not a terminal")
            .hint("`-y` deletes without asking"));
    }
    let options =
        GcOptions { drivers: args.driver.clone(), accounts: accounts(&args.driver)?, all_stores: args.all_stores };
    operation::run(session, store, &ReportArgs::default(), |world, report| async move {
        let found = operations::find(&world, &options).await?;
        let orphans = selected(&found, &args.id)?;
        session.out.text(&listing(args, &orphans)?)?;
        let mut codes = Vec::new();
        for failure in &found.failures {
            tell(&report, &failure.whose.join(", "), failure.error.clone().into(), &mut codes);
        }
        if orphans.is_empty() && codes.is_empty() {
            report.note("gc", if found.asked == 0 { NOBODY } else { "nothing is left over" });
        }
        if args.delete && !orphans.is_empty() {
            delete(&world, &report, &found, &orphans, args, &mut codes).await?;
        }
        if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
    })
}

const NOBODY: &str =
    "no provider was asked: no machine here has one, and there is no credential (see `machine credentials`)";

/// The accounts that new machines would be in, with the settings of the environment and of config.yaml.
fn accounts(wanted: &[String]) -> Result<Vec<NewAccount>, CommandError> {
    let known = |name: &String| BuiltIn.find(name).is_some_and(|driver| driver.can(Ability::List));
    if let Some(name) = wanted.iter().find(|name| !known(name)) {
        return Err(match BuiltIn.find(name) {
            Some(_) => CommandError::usage(format!("driver {name} has no provider that could be asked")),
            None => CommandError::usage(format!("unknown driver \"{name}\""))
                .hint(format!("the drivers are {}", BuiltIn.names().join(", "))),
        });
    }
    let config = Config::load()?;
    let mut accounts = Vec::new();
    for driver in BuiltIn.all().filter(|driver| driver.can(Ability::List)) {
        let name = driver.name().to_owned();
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
fn selected<'f>(found: &'f Found, ids: &[String]) -> Result<Vec<&'f Orphan>, CommandError> {
    let unknown: Vec<_> =
        ids.iter().filter(|id| found.orphans.iter().all(|orphan| orphan.id() != **id)).cloned().collect();
    if !unknown.is_empty() {
        return Err(CommandError::new(Kind::NotFound, format!("{} is not left over", unknown.join(", ")))
            .hint("`machine gc` lists what is, and `machine gc --all-stores` what other stores have"));
    }
    Ok(found.orphans.iter().filter(|orphan| ids.is_empty() || ids.contains(&orphan.id())).collect())
}

async fn delete(
    world: &World,
    report: &Report,
    found: &Found,
    orphans: &[&Orphan],
    args: &GcArgs,
    codes: &mut Vec<u8>,
) -> Result<(), CommandError> {
    if !args.yes {
        let question =
            format!("About to delete what is listed above ({}), for good.\nAre you sure? (y/n): ", orphans.len());
        match report.suspend(|| world::confirm(&question)).flatten() {
            Some(true) => {}
            _ => return Err(CommandError::exit(exit_code::OK)),
        }
    }
    // One after the other: the order is that in which nothing becomes unknown.
    for orphan in orphans {
        let id = orphan.id();
        match operations::delete(world, found, orphan, !args.id.is_empty()).await {
            Ok(Deleted::Done) => report.note(&id, "deleted"),
            Ok(Deleted::Skipped(why)) => report.warn(&id, &format!("left alone: {why}")),
            Err(error) if error.kind == Kind::Interrupted => return Err(error.into()),
            Err(error) => tell(report, &id, error.into(), codes),
        }
    }
    Ok(())
}

fn tell(report: &Report, whose: &str, error: CommandError, codes: &mut Vec<u8>) {
    report.error(Some(whose), &error);
    codes.push(error.exit_code());
}

fn listing(args: &GcArgs, orphans: &[&Orphan]) -> Result<String, CommandError> {
    if let Some(output) = args.output {
        return document::render(output, &orphans.iter().map(|orphan| as_document(orphan)).collect());
    }
    let rows: Vec<Value> = orphans.iter().map(|orphan| fields(orphan)).collect();
    match &args.format {
        Some(format) => format_rows(format, COLUMNS, &rows),
        // Titles above nothing would only look like trouble.
        None if rows.is_empty() => Ok(String::new()),
        None => format_rows(if args.all_stores { TABLE_OF_ALL } else { TABLE }, COLUMNS, &rows),
    }
}

/// For `--format`.
fn fields(orphan: &Orphan) -> Value {
    let resource = &orphan.resource;
    json!({
        "ID": orphan.id(),
        "Kind": resource.kind,
        "Name": if resource.name.is_empty() { "-" } else { &resource.name },
        "DriverName": orphan.driver,
        "MachineID": resource.machine_id,
        "Store": resource.store_id.as_deref().unwrap_or("-"),
        "State": state(orphan).unwrap_or("-"),
        "Price": resource.price.as_ref().map_or_else(|| "-".to_owned(), |price| price.an_hour()),
        "Created": resource.created.as_deref().unwrap_or("-"),
        "Why": match orphan.why {
            OrphanReason::NoRecord => "no machine here",
            OrphanReason::Second => "second one of a machine here",
            OrphanReason::Gone => "gone at its provider",
            OrphanReason::OtherStore if resource.store_id.is_some() => "of another store",
            OrphanReason::OtherStore => "of an unknown store",
        },
    })
}

/// For `-o`; the schema is in docs/output.md.
fn as_document(orphan: &Orphan) -> Value {
    let resource = &orphan.resource;
    json!({
        "id": orphan.id(),
        "kind": resource.kind,
        "name": resource.name,
        "driver": orphan.driver,
        "machine_id": resource.machine_id,
        "store_id": resource.store_id,
        "state": state(orphan),
        "price": resource.price,
        "created": resource.created,
        "why": match orphan.why {
            OrphanReason::NoRecord => "no-record",
            OrphanReason::Second => "second",
            OrphanReason::Gone => "gone",
            OrphanReason::OtherStore => "elsewhere",
        },
    })
}

/// In the words of `ls`.
fn state(orphan: &Orphan) -> Option<&'static str> {
    Some(match orphan.resource.power? {
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
