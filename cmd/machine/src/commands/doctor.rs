//! `machine doctor`: what is missing on this computer, and the command that brings it.

use machine_driver::{Finding, Package, Verdict};
use machine_provision::operations::{self, Examined};
use serde_json::{Value, json};

use crate::config::Config;
use crate::drivers::BuiltIn;
use crate::error::CommandError;
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{external, operation, settings};

/// Check what is missing on this computer, and how to install it
#[derive(Debug, clap::Args)]
#[command(after_help = "No host and no provider is asked: `machine ls` does that. Ends with 1 where something is bad.")]
pub(crate) struct DoctorArgs {
    /// Repair our own files: ssh_config and docker contexts with old addresses, watchers that died
    #[arg(long)]
    fix: bool,
    /// List where things are kept here, how much room they take, and what removes them
    #[arg(long, conflicts_with_all = ["fix", "driver"])]
    space: bool,
    /// Look at what these drivers need [default: the driver of `create`, and those of machines]
    #[arg(short, long, value_name = "DRIVER")]
    driver: Vec<String>,
    /// A line for each finding through a Go template; begin with "table" for columns
    #[arg(short, long, value_name = "TEMPLATE", conflicts_with = "output")]
    format: Option<String>,
    /// A document for programs
    #[arg(short, long, value_enum)]
    output: Option<DocumentFormat>,
    #[command(flatten)]
    report: ReportArgs,
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Part", title: "PART" },
    Column { field: "What", title: "WHAT" },
    Column { field: "Verdict", title: "VERDICT" },
    Column { field: "Detail", title: "FOUND" },
    Column { field: "Remedy", title: "REMEDY" },
];

const TABLE: &str = "table {{.Part}}\t{{.What}}\t{{.Verdict}}\t{{.Detail}}";

/// What brings `ssh`.
fn ssh_package() -> Package {
    Package {
        debian: "openssh-client".to_owned(),
        fedora: "openssh-clients".to_owned(),
        arch: "openssh".to_owned(),
        suse: "openssh-clients".to_owned(),
        alpine: "openssh-client".to_owned(),
        brew: "openssh".to_owned(),
    }
}

pub(crate) fn run(session: &Session, args: &DoctorArgs) -> Result<(), CommandError> {
    if args.space {
        return super::doctor_space::run(session, args.format.as_deref(), args.output);
    }
    let store = session.store()?;
    let drivers = drivers(&args.driver, &store)?;
    let mut found: Vec<Examined> = programs();
    found.extend(operation::run(session, store, &args.report, |world, _| async move {
        Ok(operations::examine(&world, &drivers, args.fix).await)
    })?);
    let installer = Installer::here();
    let text = match args.output {
        Some(form) => document::render(form, &found.iter().map(|one| document(one, installer)).collect())?,
        None => {
            let rows: Vec<Value> = found.iter().map(|one| fields(one, installer)).collect();
            let list = format_rows(args.format.as_deref().unwrap_or(TABLE), COLUMNS, &rows)?;
            if args.format.is_some() { list } else { list + &what_to_do(&found, installer) }
        }
    };
    session.out.text(&text)?;
    if found.iter().any(|one| one.finding.verdict == Verdict::Bad) { Err(CommandError::exit(1)) } else { Ok(()) }
}

/// The drivers asked for, or those in use.
fn drivers(typed: &[String], store: &machine_host::Store) -> Result<Vec<String>, CommandError> {
    let mut names: Vec<String> = typed.to_vec();
    if typed.is_empty() {
        names.push(settings::choose(&[], &Config::load()?).name);
        let records = store.names()?.into_iter().filter_map(|name| store.read(&name).ok());
        names.extend(records.map(|record| record.driver.name));
    }
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if let Some(unknown) = typed.iter().find(|name| BuiltIn.find(name).is_none()) {
        return Err(CommandError::usage(format!("unknown driver \"{unknown}\""))
            .hint(format!("the drivers are {}", BuiltIn.names().join(", "))));
    }
    Ok(names)
}

/// The programs of others that this one hands over to. None is needed to make a host.
fn programs() -> Vec<Examined> {
    let one = |program: &str, without: &str| match external::find(program) {
        true => Finding::fine(program, "found"),
        false => Finding::poor(program, format!("not on the PATH: {without}")),
    };
    let docker = one("docker", "nothing here talks to machines' engines");
    let docker = if docker.verdict == Verdict::Fine { docker } else { docker.remedy("machine bundle client") };
    let ssh = one("ssh", "machine ssh uses its own client, which knows no options of ssh");
    let ssh = if ssh.verdict == Verdict::Fine { ssh } else { ssh.package(ssh_package()) };
    [docker, ssh].into_iter().map(|finding| Examined { part: "programs".to_owned(), finding }).collect()
}

/// Who installs packages on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Installer {
    Apt,
    Dnf,
    Pacman,
    Zypper,
    Apk,
    Brew,
}

impl Installer {
    fn here() -> Option<Self> {
        const ALL: [(&str, Installer); 6] = [
            ("apt-get", Installer::Apt),
            ("dnf", Installer::Dnf),
            ("pacman", Installer::Pacman),
            ("zypper", Installer::Zypper),
            ("apk", Installer::Apk),
            ("brew", Installer::Brew),
        ];
        ALL.into_iter().find(|(program, _)| external::find(program)).map(|(_, installer)| installer)
    }

    fn name(self, package: &Package) -> &str {
        match self {
            Self::Apt => &package.debian,
            Self::Dnf => &package.fedora,
            Self::Pacman => &package.arch,
            Self::Zypper => &package.suse,
            Self::Apk => &package.alpine,
            Self::Brew => &package.brew,
        }
    }

    /// The whole command, as an ordinary user types it.
    fn command(self, packages: &str) -> String {
        let sudo = if is_root() { "" } else { "sudo " };
        match self {
            Self::Apt => format!("{sudo}apt-get install -y {packages}"),
            Self::Dnf => format!("{sudo}dnf install -y {packages}"),
            Self::Pacman => format!("{sudo}pacman -S --needed {packages}"),
            Self::Zypper => format!("{sudo}zypper install -y {packages}"),
            Self::Apk => format!("{sudo}apk add {packages}"),
            Self::Brew => format!("brew install {packages}"),
        }
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    let root = rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    let root = false;
    root
}

/// What mends a finding, in one line.
fn remedy(finding: &Finding, installer: Option<Installer>) -> Option<String> {
    let install =
        finding.package.as_ref().zip(installer).map(|(package, installer)| installer.command(installer.name(package)));
    install.or_else(|| finding.remedy.clone())
}

/// What to do, below the table: packages in one command, then the rest, each line once.
fn what_to_do(found: &[Examined], installer: Option<Installer>) -> String {
    let open = || found.iter().map(|one| &one.finding).filter(|finding| finding.verdict != Verdict::Fine);
    let mut lines = Vec::new();
    if let Some(installer) = installer {
        let mut names: Vec<&str> =
            open().filter_map(|f| f.package.as_ref()).map(|package| installer.name(package)).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
        if !names.is_empty() {
            lines.push(installer.command(&names.join(" ")));
        }
    }
    for finding in open().filter(|finding| installer.is_none() || finding.package.is_none()) {
        lines.extend(finding.remedy.clone().filter(|remedy| !lines.contains(remedy)));
    }
    if lines.is_empty() {
        return String::new();
    }
    let list: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\nWhat to do:\n{list}")
}

fn verdict(finding: &Finding) -> &'static str {
    match finding.verdict {
        Verdict::Fine => "ok",
        Verdict::Poor => "could be better",
        Verdict::Bad => "bad",
    }
}

fn fields(one: &Examined, installer: Option<Installer>) -> Value {
    json!({
        "Part": one.part,
        "What": one.finding.what,
        "Verdict": verdict(&one.finding),
        "Detail": one.finding.detail,
        "Remedy": remedy(&one.finding, installer).unwrap_or_default(),
    })
}

/// For `-o`; the schema is in docs/output.md.
fn document(one: &Examined, installer: Option<Installer>) -> Value {
    json!({
        "part": one.part,
        "what": one.finding.what,
        "verdict": one.finding.verdict,
        "detail": one.finding.detail,
        "remedy": remedy(&one.finding, installer),
    })
}
