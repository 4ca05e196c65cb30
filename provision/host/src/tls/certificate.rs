//! Reading and checking certificates: [`CertInfo`], [`verify_chain`].

use std::net::IpAddr;
use std::path::Path;

use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::{named, refused};
use crate::error::{Error, Result};

/// What can be read off a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertInfo {
    /// e.g. `O=machine, CN=10.0.0.1`.
    pub subject: String,
    /// Its CA's subject.
    pub issuer: String,
    /// IP addresses and DNS names it is for.
    pub sans: Vec<String>,
    /// Not valid earlier.
    pub not_before: OffsetDateTime,
    /// Not valid later.
    pub not_after: OffsetDateTime,
    /// It may sign others.
    pub ca: bool,
    public_key: Vec<u8>,
}

impl CertInfo {
    /// Reads the first certificate of a PEM text.
    pub fn parse(pem: &str) -> Result<Self> {
        with_certificate(pem, |certificate| {
            let sans = certificate.subject_alternative_name().ok().flatten();
            let sans = sans.map(|sans| sans.value.general_names.iter().filter_map(san_text).collect());
            let ca = certificate.extensions().iter().any(|extension| {
                matches!(extension.parsed_extension(), ParsedExtension::BasicConstraints(constraints) if constraints.ca)
            });
            Ok(Self {
                subject: certificate.subject().to_string(),
                issuer: certificate.issuer().to_string(),
                sans: sans.unwrap_or_default(),
                not_before: certificate.validity().not_before.to_datetime(),
                not_after: certificate.validity().not_after.to_datetime(),
                ca,
                public_key: certificate.public_key().subject_public_key.data.to_vec(),
            })
        })
    }

    /// Reads a certificate file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = machine_base::files::read_text(path, machine_base::files::SMALL).map_err(Error::io("read", path))?;
        Self::parse(&text).map_err(|error| named(error, path))
    }

    /// Says whether this name or address is in the certificate, as a client would find it.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']);
        match host.parse::<IpAddr>() {
            Ok(address) => self.sans.iter().any(|san| san.parse() == Ok(address)),
            Err(_) => self.sans.iter().any(|san| {
                san.eq_ignore_ascii_case(host)
                    || san.strip_prefix("*.").is_some_and(|domain| {
                        host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain))
                    })
            }),
        }
    }

    pub(super) fn fits(&self, key: &rcgen::KeyPair) -> bool {
        self.public_key == key.public_key_raw()
    }

    pub(super) fn check_time(&self, now: OffsetDateTime) -> Result<(), String> {
        if now > self.not_after {
            return Err(format!("it expired on {}", crate::clock::format(self.not_after)));
        }
        if now < self.not_before {
            return Err(format!("it is not valid before {}", crate::clock::format(self.not_before)));
        }
        Ok(())
    }
}

/// Checks that this CA signed the certificate and that both are valid now.
pub fn verify_chain(cert_pem: &str, ca_pem: &str) -> Result<()> {
    let now = OffsetDateTime::now_utc();
    let (info, ca_info) = (CertInfo::parse(cert_pem)?, CertInfo::parse(ca_pem)?);
    let wrong = |why: String| Err(refused(format!("the certificate of {}", info.subject), why, None));
    if !ca_info.ca {
        return wrong(format!("{} is not a CA", ca_info.subject));
    }
    let signed = with_certificate(ca_pem, |ca| {
        with_certificate(cert_pem, |certificate| {
            let issuer = certificate.issuer().as_raw() == ca.subject().as_raw();
            Ok(issuer && certificate.verify_signature(Some(ca.public_key())).is_ok())
        })
    })?;
    if !signed {
        return wrong(format!("it was not signed by {}", ca_info.subject));
    }
    if let Err(why) = ca_info.check_time(now) {
        return wrong(format!("its CA: {why}"));
    }
    info.check_time(now).or_else(wrong)
}

/// The certificates of a file that may hold several, each with its last line break.
pub(super) fn pem_blocks(text: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let blocks = text.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks.map(|block| format!("{}\n", block.trim_start())).collect()
}

fn with_certificate<T>(pem: &str, read: impl FnOnce(&X509Certificate<'_>) -> Result<T>) -> Result<T> {
    let wrong = |why: String| refused("a certificate", why, None);
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    if block.label != "CERTIFICATE" {
        return Err(wrong(format!("it is a {}", block.label)));
    }
    let (_, certificate) = X509Certificate::from_der(&block.contents).map_err(|error| wrong(error.to_string()))?;
    read(&certificate)
}

fn san_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}
