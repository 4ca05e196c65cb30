//! Certificates for the engine and its clients.

use machine_host::record::RECORD_VERSION;
use machine_host::spec::TlsKey;
use machine_host::tls::{Ca, CaPaths, CertInfo, Pair, Signer, copy_client, issue_server, trust, verify_chain};
use time::{Duration, OffsetDateTime};

use super::step;
use crate::step::Context;
use crate::{Outcome, Result, docker_context};

step! {
    /// The machine's folder holds a server pair for all of its names, the CA that signed it, and the client's files.
    IssueCertificates {
        /// Which are issued.
        renewal: Renewal,
    },
    "issue-certificates", "issuing certificates"
}

/// Which certificates are issued.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Renewal {
    /// Those that do not serve.
    #[default]
    IfNeeded,
    /// The engine's, by a CA of the machine's own.
    Now,
    /// And that CA's before it.
    CaToo,
}

/// A certificate with less than this left is renewed whenever its machine is provisioned.
const RENEW_BEFORE: Duration = Duration::days(90);

/// What a user hears who signs with a CA of their own.
const SHARED: &str =
    "the engine's certificate is signed by your own CA: a host with one of its certificates can pose as another's";

async fn run(step: &IssueCertificates, cx: &mut Context<'_>) -> Result<Outcome> {
    let ca = cx.world.store.ensure_ca_at(&cx.world.ca, cx.record.tls_key)?;
    let mut changed = copy_client(&ca, &cx.paths)?;
    let names = names(cx);
    let before = trust(&cx.paths)?.first().map(str::to_owned);
    let signer = match signer(step.renewal, cx, &ca)? {
        Some(signer) => signer,
        // Signed by somebody who is not here today, and good.
        None if before.as_deref().is_some_and(|cert| usable(cx, cert, &names)) => {
            return Ok(if changed { Outcome::Done } else { Outcome::AlreadySo });
        }
        None => own(cx, false)?,
    };
    changed |= before.as_deref().map(str::trim) != Some(signer.cert_pem.trim());
    // The context has copies: it must believe both CAs before the host has the new certificate, also where an earlier run was
    // killed in between. What keeps it from being written is said where it is written next.
    if cx.record.installed.is_some() && trust(&cx.paths)?.is_changing() {
        let _ = docker_context::write(&cx.world.user.docker_config, &cx.record, &cx.paths);
    }
    if step.renewal != Renewal::IfNeeded || !usable(cx, &signer.cert_pem, &names) {
        let pair = issue_server(&signer, &names, cx.record.tls_key)?;
        pair.write(&cx.paths.server_cert(), &cx.paths.server_key())?;
        changed = true;
    }
    Ok(match changed {
        true if is_given(cx) => Outcome::Warned(SHARED.to_owned()),
        true => Outcome::Done,
        false => Outcome::AlreadySo,
    })
}

/// Whether those that the machine has serve, and nobody changes them.
pub(super) fn serve(cx: &Context<'_>) -> bool {
    let Ok(trusted) = trust(&cx.paths) else { return false };
    let by = trusted.first().filter(|_| !trusted.is_changing());
    by.is_some_and(|ca| usable(cx, ca, &names(cx)))
}

/// Whether the user's `--tls-ca-cert` signs.
fn is_given(cx: &Context<'_>) -> bool {
    cx.world.ca.ca_cert != CaPaths::in_store(cx.world.store.paths()).ca_cert
}

/// Who signs for this machine: its own CA; the user's, where one is named; the store's, where it has done so until now and
/// no renewal is asked for. `None`: whoever signed until now is none of these.
fn signer(renewal: Renewal, cx: &mut Context<'_>, ca: &Ca) -> Result<Option<Signer>> {
    let trusted = trust(&cx.paths)?;
    if is_given(cx) {
        trusted.others(&cx.paths, &ca.cert_pem)?;
        return Ok(Some(ca.signer()));
    }
    match trusted.first() {
        Some(cert) if !trusted.is_own() && renewal == Renewal::IfNeeded => {
            Ok((cert.trim() == ca.cert_pem.trim()).then(|| ca.signer()))
        }
        _ => own(cx, renewal == Renewal::CaToo).map(Some),
    }
}

/// The machine's own CA. A release that knows of none would put the store's in its place: the record keeps it out.
fn own(cx: &mut Context<'_>, anew: bool) -> Result<Signer> {
    if cx.record.version < RECORD_VERSION {
        cx.record.version = RECORD_VERSION;
        cx.save()?;
    }
    Ok(trust(&cx.paths)?.own(&cx.paths, &cx.record.id, cx.record.tls_key, anew)?)
}

/// Every name a client may use.
fn names(cx: &Context<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(endpoint) = &cx.record.endpoint {
        names.push(endpoint.host.clone());
    }
    if let Some(ssh) = &cx.record.ssh {
        names.push(ssh.host.clone());
    }
    names.push(cx.record.name.clone());
    names.extend(cx.record.tls_sans.iter().cloned());
    names.push("::1".to_owned());
    let mut unique: Vec<String> = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    unique
}

/// Whether the certificate that is there still serves.
fn usable(cx: &Context<'_>, ca_pem: &str, names: &[String]) -> bool {
    let Ok(pair) = Pair::read(&cx.paths.server_cert(), &cx.paths.server_key()) else { return false };
    let Ok(info) = CertInfo::parse(&pair.cert_pem) else { return false };
    if verify_chain(&pair.cert_pem, ca_pem).is_err() {
        return false;
    }
    let rsa = pair.key_pem.expose().len() > 1000;
    let right_type = rsa == (cx.record.tls_key == TlsKey::Rsa);
    let fresh = info.not_after - OffsetDateTime::now_utc() > RENEW_BEFORE;
    fresh && right_type && names.iter().all(|name| info.covers(name))
}
