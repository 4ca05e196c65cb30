//! The account's key. Listing keys is limited to ten calls a minute, so they are only ever asked for by fingerprint.

use base64::Engine as _;
use machine_cloud::{Api, Duplicates, Fault, Ids, Intent, delete_until_gone};
use machine_driver::{Diagnostic, Kind, Result};
use serde_json::{Value, json};

use crate::provider::find;
use crate::wire::{Key, One};
use crate::{Machine, Settings};

/// No key has this id: to see whether the token may look for one.
pub(crate) const NOBODY_S: &str = "0";

/// `machine-web-1-MACHINE-STORE`: keys have no tags, so by its name we know our own again.
pub(crate) fn name(api: Api<'_>) -> String {
    format!("machine-{}-{}", api.cx.host_name, Ids::suffix(api.cx))
}

/// The stage: the account knows the key that the droplet shall let in. Without one DigitalOcean would send a password by
/// mail.
pub(crate) async fn ensure(api: Api<'_>, s: &Settings, m: &mut Machine) -> Result<()> {
    if let Some(wanted) = &s.ssh_key_fingerprint {
        let key = get(api, wanted).await?.ok_or_else(|| unknown(wanted))?;
        m.key_id = key.id;
        m.key_owned = false;
        return Ok(());
    }
    let fingerprint = fingerprint(&api.cx.public_key).ok_or_else(|| {
        Diagnostic::new(Kind::Failure, "the machine's public key is not one")
            .hint("remove the machine and create it again")
    })?;
    let doing = &format!("add the SSH key of {}", api.cx.host_name);
    let body = json!({ "name": name(api), "public_key": api.cx.public_key.trim() });
    // A second one is refused as taken, and then it is ours.
    let duplicates = Duplicates::Refused { known: m.key_id.is_some() };
    let intent = Intent { what: "the SSH key", machine: m, duplicates, resumed: api.cx.resumed, waits: false };
    let post = |body: Value| async move {
        let made: One<Key> = api.post_freely((doing, "ssh_key:create"), "/v2/account/keys", &body).await?;
        Ok(made.thing)
    };
    let fingerprint = fingerprint.as_str();
    let key =
        machine_cloud::ensure(api, intent, |_| get(api, fingerprint), async { Ok(body) }, post).await?.into_inner();
    (m.key_id, m.key_owned) = (key.id, key.name == name(api));
    api.cx.save(m)
}

pub(crate) fn unknown(wanted: &str) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("your DigitalOcean account has no SSH key {wanted}"))
        .hint("`ssh-keygen -l -E md5 -f KEY.pub` prints a fingerprint; leave the option out to have a key made")
}

/// By fingerprint or id.
pub(crate) async fn get(api: Api<'_>, identifier: &str) -> Result<Option<Key>, Fault> {
    let identifier = identifier.strip_prefix("MD5:").unwrap_or(identifier);
    let path: String = identifier.chars().filter(|c| c.is_ascii_alphanumeric() || *c == ':').collect();
    find(api, ("look up an SSH key", "ssh_key:read"), &format!("/v2/account/keys/{path}")).await
}

/// Removes the key if it is ours; the droplet is gone by then.
pub(crate) async fn remove(api: Api<'_>, s: &Settings, m: &Machine) -> Result<()> {
    if s.ssh_key_fingerprint.is_some() {
        return Ok(());
    }
    let id = match (m.key_id, m.key_owned) {
        (Some(id), true) => Some(id),
        (Some(_), false) => None,
        // Posted, perhaps, and not heard of.
        (None, _) => match fingerprint(&api.cx.public_key) {
            Some(fingerprint) => {
                get(api, &fingerprint).await?.filter(|key| key.name == name(api)).and_then(|key| key.id)
            }
            None => None,
        },
    };
    match id {
        Some(id) => delete(api, id).await,
        None => Ok(()),
    }
}

/// Whoever calls this knows that it is ours.
pub(crate) async fn delete(api: Api<'_>, id: u64) -> Result<()> {
    let doing = &format!("delete the SSH key of {}", api.cx.host_name);
    let path = &format!("/v2/account/keys/{id}");
    let delete = || api.delete((doing, "ssh_key:delete"), path);
    let there = || async { Ok(get(api, &id.to_string()).await?.is_some()) };
    delete_until_gone(api, "the SSH key", delete, there).await
}

/// MD5 over the key, as DigitalOcean names keys: `aa:bb:…`.
fn fingerprint(line: &str) -> Option<String> {
    let encoded = line.split_whitespace().nth(1)?;
    let blob = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Some(md5::compute(blob).0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fingerprint_is_ssh_keygen_s() {
        // ssh-keygen -l -E md5 prints the same for the key of the conformance suite.
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f machine";
        assert_eq!(super::fingerprint(line).unwrap(), "0f:a2:0a:d7:38:3e:65:45:08:6b:63:84:1c:ff:dc:ba");
        assert_eq!(super::fingerprint("ssh-ed25519"), None);
        assert_eq!(super::fingerprint(""), None);
    }
}
