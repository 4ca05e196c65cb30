//! What an application's assertion must be: signed by the key of the certificate that is registered, for this place, now.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

/// What is registered with the application.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The certificate, as DER.
    pub der: Vec<u8>,
    /// Its public key, as DER.
    pub public_key: Vec<u8>,
}

/// `Err`: why not.
pub(super) fn verified(
    registered: Option<&Certificate>,
    assertion: &str,
    client: &str,
    path: &str,
) -> Result<(), &'static str> {
    let registered = registered.ok_or("no certificate is registered")?;
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return Err("it is not a JWT") };
    let decoded = |part: &str| BASE64.decode(part).map_err(|_| "it is not base64url");
    let json = |part: &str| serde_json::from_slice::<Value>(&decoded(part)?).map_err(|_| "it is not JSON");
    let (head, said) = (json(header)?, json(claims)?);
    let print = BASE64.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &registered.der));
    if head["alg"] != "RS256" || head["typ"] != "JWT" || head["x5t"] != print {
        return Err("its header names another key");
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let time = |name: &str| said[name].as_u64().unwrap_or(0);
    let lasts = time("nbf") <= now && time("exp") > now && time("exp") - time("nbf") <= 3600;
    if said["iss"] != client || said["sub"] != client || !lasts || said["jti"].as_str().is_none_or(|id| id.len() < 16) {
        return Err("its claims are not the application's");
    }
    if !said["aud"].as_str().is_some_and(|audience| audience.starts_with("http") && audience.ends_with(path)) {
        return Err("it is for another place");
    }
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &registered.public_key);
    let text = format!("{header}.{claims}");
    key.verify(text.as_bytes(), &decoded(signature)?).map_err(|_| "its signature is wrong")
}
