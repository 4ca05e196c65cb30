//! What a new machine is told at its first boot, as user-data for cloud-init. Main item: [`Context::user_data`].
//!
//! It goes out as JSON behind `#cloud-config` (JSON is YAML), so that nothing has to be quoted by hand. The user's own
//! user-data is a second part of a MIME archive, which cloud-init reads part by part.

use serde_json::{Value, json};

use crate::{Context, DriverError, ErrorKind, Result};

impl Context {
    /// User-data that lets `ssh_user` in with this machine's key and, where there is a host key to inject, makes it the
    /// only one. `extra` is the user's own user-data; `limit` is the provider's, in bytes.
    ///
    /// # Errors
    /// Kind [`ErrorKind::Settings`]: the whole is larger than `limit`, or `extra` cannot stand in a MIME archive.
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
            return Err(DriverError::new(
                ErrorKind::Settings,
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
        return Err(DriverError::new(ErrorKind::Settings, "the user-data contains this machine's id"));
    }
    let kind = kind(extra).ok_or_else(|| {
        DriverError::new(ErrorKind::Settings, "cloud-init would not understand the user-data")
            .hint("start it with `#cloud-config`, `#!`, `#include`, `#cloud-boothook` or `## template: jinja`")
    })?;
    let part = |kind: &str, body: &str| {
        format!(
            "--{boundary}\nContent-Type: {kind}; charset=\"utf-8\"\nMIME-Version: 1.0\nMerge-Type: {MERGE}\n\n{body}\n"
        )
    };
    Ok(format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n{}{}--{boundary}--\n",
        // Ours first: with `no_replace` what is there first stays.
        part("text/cloud-config", ours),
        part(kind, extra),
    ))
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
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::HostKeyPair;

    fn context() -> Context {
        Context {
            host_name: "web-1".to_owned(),
            machine_id: "0c0a".to_owned(),
            store_id: String::new(),
            public_key: "ssh-ed25519 AAAA us\n".to_owned(),
            host_key: Some(HostKeyPair { private: "PRIVATE\n".to_owned(), public: "ssh-ed25519 BBBB\n".to_owned() }),
            dir: PathBuf::new(),
            runtime_dir: PathBuf::new(),
            cache_dir: PathBuf::new(),
            working_dir: PathBuf::new(),
            deadline: None,
            resumed: false,
            secrets: BTreeMap::new(),
            progress: Arc::new(|_| {}),
            save: Arc::new(|_| Ok(())),
        }
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
    fn what_cannot_work_is_refused() {
        let refused = |extra: &str, limit| context().user_data("root", Some(extra), limit).unwrap_err();
        assert_eq!(refused("hello", 65536).message, "cloud-init would not understand the user-data");
        assert!(refused("#!/bin/sh", 500).message.starts_with("the user-data is too long: "));
        assert_eq!(refused("#!/bin/sh", 500).kind, ErrorKind::Settings);
    }
}
