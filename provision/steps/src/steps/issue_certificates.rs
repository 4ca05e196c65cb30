//! Certificates for the engine and its clients.

use machine_host::record::TlsKey;
use machine_host::tls::{Ca, CertInfo, Pair, copy_client, issue_server, verify_chain};
use time::{Duration, OffsetDateTime};

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The machine's folder holds a server pair for all of its names, signed by our CA, and the client's files.
    IssueCertificates, "issue-certificates", "issuing certificates"
}

/// A certificate with less than this left is renewed whenever its machine is provisioned.
const RENEW_BEFORE: Duration = Duration::days(90);

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    let ca = cx.world.store.ensure_ca_at(&cx.world.ca, cx.record.tls_key)?;
    let mut changed = copy_client(&ca, &cx.paths)?;
    let names = names(cx);
    if cx.renew_certificates || !usable(cx, &ca, &names) {
        let pair = issue_server(&ca, &names, cx.record.tls_key)?;
        pair.write(&cx.paths.server_cert(), &cx.paths.server_key())?;
        changed = true;
    }
    Ok(if changed { Outcome::Done } else { Outcome::AlreadySo })
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
fn usable(cx: &Context<'_>, ca: &Ca, names: &[String]) -> bool {
    let Ok(pair) = Pair::read(&cx.paths.server_cert(), &cx.paths.server_key()) else { return false };
    let Ok(info) = CertInfo::parse(&pair.cert_pem) else { return false };
    if verify_chain(&pair.cert_pem, &ca.cert_pem).is_err() {
        return false;
    }
    let rsa = pair.key_pem.expose().len() > 1000;
    let right_type = rsa == (cx.record.tls_key == TlsKey::Rsa);
    let fresh = info.not_after - OffsetDateTime::now_utc() > RENEW_BEFORE;
    fresh && right_type && names.iter().all(|name| info.covers(name))
}
