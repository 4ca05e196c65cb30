//! The CA, the client's certificate and the engines' certificates.
//!
//! The store's CA signs clients; whom a machine's clients trust, and who signs for its engine, is each machine's own affair:
//! [`trust()`].
//!
//! [`Store::ensure_ca`] makes the CA and the client pair once, whoever asks first, and renews the client's certificate;
//! [`issue_server`] makes an engine's. A key is always written before its certificate, and a renewed client certificate
//! keeps its key: so a kill between two writes leaves at worst a key without a certificate, which the next call
//! completes, and readers never see a pair that does not match.

mod certificate;
mod trust;

use std::fmt;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use machine_base::files::{self, Mode};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, RsaKeySize, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::lock::{self, Lock};
use crate::paths::{self, MachinePaths, StorePaths};
use crate::secrets::Secret;
use crate::spec::TlsKey;
use crate::store::Store;

pub use certificate::{CertInfo, verify_chain};
pub use trust::{Trust, trust};

/// How long a CA lasts.
const CA_LIFE: Duration = Duration::days(3650);
/// How long other certificates last, as docker-machine's did; never longer than their CA.
const LEAF_LIFE: Duration = Duration::days(1080);
/// A client certificate with less than this left is renewed on the next occasion.
const RENEW_BEFORE: Duration = Duration::days(90);
/// The client judges the engine's certificate by the clock of this computer.
const BACKDATE_SERVER: Duration = Duration::hours(1);
/// Hosts judge the CA and the client's certificate by their own clocks, and a VM whose hardware clock is taken for local
/// time is up to 14 hours behind until its time service has run.
const BACKDATE_CLIENT: Duration = Duration::hours(24);

/// Where the CA and the client pair are: in the store, or where the user's `--tls-…` flags say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaPaths {
    /// `--tls-ca-cert`.
    pub ca_cert: PathBuf,
    /// `--tls-ca-key`.
    pub ca_key: PathBuf,
    /// `--tls-client-cert`.
    pub client_cert: PathBuf,
    /// `--tls-client-key`.
    pub client_key: PathBuf,
}

impl CaPaths {
    /// The store's own.
    pub fn in_store(store: &StorePaths) -> Self {
        let certs = store.certs();
        Self {
            ca_cert: certs.join(paths::CA_CERT),
            ca_key: certs.join(paths::CA_KEY),
            client_cert: certs.join(paths::CLIENT_CERT),
            client_key: certs.join(paths::CLIENT_KEY),
        }
    }
}

/// Who signs: the certificate and key of a CA.
#[derive(Debug, Clone)]
pub struct Signer {
    /// The CA's certificate.
    pub cert_pem: String,
    key_pem: Secret,
}

/// A CA that can sign, and the client pair it signed.
#[derive(Debug, Clone)]
pub struct Ca {
    /// The CA's certificate.
    pub cert_pem: String,
    key_pem: Secret,
    /// The client's certificate and key.
    pub client: Pair,
}

impl Ca {
    /// The CA alone.
    #[must_use]
    pub fn signer(&self) -> Signer {
        Signer { cert_pem: self.cert_pem.clone(), key_pem: self.key_pem.clone() }
    }
}

/// A certificate and its key. An engine's pair is one, and the client's.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert_pem: String,
    /// The key.
    pub key_pem: Secret,
    /// When the certificate ends.
    pub expires: OffsetDateTime,
}

/// An engine's pair.
pub type ServerPair = Pair;

impl Pair {
    /// Writes both, the key first: 0600 each.
    pub fn write(&self, cert: &Path, key: &Path) -> Result<()> {
        files::write(key, self.key_pem.expose(), Mode::Private)?;
        Ok(files::write(cert, &self.cert_pem, Mode::Private)?)
    }

    /// Reads a pair and refuses one that does not match. Says nothing about who signed it or when it ends.
    pub fn read(cert: &Path, key: &Path) -> Result<Self> {
        let cert_pem =
            machine_base::files::read_text(cert, machine_base::files::SMALL).map_err(Error::io("read", cert))?;
        let key_pem = Secret::new(
            machine_base::files::read_text(key, machine_base::files::SMALL).map_err(Error::io("read", key))?,
        );
        let info = CertInfo::parse(&cert_pem).map_err(|error| named(error, cert))?;
        if !info.fits(&load_key(&key_pem).map_err(|error| named(error, key))?) {
            let why = format!("its key is not the one in {}", key.display());
            return Err(refused(cert.display(), why, None));
        }
        Ok(Self { cert_pem, key_pem, expires: info.not_after })
    }
}

impl Store {
    /// The store's CA and client pair, made if they are not there: see [`Store::ensure_ca_at`].
    pub fn ensure_ca(&self, key: TlsKey) -> Result<Ca> {
        self.ensure_ca_at(&CaPaths::in_store(self.paths()), key)
    }

    /// The CA and client pair at these paths, made if they are not there, under the store's lock; any number of processes
    /// at once get the same. `key` is the type of keys that are made here.
    ///
    /// The client's certificate is made again (for the same key) when it is about to end or another CA signed it. A CA is
    /// never written over: one without its key, expired, or with another's key is an error. Neither is a client certificate
    /// outside the store: that one is the user's.
    pub fn ensure_ca_at(&self, paths: &CaPaths, key: TlsKey) -> Result<Ca> {
        if let Some(ca) = load(paths)? {
            return Ok(ca);
        }
        // A lock of its own: nothing else is taken while it is held, so it cannot be in anybody's way for long.
        let _lock = self.locks().acquire(Lock::Store, lock::WAIT, "make certificates")?;
        let ours = *paths == CaPaths::in_store(self.paths());
        make(paths, key, self.id().unwrap_or("unsaved"), ours)
    }
}

/// Reads what is there. `None`: something is to be made or made again.
fn load(paths: &CaPaths) -> Result<Option<Ca>> {
    let Some((ca_pem, ca_key)) = load_ca(paths)? else { return Ok(None) };
    if !(paths.client_cert.exists() && paths.client_key.exists()) {
        return Ok(None);
    }
    let client = match Pair::read(&paths.client_cert, &paths.client_key) {
        Ok(client) => client,
        Err(Error::Certificate { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let soon = OffsetDateTime::now_utc() + RENEW_BEFORE;
    let info = CertInfo::parse(&client.cert_pem)?;
    let ca = CertInfo::parse(&ca_pem)?;
    let outlives = info.not_after > soon || info.not_after >= ca.not_after;
    if !outlives || verify_chain(&client.cert_pem, &ca_pem).is_err() {
        return Ok(None);
    }
    Ok(Some(Ca { cert_pem: ca_pem, key_pem: ca_key, client }))
}

/// The CA, if its certificate is there; checked.
fn load_ca(paths: &CaPaths) -> Result<Option<(String, Secret)>> {
    let Some(cert) = read_if_there(&paths.ca_cert)? else { return Ok(None) };
    let Some(key_pem) = read_if_there(&paths.ca_key)? else {
        return Err(Error::Missing {
            what: "the CA's private key",
            path: paths.ca_key.clone(),
            hint: format!(
                "bring it back from a backup; machines that exist work without it, but no certificate can be made or \
                 renewed. To start over, move {} away and run `machine regenerate-certs` for every machine",
                paths.ca_cert.display()
            ),
        });
    };
    let key_pem = Secret::new(key_pem);
    let info = CertInfo::parse(&cert).map_err(|error| named(error, &paths.ca_cert))?;
    let key = load_key(&key_pem).map_err(|error| named(error, &paths.ca_key))?;
    let start_over = || {
        Some(format!(
            "move {} and {} away and run `machine regenerate-certs` for every machine",
            paths.ca_cert.display(),
            paths.ca_key.display()
        ))
    };
    if !info.ca {
        return Err(refused(paths.ca_cert.display(), "it is not a CA's".into(), None));
    }
    if !info.fits(&key) {
        let why = format!("its key is not the one in {}", paths.ca_key.display());
        return Err(refused(paths.ca_cert.display(), why, Some("bring the right pair back from a backup".into())));
    }
    info.check_time(OffsetDateTime::now_utc()).map_err(|why| refused(paths.ca_cert.display(), why, start_over()))?;
    Ok(Some((cert, key_pem)))
}

/// Under the store's lock: makes what is missing, key before certificate.
fn make(paths: &CaPaths, key_type: TlsKey, store_id: &str, ours: bool) -> Result<Ca> {
    if let Some(ca) = load(paths)? {
        return Ok(ca);
    }
    for path in [&paths.ca_cert, &paths.ca_key, &paths.client_cert, &paths.client_key] {
        if let Some(folder) = path.parent() {
            files::create_dir_private(folder)?;
        }
    }
    let (cert_pem, key_pem) = match load_ca(paths)? {
        Some(ca) => ca,
        None => {
            // A key without its certificate: somebody was killed right here. Nobody has seen a certificate of it.
            let key = ensure_key(&paths.ca_key, key_type)?;
            let cert = ca_params(store_id).self_signed(&key).map_err(failed("the CA's certificate"))?.pem();
            files::write(&paths.ca_cert, &cert, Mode::Private)?;
            (cert, Secret::new(key.serialize_pem()))
        }
    };
    if !ours && paths.client_cert.exists() {
        let client = Pair::read(&paths.client_cert, &paths.client_key)?;
        verify_chain(&client.cert_pem, &cert_pem).map_err(|error| named(error, &paths.client_cert))?;
        // About to end, but good today: renewing it is its owner's business.
        return Ok(Ca { cert_pem, key_pem, client });
    }
    let key = ensure_key(&paths.client_key, key_type)?;
    let mut params = leaf_params("machine client", BACKDATE_CLIENT);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let client = sign(params, &key, &cert_pem, &key_pem)?;
    files::write(&paths.client_cert, &client.cert_pem, Mode::Private)?;
    Ok(Ca { cert_pem, key_pem, client })
}

/// The key in this file, made if there is none.
fn ensure_key(path: &Path, key_type: TlsKey) -> Result<rcgen::KeyPair> {
    if let Some(text) = read_if_there(path)? {
        return load_key(&Secret::new(text)).map_err(|error| named(error, path));
    }
    let key = generate(key_type)?;
    files::write(path, Secret::new(key.serialize_pem()).expose(), Mode::Private)?;
    Ok(key)
}

fn generate(key_type: TlsKey) -> Result<rcgen::KeyPair> {
    match key_type {
        TlsKey::Ecdsa => rcgen::KeyPair::generate(),
        TlsKey::Rsa => rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
    }
    .map_err(failed("a private key"))
}

/// Makes an engine's certificate with a new key. `sans` are addresses and DNS names, brackets around IPv6 allowed;
/// `localhost` and `127.0.0.1` are added, doubles dropped.
pub fn issue_server(ca: &Signer, sans: &[String], key_type: TlsKey) -> Result<ServerPair> {
    let mut names: Vec<SanType> = Vec::new();
    for san in sans.iter().map(String::as_str).chain(["localhost", "127.0.0.1"]) {
        let name = san_type(san)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let common = sans.first().map_or("localhost", String::as_str);
    let common: String = common.trim_matches(['[', ']']).chars().take(64).collect();
    let mut params = leaf_params(&common, BACKDATE_SERVER);
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if key_type == TlsKey::Rsa {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    sign(params, &generate(key_type)?, &ca.cert_pem, &ca.key_pem)
}

fn san_type(text: &str) -> Result<SanType> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let wrong = |why: &str| Error::Invalid {
        what: format!("name {text:?} for the server certificate"),
        why: why.into(),
        hint: Some("give an IP address or a DNS name, without a port".into()),
    };
    // A wildcard may be the first label. Underscores are no host names' but are in use.
    let labels = bare.strip_prefix("*.").unwrap_or(bare);
    let plain = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    if labels.len() > 253 || !labels.split('.').all(plain) {
        return Err(wrong("it is neither an IP address nor a DNS name"));
    }
    Ok(SanType::DnsName(bare.try_into().map_err(|_| wrong("it is not ASCII"))?))
}

fn ca_params(whose: &str) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    // An id keeps the CAs of two stores, or machines, apart for whoever looks into a trust store.
    let mut params = params(&format!("machine CA {whose}"));
    (params.not_before, params.not_after) = (now - BACKDATE_CLIENT, now + CA_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn leaf_params(common_name: &str, backdate: Duration) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = params(common_name);
    (params.not_before, params.not_after) = (now - backdate, now + LEAF_LIFE);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "machine");
    params.distinguished_name.push(DnType::CommonName, common_name);
    // rcgen's default is a digest of the key, which a renewal keeps.
    let mut serial = *Uuid::new_v4().as_bytes();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

fn sign(mut params: CertificateParams, key: &rcgen::KeyPair, ca_pem: &str, ca_key: &Secret) -> Result<Pair> {
    params.not_after = params.not_after.min(CertInfo::parse(ca_pem)?.not_after);
    let expires = params.not_after;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, load_key(ca_key)?).map_err(failed("a certificate"))?;
    let cert_pem = params.signed_by(key, &issuer).map_err(failed("a certificate"))?.pem();
    // A CA of the user's own may hold what rcgen cannot repeat: better found here than on the host.
    verify_chain(&cert_pem, ca_pem)?;
    Ok(Pair { cert_pem, key_pem: Secret::new(key.serialize_pem()), expires })
}

/// Puts the client pair into a machine's folder, where docker clients look for it. Whom they trust there: [`trust()`].
/// Answers whether anything had to change.
pub fn copy_client(ca: &Ca, machine: &MachinePaths) -> Result<bool> {
    let mut changed = false;
    let key = ca.client.key_pem.expose();
    for (path, text) in [(machine.client_key(), key), (machine.client_cert(), ca.client.cert_pem.as_str())] {
        if read_if_there(&path)?.as_deref() != Some(text) {
            files::write(&path, text, Mode::Private)?;
            changed = true;
        }
    }
    Ok(changed)
}

/// Reads a private key: PKCS#8, PKCS#1 or SEC1, also behind the `EC PARAMETERS` that openssl writes first.
fn load_key(pem: &Secret) -> Result<rcgen::KeyPair> {
    let text = pem.expose();
    let wrong = |why: &str| refused("a private key", why.into(), None);
    let begin = text
        .match_indices("-----BEGIN ")
        .map(|(at, _)| at)
        .find(|at| text[*at..].lines().next().is_some_and(|line| line.trim_end().ends_with("PRIVATE KEY-----")))
        .ok_or_else(|| wrong("it is not in PEM form"))?;
    let text = &text[begin..];
    if text.starts_with("-----BEGIN ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong("it is encrypted"));
    }
    // The library's error is not passed on: nothing of a key's text may get into a message.
    rcgen::KeyPair::from_pem(text).map_err(|_| wrong("it is neither an ECDSA nor an RSA key"))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match machine_base::files::read_text(path, machine_base::files::SMALL) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn refused(what: impl fmt::Display, why: String, hint: Option<String>) -> Error {
    Error::Certificate { what: what.to_string(), why, hint }
}

/// Puts the file's name into an error about its text.
fn named(error: Error, path: &Path) -> Error {
    match error {
        Error::Certificate { why, hint, .. } => refused(path.display(), why, hint),
        other => other,
    }
}

fn failed(what: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |source| Error::Crypto { what, source: Box::new(source) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests put files there as others leave them")]
mod tests;
