//! `machine bundle`: the engines kept on this computer.

use std::path::PathBuf;

use clap::Subcommand;
use machine_base::Kind;
use machine_engine::{Arch, BuildEnv, Bundle, Cache, Progress, Source};
use machine_provision::Event;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::output;
use crate::output::document::{Column, ListingArgs};
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{external, operation, world};

/// Build, check and choose the engines that machines get
#[derive(Debug, clap::Args)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    command: BundleCommand,
}

#[derive(Debug, Subcommand)]
enum BundleCommand {
    /// Rebuild a bundle: from debian[:SUITE], docker[:SUITE], tgz:PATH, tgz:URL or dir:PATH
    Build(BuildArgs),
    /// List the bundles kept here
    Ls(ListingArgs),
    /// Verify the checksums of bundles
    Verify {
        /// Names, or beginnings of digests [default: all]
        #[arg(value_name = "BUNDLE")]
        bundles: Vec<String>,
    },
    /// Import a bundle that was exported elsewhere
    Import {
        /// The .tar.gz
        file: PathBuf,
    },
    /// Write a bundle to a file
    Export {
        /// Name, or beginning of a digest
        bundle: String,
        /// The .tar.gz [default: the bundle's name, here]
        file: Option<PathBuf>,
    },
    /// Extract the docker client from a bundle, for this computer; prints its path
    Client {
        /// The file [default: ~/.local/bin/docker]
        file: Option<PathBuf>,
        /// Name, or beginning of a digest [default: the bundle that new machines get]
        #[arg(long)]
        bundle: Option<String>,
    },
    /// Remove bundles from this computer; machines keep theirs
    Rm {
        /// Names, or beginnings of digests
        #[arg(value_name = "BUNDLE", required = true)]
        bundles: Vec<String>,
    },
    /// Choose the default bundle of new machines
    Use {
        /// Name, or beginning of a digest
        #[arg(required_unless_present = "clear")]
        bundle: Option<String>,
        /// Clear the choice
        #[arg(long, conflicts_with = "bundle")]
        clear: bool,
        /// With --clear: only for this processor
        #[arg(long, requires = "clear")]
        arch: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// Where the engine comes from [default: debian:trixie where this computer knows a Debian archive, else docker]
    source: Option<String>,
    /// Processor to build it for: amd64, arm64, … [default: this computer's]
    #[arg(long)]
    arch: Option<String>,
    /// Checksum of a tgz: source
    #[arg(long, value_name = "SHA256")]
    sha256: Option<String>,
    /// Keep the one that is here, if there is one
    #[arg(long)]
    if_missing: bool,
    #[command(flatten)]
    report: Box<ReportArgs>,
}

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "Name", title: "NAME" },
    Column { field: "Digest", title: "DIGEST" },
    Column { field: "ShortDigest", title: "DIGEST" },
    Column { field: "Engine", title: "ENGINE" },
    Column { field: "Arch", title: "ARCH" },
    Column { field: "Glibc", title: "GLIBC" },
    Column { field: "Source", title: "SOURCE" },
    Column { field: "Verified", title: "VERIFIED" },
    Column { field: "Built", title: "BUILT" },
    Column { field: "Size", title: "SIZE" },
    Column { field: "Default", title: "DEFAULT" },
];

const TABLE: &str = "table {{.Name}}\t{{.ShortDigest}}\t{{.Engine}}\t{{.Arch}}\t{{.Source}}\t{{.Size}}\t{{.Default}}";

pub(crate) fn run(session: &Session, args: BundleArgs) -> Result<(), CommandError> {
    let cache = world::bundles()?;
    match args.command {
        BundleCommand::Build(args) => build(session, &cache, args),
        BundleCommand::Ls(args) => ls(session, &cache, &args),
        BundleCommand::Verify { bundles } => verify(&cache, &bundles),
        BundleCommand::Import { file } => session.out.line(&cache.import(&file)?.manifest.name),
        BundleCommand::Export { bundle, file } => {
            let bundle = cache.find(&bundle)?;
            let file = file.unwrap_or_else(|| PathBuf::from(bundle.manifest.file_name()));
            cache.export(&bundle, &file)?;
            session.out.line(&file.display().to_string())
        }
        BundleCommand::Client { file, bundle } => client(session, &cache, file, bundle.as_deref()),
        BundleCommand::Rm { bundles } => {
            let bundles = bundles.iter().map(|name| cache.find(name)).collect::<Result<Vec<_>, _>>()?;
            for bundle in bundles {
                cache.remove(&bundle)?;
                output::say(&format!("{}: removed", bundle.manifest.name));
            }
            Ok(())
        }
        BundleCommand::Use { bundle: Some(name), .. } => {
            let bundle = cache.find(&name)?;
            cache.set_default(&bundle)?;
            output::say(&format!("{}: used for new machines ({})", bundle.manifest.name, bundle.manifest.arch));
            Ok(())
        }
        BundleCommand::Use { bundle: None, arch, .. } => {
            let arches = match arch {
                Some(arch) => vec![parse_arch(&arch)?],
                None => cache.list()?.iter().map(|bundle| bundle.manifest.arch).collect(),
            };
            for arch in arches {
                cache.clear_default(arch)?;
            }
            Ok(())
        }
    }
}

fn client(session: &Session, cache: &Cache, file: Option<PathBuf>, name: Option<&str>) -> Result<(), CommandError> {
    let bundle = match name {
        Some(name) => cache.find(name)?,
        None => for_new_machines(session, cache)?,
    };
    let file = match file {
        Some(file) => file,
        None => world::home()?.join(".local/bin/docker"),
    };
    bundle.write_client(&file)?;
    let folder = file.parent().unwrap_or(&file);
    if !external::on_path(folder) {
        output::say(&format!("{} is not on the PATH", folder.display()));
    }
    session.out.line(&file.display().to_string())
}

/// The bundle chosen, or the one that the default source gave before.
fn for_new_machines(session: &Session, cache: &Cache) -> Result<Bundle, CommandError> {
    default_kept(cache, here()?, &world::build_env(session)?)?.ok_or_else(|| {
        CommandError::new(Kind::NotFound, "there is no bundle on this computer yet")
            .hint("make one: machine bundle build")
    })
}

/// The bundle that new machines get, if it is here.
pub(super) fn default_kept(cache: &Cache, arch: Arch, env: &BuildEnv) -> Result<Option<Bundle>, CommandError> {
    match cache.default(arch)? {
        Some(chosen) => Ok(Some(chosen)),
        None => Ok(machine_engine::built_before(&machine_engine::default_source(env), arch, cache, env)?),
    }
}

/// This computer's processor.
fn here() -> Result<Arch, CommandError> {
    Arch::here().ok_or_else(|| {
        CommandError::usage("no engines are built for this computer's processor")
            .hint("name one with --arch: amd64 or arm64")
    })
}

fn parse_arch(text: &str) -> Result<Arch, CommandError> {
    Ok(text.parse().map_err(machine_engine::Error::from)?)
}

fn build(session: &Session, cache: &Cache, args: BuildArgs) -> Result<(), CommandError> {
    let BuildArgs { source, arch, sha256, if_missing, report } = args;
    let mut env = world::build_env(session)?;
    env.tgz_sha256 = sha256;
    let arch = match arch {
        Some(text) => parse_arch(&text)?,
        None => here()?,
    };
    // A bundle that was chosen is what new machines get: none is missing.
    if if_missing
        && source.is_none()
        && let Some(chosen) = cache.default(arch)?
    {
        return session.out.line(&chosen.manifest.name);
    }
    let source: Source = match source {
        Some(text) => text.parse()?,
        None => machine_engine::default_source(&env),
    };
    if if_missing && let Some(kept) = machine_engine::built_before(&source, arch, cache, &env)? {
        return session.out.line(&kept.manifest.name);
    }
    let what = source.to_string();
    let title = format!("building the bundle for {arch}");
    let bundle = operation::make(session, &report, (&what, STEP, title), |sink| {
        let (what, source, env) = (&what, &source, &env);
        async move {
            let progress = |progress: Progress| sink(progress_event(what, STEP, progress));
            // Another process may be at it already: what it makes will do then, too.
            let made = match if_missing {
                true => machine_engine::prepare(source, arch, cache, env, &progress).await,
                false => machine_engine::build(source, arch, cache, env, &progress).await,
            };
            made.map_err(CommandError::from)
        }
    })?;
    session.out.line(&bundle.manifest.name)
}

/// The step's id in events.
const STEP: &str = "build-bundle";

pub(super) fn progress_event(source: &str, step: &str, progress: Progress) -> Event {
    let (machine, step) = (source.to_owned(), step.to_owned());
    match progress {
        Progress::Doing(text) => Event::Progress { machine, step, text, bytes: None },
        Progress::Fetching { what, done, total } => {
            Event::Progress { machine, step, text: what, bytes: Some((done, total.unwrap_or(done))) }
        }
        Progress::Warning(text) => Event::Note { machine, text: format!("warning: {text}") },
        other => Event::Progress { machine, step, text: format!("{other:?}"), bytes: None },
    }
}

fn ls(session: &Session, cache: &Cache, args: &ListingArgs) -> Result<(), CommandError> {
    let bundles = cache.list()?;
    session.out.text(&args.render(
        (TABLE, COLUMNS),
        &bundles,
        |bundle| bundle.manifest.digest.clone(),
        |bundle| fields(cache, bundle),
        |bundle| document(cache, bundle),
    )?)
}

fn is_default(cache: &Cache, bundle: &Bundle) -> Result<bool, CommandError> {
    Ok(cache.default(bundle.manifest.arch)?.is_some_and(|default| default.manifest.digest == bundle.manifest.digest))
}

fn fields(cache: &Cache, bundle: &Bundle) -> Result<Value, CommandError> {
    let m = &bundle.manifest;
    let size = m.archive.as_ref().map_or(0, |archive| archive.size);
    Ok(json!({
        "Name": m.name,
        "Digest": m.digest,
        "ShortDigest": m.short_digest(),
        "Engine": m.engine_version,
        "Arch": m.arch.to_string(),
        "Glibc": m.glibc_floor.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string),
        "Source": m.source.to_string(),
        "Verified": m.verified,
        "Built": m.built,
        "Size": format!("{} MB", size.div_ceil(1_000_000)),
        "Default": if is_default(cache, bundle)? { "*" } else { "" },
    }))
}

fn document(cache: &Cache, bundle: &Bundle) -> Result<Value, CommandError> {
    let mut value = serde_json::to_value(&bundle.manifest)
        .map_err(|e| CommandError::failure("cannot write the manifest").caused_by(&e))?;
    value["default"] = Value::from(is_default(cache, bundle)?);
    Ok(value)
}

fn verify(cache: &Cache, names: &[String]) -> Result<(), CommandError> {
    let bundles = if names.is_empty() {
        cache.list()?
    } else {
        names.iter().map(|name| cache.find(name)).collect::<Result<Vec<_>, _>>()?
    };
    let mut codes = Vec::new();
    for bundle in bundles {
        match cache.verify(&bundle) {
            Ok(()) => output::say(&format!("{}: as built ({})", bundle.manifest.name, bundle.manifest.verified)),
            Err(e) => {
                let error = CommandError::from(e);
                output::say(&format!("{}: {}", bundle.manifest.name, error.report().trim_end()));
                codes.push(error.exit_code());
            }
        }
    }
    if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
}

/// The table that people see must render, titles and all.
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::document::format_rows;

    #[test]
    fn the_table_has_titles_and_rows() {
        let mut row = json!({});
        for column in COLUMNS {
            row[column.field] = json!("x");
        }
        let text = format_rows(TABLE, COLUMNS, &[row]).unwrap();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines[0], ["NAME", "DIGEST", "ENGINE", "ARCH", "SOURCE", "SIZE", "DEFAULT"]);
        assert_eq!(lines[1], ["x"; 7]);
    }
}
