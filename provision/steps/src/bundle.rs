//! Which engine a machine gets, and having it ready here.

use std::path::PathBuf;

use machine_driver::EngineArchive;
use machine_engine::{Arch, Bundle, Manifest, Progress, Source, default_source, layout, prepare};
use machine_host::spec::Foreign;
use machine_templates::remote::sums;

use crate::step::Context;
use crate::{Diagnostic, Event, Kind, Result};

/// Which engine a list is to bring to the host.
#[derive(Debug, Clone, Default)]
pub enum Target {
    /// What it runs already, else what `create` was asked for, else the default.
    #[default]
    Recorded,
    /// Another one, for `upgrade`.
    Bundle {
        /// Ready here.
        bundle: Box<Bundle>,
        /// The words that asked for it, kept once the engine runs.
        asked: Option<String>,
    },
}

/// The engine a machine is to run.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// One of ours, with its archive here.
    Bundle(Box<Bundle>),
    /// One that the host has and this computer's cache no longer has.
    OnHost {
        /// Names its folder on the host.
        digest: String,
        /// For people.
        name: String,
    },
    /// The host's own, `--adopt`.
    Adopted,
}

impl Wanted {
    /// Names its folder on the host.
    pub(crate) fn digest(&self) -> Option<&str> {
        match self {
            Self::Bundle(bundle) => Some(&bundle.manifest.digest),
            Self::OnHost { digest, .. } => Some(digest),
            Self::Adopted => None,
        }
    }

    /// For people.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Bundle(bundle) => Some(&bundle.manifest.name),
            Self::OnHost { name, .. } => Some(name),
            Self::Adopted => None,
        }
    }
}

/// What was asked for, as far as it can be understood without a host: refused early, so that nothing exists yet.
pub(crate) fn check_source(cx: &Context<'_>) -> Result<()> {
    let Some(asked) = &cx.record.engine.bundle else { return Ok(()) };
    if cx.world.bundles.find(asked).is_ok() {
        return Ok(());
    }
    match asked.parse::<Source>() {
        Ok(Source::Dir(path)) if !absolute(cx, &path).is_dir() => {
            Err(Diagnostic::new(Kind::Usage, format!("there is no folder {}", path.display()))
                .hint("dir: needs a folder with dockerd and its programs"))
        }
        Ok(_) => Ok(()),
        Err(e) => Err(Diagnostic::from(e).of(Kind::Usage)),
    }
}

fn absolute(cx: &Context<'_>, path: &std::path::Path) -> PathBuf {
    cx.world.working_dir.join(path)
}

/// A bundle as it comes into a guest disk: where and as `upload-engine` would leave it.
#[must_use]
pub fn for_disk(bundle: &Bundle) -> EngineArchive {
    let manifest = &bundle.manifest;
    EngineArchive {
        digest: manifest.digest.clone(),
        name: manifest.name.clone(),
        file: bundle.archive(),
        folder: format!("{}/engine/{}", layout::HOME, manifest.digest),
        sums: sums_of(manifest),
    }
}

/// What a host holds its files against.
pub(crate) fn sums_of(manifest: &Manifest) -> String {
    sums(manifest.components.iter().map(|c| (c.path.as_str(), c.sha256.as_str())))
}

/// The engine this machine is to run; built if it is not here yet. What the record says is looked up once a run.
pub(crate) async fn wanted(cx: &mut Context<'_>, target: &Target) -> Result<Wanted> {
    if cx.record.engine.foreign == Some(Foreign::Adopt) {
        return Ok(Wanted::Adopted);
    }
    if let Target::Bundle { bundle, .. } = target {
        return Ok(Wanted::Bundle(bundle.clone()));
    }
    if let Some(known) = &cx.wanted {
        return Ok(known.clone());
    }
    let wanted = choose(cx).await?;
    cx.wanted = Some(wanted.clone());
    Ok(wanted)
}

async fn choose(cx: &mut Context<'_>) -> Result<Wanted> {
    if let Some(installed) = &cx.record.installed
        && let Some(digest) = &installed.bundle
    {
        if let Some(bundle) = cx.world.bundles.get(digest)? {
            return Ok(Wanted::Bundle(Box::new(bundle)));
        }
        let (digest, name) = (digest.clone(), installed.bundle_name.clone().unwrap_or_else(|| digest.clone()));
        if cx.facts().await?.engines.contains(&digest) {
            return Ok(Wanted::OnHost { digest, name });
        }
    }
    let arch = arch(cx).await?;
    let asked = cx.record.engine.bundle.clone();
    Ok(Wanted::Bundle(Box::new(find_or_build(cx, asked.as_deref(), arch).await?)))
}

/// The host's architecture: what it said, or, where the machine is still to be made, what its driver says of it, or what
/// this computer has.
async fn arch(cx: &mut Context<'_>) -> Result<Arch> {
    if let Some(facts) = &cx.record.facts
        && let Ok(arch) = facts.arch.parse()
    {
        return Ok(arch);
    }
    if cx.record.ssh.is_some() {
        return cx.facts().await?.arch();
    }
    if let Some(made) = cx.driver()?.arch(&cx.record.driver.settings).await? {
        return Ok(made);
    }
    Arch::here().ok_or_else(|| Diagnostic::failure("no engine is known for this computer's processor"))
}

/// What was asked for, before anything is built.
pub(crate) enum Asked {
    /// It is kept here.
    Kept(Box<Bundle>),
    /// It is to be made from this, or was made before.
    From(Source),
}

/// A bundle by name, digest or source; `None`: the one chosen by `machine bundle use`, else the default source. Makes
/// nothing.
pub(crate) fn look_up(cx: &Context<'_>, asked: Option<&str>, arch: Arch) -> Result<Asked> {
    let Some(asked) = asked else {
        let chosen = cx.world.bundles.default(arch)?;
        return Ok(match chosen {
            Some(bundle) => Asked::Kept(Box::new(bundle)),
            None => Asked::From(default_source(&cx.world.build)),
        });
    };
    match cx.world.bundles.find(asked) {
        Ok(bundle) if bundle.manifest.arch == arch => Ok(Asked::Kept(Box::new(bundle))),
        Ok(bundle) => Err(Diagnostic::new(
            Kind::Usage,
            format!("bundle {} is for {}, the host is {arch}", bundle.manifest.name, bundle.manifest.arch),
        )
        .hint("name a source instead, such as debian:trixie, or `machine bundle build` one for the host")),
        Err(_) => Ok(Asked::From(match asked.parse::<Source>()? {
            Source::Dir(path) => Source::Dir(absolute(cx, &path)),
            other => other,
        })),
    }
}

/// See [`look_up`]; builds it if it is not here yet.
pub(crate) async fn find_or_build(cx: &Context<'_>, asked: Option<&str>, arch: Arch) -> Result<Bundle> {
    let source = match look_up(cx, asked, arch)? {
        Asked::Kept(bundle) => return Ok(*bundle),
        Asked::From(source) => source,
    };
    let (events, machine, step) = (cx.world.events.clone(), cx.record.name.clone(), cx.step.to_owned());
    let report = move |progress: Progress| {
        let (text, bytes) = match progress {
            Progress::Fetching { what, done, total } => (what, total.map(|t| (done, t))),
            Progress::Doing(text) => (text, None),
            Progress::Warning(text) => {
                return events(Event::Note { machine: machine.clone(), text: format!("warning: {text}") });
            }
            _ => return,
        };
        events(Event::Progress { machine: machine.clone(), step: step.clone(), text, bytes });
    };
    Ok(prepare(&source, arch, &cx.world.bundles, &cx.world.build, &report).await?)
}
