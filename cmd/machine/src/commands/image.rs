//! `machine image`: the disks that virtual machines of this computer stand on.

use std::sync::Arc;

use clap::Subcommand;
use machine_driver::Progress;
use machine_engine::Bundle;
use machine_guest::{Arch, Disk, Disks, Source};
use machine_provision::Event;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

use super::bundle;
use super::image_prune::{self, PruneArgs};
use crate::error::CommandError;
use crate::output::document::{Column, ListingArgs};
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{operation, output, world};

/// Build, fetch and check the disk images that local machines use
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Rebuild our own image, from Debian packages and the engine that new machines get
    Build {
        /// debian or debian:SUITE
        #[arg(default_value = "debian")]
        source: String,
        /// Processor to build it for: amd64, arm64 [default: this computer's]
        #[arg(long)]
        arch: Option<Arch>,
        /// Keep the one that is here, if there is one with this engine
        #[arg(long)]
        if_missing: bool,
        /// Leave the engine out: each machine gets it over SSH
        #[arg(long)]
        no_engine: bool,
        #[command(flatten)]
        report: Box<ReportArgs>,
    },
    /// List the images kept here
    Ls(ListingArgs),
    /// Verify the checksums of images
    Verify {
        /// Names, or beginnings of digests [default: all]
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Import a cloud image from a file or a URL
    Import {
        /// A qcow2 or raw file, or a http(s) URL
        #[arg(value_name = "FILE|URL")]
        source: String,
        /// What it must be: sha512:HEX or sha256:HEX; a URL needs one
        #[arg(long, value_name = "SUM")]
        checksum: Option<String>,
        /// Processor it is for: amd64, arm64 [default: this computer's]
        #[arg(long)]
        arch: Option<Arch>,
        #[command(flatten)]
        report: Box<ReportArgs>,
    },
    /// Remove images that no machine uses
    Rm {
        /// Names, or beginnings of digests
        #[arg(value_name = "IMAGE", required = true)]
        images: Vec<String>,
        /// Also those that machines use; such machines cannot start again
        #[arg(short, long)]
        force: bool,
    },
    Prune(PruneArgs),
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Name", title: "NAME" },
    Column { field: "Digest", title: "DIGEST" },
    Column { field: "ShortDigest", title: "DIGEST" },
    Column { field: "Arch", title: "ARCH" },
    Column { field: "Format", title: "FORMAT" },
    Column { field: "Disk", title: "DISK" },
    Column { field: "Size", title: "SIZE" },
    Column { field: "Source", title: "SOURCE" },
    Column { field: "Verified", title: "VERIFIED" },
    Column { field: "Engine", title: "ENGINE" },
    Column { field: "Made", title: "MADE" },
    Column { field: "CloudInit", title: "CLOUD-INIT" },
    Column { field: "Machines", title: "MACHINES" },
];

const TABLE: &str = "table {{.Name}}\t{{.ShortDigest}}\t{{.Arch}}\t{{.Source}}\t{{.Size}}\t{{join .Machines \",\"}}";

/// The step's id in events.
const STEP: &str = "prepare-image";

pub(crate) fn run(session: &Session, args: ImageArgs) -> Result<(), CommandError> {
    let disks = world::disks()?;
    match args.command {
        ImageCommand::Build { source: typed, arch, if_missing, no_engine, report } => {
            let source = Source::parse(Some(&typed), None, &world::working_dir()?)?;
            let Source::Build { suite } = &source else {
                return Err(CommandError::usage(format!("images are not built from {typed:?}"))
                    .hint("use debian or debian:SUITE; `machine image import` imports files and URLs"));
            };
            let arch = processor(arch)?;
            let (bundles, env) = (world::bundles()?, world::build_env(session)?);
            let known = if no_engine { None } else { bundle::default_kept(&bundles, arch, &env)? };
            let with = |bundle: Option<&Bundle>| disks.clone().with_engine(bundle.map(machine_provision::for_disk));
            // Without a bundle there is no image that holds it.
            if if_missing
                && (no_engine || known.is_some())
                && let Some(disk) = disks.kept(&source, arch)?
                && with(known.as_ref()).holds_the_engine(&disk)
            {
                return session.out.line(&disk.name);
            }
            disks.check_build(arch)?;
            let title = format!("building the image for {arch}");
            let disk = operation::make(session, &report, (&typed, STEP, title), |sink| {
                let (with, bundles, env, typed) = (&with, &bundles, &env, &typed);
                async move {
                    let bundle = match known {
                        None if !no_engine => {
                            let source = machine_engine::default_source(env);
                            let tell = |said| sink(bundle::progress_event(typed, STEP, said));
                            Some(machine_engine::prepare(&source, arch, bundles, env, &tell).await?)
                        }
                        known => known,
                    };
                    let progress = progress(sink, typed);
                    let made = with(bundle.as_ref()).build(suite, arch, if_missing, &progress, None).await;
                    made.map_err(CommandError::from)
                }
            })?;
            session.out.line(&disk.name)
        }
        ImageCommand::Import { source: typed, checksum, arch, report } => {
            let source = match Source::parse(Some(&typed), checksum.as_deref(), &world::working_dir()?)? {
                source @ (Source::Path { .. } | Source::Url { .. }) => source,
                _ => {
                    return Err(CommandError::usage(format!("{typed} is neither a file nor a URL"))
                        .hint("name a qcow2 or raw file that is there"));
                }
            };
            let arch = processor(arch)?;
            disks.check(&source, arch)?;
            let title = "importing the image".to_owned();
            let disk = operation::make(session, &report, (&typed, STEP, title), |sink| {
                let (disks, source, progress) = (&disks, &source, progress(sink, &typed));
                async move { disks.prepare(source, arch, &progress, None).await.map_err(CommandError::from) }
            })?;
            session.out.line(&disk.name)
        }
        ImageCommand::Ls(args) => {
            let images = disks.list()?;
            let used = Used::read(session)?;
            let digest = |disk: &Disk| disk.digest.clone();
            session.out.text(&args.render(
                (TABLE, COLUMNS),
                &images,
                digest,
                |disk| fields(disk, &used),
                |disk| document(disk, &used),
            )?)
        }
        ImageCommand::Verify { images } => verify(&disks, &images),
        ImageCommand::Prune(args) => image_prune::run(session, &disks, &args),
        ImageCommand::Rm { images, force } => {
            let images = images.iter().map(|name| disks.named(name)).collect::<Result<Vec<_>, _>>()?;
            let used = Used::read(session)?;
            for disk in &images {
                let machines = used.by(disk);
                if !force && !machines.is_empty() {
                    return Err(CommandError::failure(format!("machines use {}: {}", disk.name, machines.join(", ")))
                        .hint("`machine rm` them first; with --force they are kept, but cannot start again"));
                }
            }
            for disk in images {
                disks.remove(&disk)?;
                output::say(&format!("{}: removed", disk.name));
            }
            Ok(())
        }
    }
}

fn processor(typed: Option<Arch>) -> Result<Arch, CommandError> {
    typed.or_else(Arch::here).ok_or_else(|| {
        CommandError::usage("there are no images for this computer's processor")
            .hint("name one with --arch: amd64 or arm64")
    })
}

fn progress(sink: machine_provision::EventSink, what: &str) -> Progress {
    let what = what.to_owned();
    Arc::new(move |line: &str| {
        sink(Event::Progress { machine: what.clone(), step: STEP.into(), text: line.to_owned(), bytes: None });
    })
}

/// What machines remember, by name: a disk's digest in it means that the machine stands on the disk.
pub(super) struct Used(Vec<(String, String)>);

impl Used {
    pub(super) fn read(session: &Session) -> Result<Self, CommandError> {
        let store = session.store()?;
        let mut all = Vec::new();
        for name in store.names()? {
            // An unreadable record is told by `ls`; its machine's disk is not looked for.
            if let Ok(record) = store.read(&name) {
                let text = serde_json::to_string(&record)
                    .map_err(|e| CommandError::failure(format!("cannot read what {name} remembers")).caused_by(&e))?;
                all.push((name.to_string(), text));
            }
        }
        Ok(Self(all))
    }

    pub(super) fn by(&self, disk: &Disk) -> Vec<&str> {
        self.0.iter().filter(|(_, record)| record.contains(&disk.digest)).map(|(name, _)| name.as_str()).collect()
    }
}

pub(super) fn file_size(disk: &Disk) -> u64 {
    std::fs::metadata(&disk.path).map_or(0, |about| about.len())
}

fn made(disk: &Disk) -> Result<String, CommandError> {
    disk.made.format(&Rfc3339).map_err(|e| CommandError::failure("cannot write a date").caused_by(&e))
}

fn fields(disk: &Disk, used: &Used) -> Result<Value, CommandError> {
    Ok(json!({
        "Name": disk.name,
        "Digest": disk.digest,
        "ShortDigest": &disk.digest[..12],
        "Arch": disk.arch.debian(),
        "Format": disk.format.as_str(),
        "Disk": format!("{} MB", disk.virtual_size / 1_000_000),
        "Size": format!("{} MB", file_size(disk).div_ceil(1_000_000)),
        "Source": disk.source,
        "Verified": disk.verified,
        "Engine": disk.engine.as_ref().map_or("", |engine| &engine.name),
        "Made": made(disk)?,
        "CloudInit": disk.cloud_init,
        "Machines": used.by(disk),
    }))
}

fn document(disk: &Disk, used: &Used) -> Result<Value, CommandError> {
    Ok(json!({
        "name": disk.name,
        "digest": disk.digest,
        "arch": disk.arch.debian(),
        "format": disk.format.as_str(),
        "virtual_size": disk.virtual_size,
        "size": file_size(disk),
        "source": disk.source,
        "verified": disk.verified,
        "engine": disk.engine,
        "made": made(disk)?,
        "cloud_init": disk.cloud_init,
        "machines": used.by(disk),
    }))
}

fn verify(disks: &Disks, names: &[String]) -> Result<(), CommandError> {
    let images = if names.is_empty() {
        disks.list()?
    } else {
        names.iter().map(|name| disks.named(name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut codes = Vec::new();
    for disk in images {
        match disks.verify(&disk) {
            Ok(()) => output::say(&format!("{}: as it was imported ({})", disk.name, disk.verified)),
            Err(e) => {
                let error = CommandError::from(e);
                output::say(&format!("{}: {}", disk.name, error.report().trim_end()));
                codes.push(error.exit_code());
            }
        }
    }
    if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
}

/// The table that people see must render, titles and all.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::document::format_rows;

    #[test]
    fn the_table_has_titles_and_rows() {
        let mut row = json!({});
        for column in COLUMNS {
            row[column.field] = json!("x");
        }
        row["Machines"] = json!(["x"]);
        let text = format_rows(TABLE, COLUMNS, &[row]).unwrap();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines[0], ["NAME", "DIGEST", "ARCH", "SOURCE", "SIZE", "MACHINES"]);
        assert_eq!(lines[1], ["x"; 6]);
    }
}
