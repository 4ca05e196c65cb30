//! What a new machine is told at its first boot, as user-data for cloud-init. Main item: [`Context::user_data`].
//!
//! It goes out as JSON behind `#cloud-config` (JSON is YAML), so that nothing has to be quoted by hand. The user's own
//! user-data is a second part of a MIME archive, which cloud-init reads part by part.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::{Context, Diagnostic, Kind, Result};

impl Context {
    /// User-data that lets `ssh_user` in with this machine's key and, where there is a host key to inject, makes it the
    /// only one. `extra` is the user's own user-data; `limit` is the provider's, in bytes.
    ///
    /// # Errors
    /// Kind [`Kind::Usage`]: the whole is larger than `limit`, or `extra` cannot stand in a MIME archive.
    pub fn user_data(&self, ssh_user: &str, extra: Option<&str>, limit: usize) -> Result<String> {
        let mut config = json!({ "hostname": self.host_name, "preserve_hostname": false });
        if let Some(pair) = &self.host_key {
            config["ssh_deletekeys"] = Value::Bool(true);
            // No other kind is made: the one key is all that we pinned.
            config["ssh_genkeytypes"] = json!([]);
            config["ssh_keys"] = json!({ "ed25519_private": pair.private, "ed25519_public": pair.public.trim() });
        }
        if ssh_user == "root" {
            config["disable_root"] = Value::Bool(false);
            config["users"] = json!([{ "name": "root", "ssh_authorized_keys": [self.public_key.trim()] }]);
        } else {
            config["users"] = json!([{
                "name": ssh_user,
                "lock_passwd": true,
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": [self.public_key.trim()],
            }]);
        }
        let ours = format!("#cloud-config\n{config}\n");
        let whole = match extra.filter(|text| !text.trim().is_empty()) {
            None => ours,
            Some(extra) => archive(&ours, extra, &self.machine_id)?,
        };
        if whole.len() > limit {
            return Err(Diagnostic::new(
                Kind::Usage,
                format!("the user-data is too long: {} bytes of at most {limit}", whole.len()),
            )
            .hint("have your user-data fetch its larger parts"));
        }
        Ok(whole)
    }
}

/// Both as parts of one MIME archive. Their lists and maps are merged, and ours, which comes first, wins.
fn archive(ours: &str, extra: &str, id: &str) -> Result<String> {
    const MERGE: &str = "list(append)+dict(recurse_array,no_replace)+str()";
    let boundary = format!("=={id}==");
    if extra.contains(&boundary) {
        return Err(Diagnostic::new(Kind::Usage, "the user-data contains this machine's id"));
    }
    let kind = kind(extra).ok_or_else(|| {
        Diagnostic::new(Kind::Usage, "cloud-init would not understand the user-data")
            .hint("start it with `#cloud-config`, `#!`, `#include`, `#cloud-boothook` or `## template: jinja`")
    })?;
    let part = |kind: &str, encoding: &str, body: &str| {
        format!(
            "--{boundary}\nContent-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\n{encoding}Merge-Type: {MERGE}\n\n{body}\n"
        )
    };
    let (encoding, body) = match extra.chars().all(is_stored_everywhere) {
        true => ("", extra.to_owned()),
        false => ("Content-Transfer-Encoding: base64\n", in_lines(&BASE64.encode(extra))),
    };
    Ok(format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n{}{}--{boundary}--\n",
        // Ours first: with `no_replace` what is there first stays.
        part("text/cloud-config", "", ours),
        part(kind, encoding, &body),
    ))
}

/// Providers store user-data in databases, some of which take no character beyond 16 bits, and none that is not text.
fn is_stored_everywhere(c: char) -> bool {
    c <= '\u{FFFF}' && (!c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// Of the length that mail has.
fn in_lines(encoded: &str) -> String {
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / 76);
    for (at, c) in encoded.chars().enumerate() {
        if at > 0 && at % 76 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    lines
}

/// As cloud-init tells them apart: by the first line.
fn kind(text: &str) -> Option<&'static str> {
    const KINDS: &[(&str, &str)] = &[
        ("#!", "text/x-shellscript"),
        ("#cloud-config-archive", "text/cloud-config-archive"),
        ("#cloud-config", "text/cloud-config"),
        ("#cloud-boothook", "text/cloud-boothook"),
        ("#include-once", "text/x-include-once-url"),
        ("#include", "text/x-include-url"),
        ("## template: jinja", "text/jinja2"),
        ("#part-handler", "text/part-handler"),
    ];
    KINDS.iter().find(|(start, _)| text.trim_start().starts_with(start)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostKeyPair;

    fn context() -> Context {
        Context::new("web-1", "0c0a", "").keys(
            "ssh-ed25519 AAAA us\n",
            Some(HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 BBBB\n".to_owned() }),
        )
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    #[test]
    fn the_host_key_and_the_user_are_in_it() {
        let seed = parsed(&context().user_data("root", None, 65536).unwrap());
        assert_eq!(seed["ssh_keys"], json!({"ed25519_private": "PRIVATE\n", "ed25519_public": "ssh-ed25519 BBBB"}));
        assert_eq!(seed["users"][0], json!({"name": "root", "ssh_authorized_keys": ["ssh-ed25519 AAAA us"]}));
        assert_eq!((seed["disable_root"].clone(), seed["hostname"].clone()), (json!(false), json!("web-1")));
        let seed = parsed(&context().user_data("debian", None, 65536).unwrap());
        assert_eq!(seed["users"][0]["sudo"], "ALL=(ALL) NOPASSWD:ALL");
        assert_eq!(seed.get("disable_root"), None);
    }

    #[test]
    fn the_user_s_own_is_a_second_part() {
        let seed = context().user_data("root", Some("#!/bin/sh\necho hello\n"), 65536).unwrap();
        let parts: Vec<_> = seed.split("--==0c0a==").collect();
        assert_eq!(parts.len(), 4, "{seed}");
        assert!(parts[1].contains("text/cloud-config") && parts[1].contains("PRIVATE"), "{seed}");
        assert!(
            parts[2].contains("text/x-shellscript") && parts[2].ends_with("\n\n#!/bin/sh\necho hello\n\n"),
            "{seed}"
        );
        assert_eq!(context().user_data("root", Some(" \n"), 65536), context().user_data("root", None, 65536));
    }

    #[test]
    fn d7_what_no_provider_would_store_is_encoded() {
        let script = format!("#!/bin/sh\necho '\u{1f600} {}'\n", "x".repeat(100));
        for script in [script, "#!/bin/sh\nprintf '\u{1b}[1m'\n".to_owned()] {
            let seed = context().user_data("root", Some(&script), 65536).unwrap();
            assert!(seed.chars().all(is_stored_everywhere), "{seed}");
            let part = seed.split("--==0c0a==").nth(2).unwrap();
            let (head, body) = part.split_once("\n\n").unwrap();
            assert!(
                head.contains("Content-Transfer-Encoding: base64\n") && head.contains("text/x-shellscript"),
                "{head}"
            );
            assert!(body.lines().all(|line| line.len() <= 76), "{body}");
            let decoded = BASE64.decode(body.split_whitespace().collect::<String>()).unwrap();
            assert_eq!(String::from_utf8(decoded).unwrap(), script);
        }
        // What every database takes stays readable.
        let seed = context().user_data("root", Some("#!/bin/sh\necho 'grüße'\n"), 65536).unwrap();
        assert!(seed.contains("echo 'grüße'") && !seed.contains("base64"), "{seed}");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let refused = |extra: &str, limit| context().user_data("root", Some(extra), limit).unwrap_err();
        assert_eq!(refused("hello", 65536).message, "cloud-init would not understand the user-data");
        assert!(refused("#!/bin/sh", 500).message.starts_with("the user-data is too long: "));
        assert_eq!(refused("#!/bin/sh", 500).kind, Kind::Usage);
    }
}
