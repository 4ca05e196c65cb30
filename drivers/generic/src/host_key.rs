//! What the user knows of the host's key.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::address::text_type;

text_type! {
    /// `SHA256:…` (a fingerprint), `TYPE BASE64` (a public key, without its comment) or `accept-new`.
    HostKey
}

const TYPES: &[&str] = &["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

impl FromStr for HostKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "accept-new" {
            return Ok(Self(text.to_owned()));
        }
        if let Some(sum) = text.strip_prefix("SHA256:") {
            let sum = sum.trim_end_matches('=');
            return match STANDARD_NO_PAD.decode(sum) {
                Ok(bytes) if bytes.len() == 32 => Ok(Self(format!("SHA256:{sum}"))),
                _ => Err("a fingerprint is SHA256: and 43 characters, as `ssh-keygen -lf` prints it".to_owned()),
            };
        }
        if text.starts_with("MD5:") {
            return Err("MD5 fingerprints prove nothing; `ssh-keygen -lf` prints the SHA256 one".to_owned());
        }
        let mut words = text.split_ascii_whitespace();
        if let (Some(kind), Some(blob)) = (words.next(), words.next())
            && TYPES.contains(&kind)
        {
            // The key says its own type, with its length before it (RFC 4253 §6.6).
            let says_so = STANDARD.decode(blob).is_ok_and(|bytes| {
                bytes.get(..4) == u32::try_from(kind.len()).ok().map(u32::to_be_bytes).as_ref().map(|n| &n[..])
                    && bytes[4..].starts_with(kind.as_bytes())
            });
            return if says_so {
                Ok(Self(format!("{kind} {blob}")))
            } else {
                Err(format!("that is not a whole {kind} key"))
            };
        }
        Err(format!(
            "{text:?} is neither SHA256:FINGERPRINT, nor a public key such as `ssh-ed25519 AAAA…`, nor accept-new; checking cannot be turned off"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDlpVb8rN1kmUfSSZxV5Xkt3HQhVDNYGRmGQxQ1iFZ0K";

    #[test]
    fn what_identifies_a_host() {
        let sum = "SHA256:uNiVztksCsDhcc0u9e8BrJQXVUpKZIDTMCzCvj3tD2s";
        for (text, kept) in [
            ("accept-new", "accept-new"),
            (sum, sum),
            (&format!("{sum}="), sum),
            (KEY, KEY),
            (&format!("{KEY} root@host\n"), KEY),
        ] {
            assert_eq!(text.parse::<HostKey>().map(|k| k.0), Ok(kept.to_owned()), "{text}");
        }
        for text in [
            "",
            "no",
            "off",
            "SHA256:short",
            "MD5:aa:bb",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M=",
            &KEY.replace("ssh-ed25519", "ssh-rsa"),
        ] {
            assert!(text.parse::<HostKey>().is_err(), "{text:?}");
        }
    }
}
