//! Whatever lies in a file of the store: an answer or an error, never a panic.

use machine_host::ssh_key::{self, KnownHosts, Pin};
use machine_host::tls::{CertInfo, Pair};
use machine_host::{HostName, Journal, Record, Store, clock};
use proptest::prelude::*;

/// Lines of ours with a few bytes changed reach deeper than noise does.
fn nearly(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edits = proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6);
    (edits, any::<proptest::sample::Index>(), any::<bool>()).prop_map(move |(edits, cut, whole)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(text.len()));
        }
        bytes
    })
}

const KNOWN: &str = "[h.example]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGBi1TGJ4hLIJqBAcwpDlO8+mGXkYRCF/ZaXh0mQlpo\n# c\nh,i ssh-rsa AAAA\n";
const CERT: &str = "-----BEGIN CERTIFICATE-----\nMIIBbjCCARSgAwIBAgIQ\n-----END CERTIFICATE-----\n";
const JOURNAL: &str = "{\"time\":\"t\",\"event\":\"begin\",\"operation\":\"create\"}\n{\"time\":\"t\",\"event\":\"started\",\"step\":\"a\"}\n{\"time\":\"t\",\"event\":\"failed\",\"step\":\"a\",\"message\":\"m\"}\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn known_hosts(bytes in nearly(KNOWN)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(known) = KnownHosts::parse(&text) {
            // What is understood is written as it was meant.
            prop_assert_eq!(KnownHosts::parse(&known.to_string()).unwrap(), known);
        }
        let _ = Pin::parse(&text);
        let _ = ssh_key::parse_public(&text);
    }

    #[test]
    fn journals(bytes in nearly(JOURNAL)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), &bytes).unwrap();
        let mut journal = Journal::open(file.path()).unwrap();
        let _ = Journal::last(file.path()).unwrap();
        // Whatever was there, the next operation can begin, and is read back.
        journal.append(machine_host::Event::Begin { operation: "rm".into() }).unwrap();
        let again = Journal::open(file.path()).unwrap();
        prop_assert_eq!(again.state(), journal.state());
    }

    #[test]
    fn certificates_and_keys(bytes in nearly(CERT)) {
        let _ = CertInfo::parse(&String::from_utf8_lossy(&bytes));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        machine_base::files::write(&path, &bytes, machine_base::files::Mode::Private).unwrap();
        let _ = Pair::read(&path, &path);
    }

    #[test]
    fn records_and_stores(bytes in nearly(include_str!("../fixtures/records/v1-least.json"))) {
        let _ = serde_json::from_slice::<Record>(&bytes);
        let dir = tempfile::tempdir().unwrap();
        machine_base::files::write(&dir.path().join("store.json"), &bytes, machine_base::files::Mode::Private).unwrap();
        let _ = Store::open(dir.path());
    }

    #[test]
    fn names_and_times(text in "\\PC{0,70}") {
        if let Ok(name) = text.parse::<HostName>() {
            prop_assert_eq!(name.as_str(), text.as_str());
            prop_assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.'));
        }
        let _ = clock::parse(&text);
    }
}
