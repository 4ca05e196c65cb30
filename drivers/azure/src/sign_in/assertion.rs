//! An application's certificate: a JWT that its key has signed. Main item: [`signed`].

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use machine_cloud::{Fault, read_file, refuse};
use machine_driver::{Diagnostic, Result, SecretString};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::{SignedIn, Token, refused};

const FLAG: &str = "--azure-client-certificate-path";

/// Seconds that an assertion is good for; it is used at once.
const GOOD_FOR: u64 = 600;

impl SignedIn<'_> {
    pub(super) async fn by_certificate(&self) -> Result<Token, Fault> {
        let path = self.s.client_certificate_path.as_deref().ok_or_else(|| {
            refused(refuse("no certificate to sign in to Azure with", format!("name its PEM file with {FLAG}")))
        })?;
        let (tenant, client) = (self.tenant()?, self.client()?);
        let audience = format!("{}/{tenant}/oauth2/v2.0/token", self.s.authority_host);
        let pem = read_file(path, "the certificate", FLAG).map_err(refused)?;
        let assertion = signed(&pem, path, client, &audience).map_err(refused)?;
        self.by_assertion(&assertion).await
    }
}

/// Speaks for the client; only its public half is known there.
fn signed(pem: &[u8], path: &str, client: &str, audience: &str) -> Result<SecretString> {
    let (certificate, key) = read(pem, path)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut unique = [0; 16];
    rand::fill(&mut unique).map_err(|_| Diagnostic::failure("this computer has no random numbers"))?;
    // SHA-1 is what it is found by there; nothing rests on it.
    let print = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate);
    let header = json!({ "alg": "RS256", "typ": "JWT", "x5t": BASE64.encode(print) });
    let claims = json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": BASE64.encode(unique),
        "nbf": now,
        "exp": now + GOOD_FOR,
    });
    let text = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .map_err(|_| refuse(format!("the key in \"{path}\" does not sign"), KEYS))?;
    Ok(SecretString::from(format!("{text}.{}", BASE64.encode(signature))))
}

const KEYS: &str = "take a certificate with an RSA key of at least 2048 bits";

/// The first certificate, and the key.
fn read(pem: &[u8], path: &str) -> Result<(CertificateDer<'static>, RsaKeyPair)> {
    let text = String::from_utf8_lossy(pem);
    if !text.contains("-----BEGIN ") {
        return Err(refuse(
            format!("\"{path}\" is not a certificate in PEM"),
            format!("if it is a PFX: `openssl pkcs12 -in \"{path}\" -out client.pem -nodes`, then {FLAG} client.pem"),
        ));
    }
    if text.contains("ENCRYPTED") {
        return Err(refuse(
            format!("the key in \"{path}\" is encrypted"),
            format!(
                "`openssl rsa -in \"{path}\" -out key.pem`, and put the certificate behind it; keep it to yourself (chmod 600)"
            ),
        ));
    }
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| {
        refuse(format!("there is no certificate in \"{path}\""), "put the certificate and its key into one PEM file")
    })?;
    let none = || refuse(format!("there is no RSA key in \"{path}\""), KEYS);
    let key = match PrivateKeyDer::from_pem_slice(pem).map_err(|_| none())? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(none()),
    };
    Ok((certificate.into_owned(), key.map_err(|_| none())?))
}
