//! Puts the engine bundle on the host: whole, checked there, every program tried there.

use std::time::Duration;

use machine_engine::Bundle;
use machine_templates::remote::{CheckBundle, UnpackBundle, lines};
use tokio::io::BufReader;

use super::step;
use crate::bundle::{self, Target, Wanted};
use crate::script::run_script;
use crate::ssh::Input;
use crate::step::Context;
use crate::{Diagnostic, Outcome, Result};

step! {
    /// The bundle lies in `/opt/machine/engine/<digest>`.
    UploadEngine {
        /// The engine.
        target: Target,
    },
    "upload-engine", "bringing the engine to the host"
}

/// Programs that can say their version, with the word that makes them.
const CHECKS: &[(&str, &str)] = &[
    ("bin/dockerd", "--version"),
    ("bin/docker", "--version"),
    ("bin/containerd", "--version"),
    ("bin/containerd-shim-runc-v2", "-v"),
    ("bin/runc", "--version"),
    ("bin/docker-init", "--version"),
    ("iptables/bin/iptables", "--version"),
];

/// Slow lines exist: 100 MB at 1 Mbit/s takes a quarter of an hour.
const DEADLINE: Duration = Duration::from_secs(3600);

async fn run(step: &UploadEngine, cx: &mut Context<'_>) -> Result<Outcome> {
    super::check_host::unless_checked(&step.target, cx).await?;
    let Wanted::Bundle(bundle) = bundle::wanted(cx, &step.target).await? else { return Ok(Outcome::AlreadySo) };
    let remote = cx.remote().await?;
    let manifest = &bundle.manifest;
    let sums = bundle::sums_of(manifest);
    let check = CheckBundle { digest: &manifest.digest, sums: &sums };
    if run_script(&remote, &check, Input::Empty, Duration::from_secs(120)).await?.already_so() {
        return Ok(Outcome::AlreadySo);
    }
    let (mut file, size) = open(&bundle).await?;
    let has = |path: &str| manifest.component(path).is_some() || manifest.links.iter().any(|l| l.path == path);
    let checks = lines(CHECKS.iter().filter(|(path, _)| has(path)).map(|(path, word)| format!("{path} {word}")));
    let unpack = UnpackBundle { digest: &manifest.digest, sums: &sums, checks: &checks };
    let sent = cx.byte_counter(&manifest.name, size);
    run_script(&remote, &unpack, Input::Stream { from: &mut file, sent: &sent }, DEADLINE).await?;
    Ok(Outcome::Done)
}

async fn open(bundle: &Bundle) -> Result<(BufReader<tokio::fs::File>, u64)> {
    let path = bundle.archive();
    let unreadable = |e: std::io::Error| {
        Diagnostic::failure(format!("cannot read {}", path.display()))
            .caused_by(&e)
            .hint("`machine bundle verify` checks the bundles here; `machine bundle build` makes a new one")
    };
    let file = tokio::fs::File::from_std(machine_base::files::open(&path).map_err(unreadable)?);
    let size = file.metadata().await.map_err(unreadable)?.len();
    Ok((BufReader::with_capacity(1 << 20, file), size))
}
