use std::fs;
use std::process::Command;

use super::*;
use crate::Kind;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    (dir, store)
}

fn sans(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A certificate of `ca` with these ends.
fn client_ending(ca: &Ca, not_before: OffsetDateTime, not_after: OffsetDateTime) -> String {
    let mut params = leaf_params("machine client", BACKDATE_CLIENT);
    (params.not_before, params.not_after) = (not_before, not_after);
    let issuer = Issuer::from_ca_cert_pem(&ca.cert_pem, load_key(&ca.key_pem).unwrap()).unwrap();
    params.signed_by(&load_key(&ca.client.key_pem).unwrap(), &issuer).unwrap().pem()
}

#[test]
fn certificates_are_what_docker_and_openssl_expect() {
    for (key, words) in [(TlsKey::Ecdsa, "id-ecPublicKey"), (TlsKey::Rsa, "rsaEncryption")] {
        let (dir, store) = store();
        let ca = store.ensure_ca(key).unwrap();
        let server = issue_server(
            &ca.signer(),
            &sans(&["10.0.0.1", "[fd00::1]", "web.example", "*.web.example", "10.0.0.1"]),
            key,
        )
        .unwrap();
        let info = CertInfo::parse(&server.cert_pem).unwrap();
        assert_eq!(info.sans, ["10.0.0.1", "fd00::1", "web.example", "*.web.example", "localhost", "127.0.0.1"]);
        for host in ["10.0.0.1", "FD00::1", "[fd00:0::1]", "Web.Example", "x.web.example", "localhost"] {
            assert!(info.covers(host), "{host}");
        }
        for host in ["10.0.0.2", "example", "a.x.web.example", "fd00::2"] {
            assert!(!info.covers(host), "{host}");
        }
        assert!(!info.ca);
        let now = OffsetDateTime::now_utc();
        let near = |moment: OffsetDateTime, wanted: OffsetDateTime| (moment - wanted).abs() < Duration::minutes(1);
        assert!(near(info.not_before, now - Duration::hours(1)) && near(info.not_after, now + Duration::days(1080)));
        assert!(near(server.expires, info.not_after));
        let ca_info = CertInfo::parse(&ca.cert_pem).unwrap();
        assert!(ca_info.ca && near(ca_info.not_after, now + Duration::days(3650)));
        assert!(ca_info.subject.contains(store.id().unwrap()), "{}", ca_info.subject);
        verify_chain(&server.cert_pem, &ca.cert_pem).unwrap();
        verify_chain(&ca.client.cert_pem, &ca.cert_pem).unwrap();
        assert!(!format!("{ca:?}{server:?}").contains("PRIVATE"), "keys do not print");

        let paths = MachinePaths::new(dir.path());
        server.write(&paths.server_cert(), &paths.server_key()).unwrap();
        assert_eq!(Pair::read(&paths.server_cert(), &paths.server_key()).unwrap().cert_pem, server.cert_pem);
        let certs = store.paths().certs();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl").args(arguments).current_dir(dir.path()).output().ok()?;
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        };
        let ca_path = certs.join("ca.pem");
        let ca_path = ca_path.to_str().unwrap();
        let Some(text) = openssl(&["x509", "-in", "server.pem", "-noout", "-text"]) else {
            machine_base::skipped("openssl is not installed");
            continue;
        };
        for wanted in [words, "TLS Web Server Authentication", "Authority Key Identifier", "Digital Signature"] {
            assert!(text.contains(wanted), "{wanted} not in {text}");
        }
        let strict = ["verify", "-x509_strict", "-CAfile", ca_path];
        openssl(&[&strict[..], &["-purpose", "sslserver", "-verify_ip", "10.0.0.1", "server.pem"]].concat());
        openssl(&[&strict[..], &["-purpose", "sslclient", certs.join("cert.pem").to_str().unwrap()]].concat());
    }
}

#[test]
fn made_once_and_then_left_alone() {
    let (_dir, store) = store();
    let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let certs = store.paths().certs();
    let before: Vec<_> = fs::read_dir(&certs).unwrap().map(|e| e.unwrap().path()).collect();
    let texts: Vec<_> = before.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before.len(), 4);
    let again = store.ensure_ca(TlsKey::Rsa).unwrap();
    assert_eq!((again.cert_pem, again.client.cert_pem), (ca.cert_pem, ca.client.cert_pem));
    assert_eq!(before.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>(), texts);
}

#[cfg(unix)]
#[test]
fn keys_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, store) = store();
    store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let mode = |name: &str| fs::metadata(store.paths().certs().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["", "ca.pem", "ca-key.pem", "cert.pem", "key.pem"].map(mode), [0o700, 0o600, 0o600, 0o600, 0o600]);
}

#[test]
fn every_state_a_kill_can_leave_is_completed() {
    let (_dir, store) = store();
    let first = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let paths = CaPaths::in_store(store.paths());
    // In the order of writing, the files that are not there yet.
    let order = [&paths.ca_key, &paths.ca_cert, &paths.client_key, &paths.client_cert];
    for written in 1..4 {
        for missing in &order[written..] {
            fs::remove_file(missing).unwrap();
        }
        let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
        assert_eq!(ca.key_pem.expose(), first.key_pem.expose(), "the key stays");
        verify_chain(&ca.client.cert_pem, &ca.cert_pem).unwrap();
        Pair::read(&paths.client_cert, &paths.client_key).unwrap();
    }
}

#[test]
fn a_client_certificate_about_to_end_is_renewed_for_the_same_key() {
    let (_dir, store) = store();
    let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let paths = CaPaths::in_store(store.paths());
    let now = OffsetDateTime::now_utc();
    for end in [now + Duration::days(89), now - Duration::days(1)] {
        let old = client_ending(&ca, now - Duration::days(400), end);
        fs::write(&paths.client_cert, &old).unwrap();
        let renewed = store.ensure_ca(TlsKey::Ecdsa).unwrap();
        assert_ne!(renewed.client.cert_pem, old);
        assert_eq!(renewed.client.key_pem.expose(), ca.client.key_pem.expose());
        assert!(renewed.client.expires > now + Duration::days(1000));
    }
    let fresh = client_ending(&ca, now - Duration::days(400), now + Duration::days(91));
    fs::write(&paths.client_cert, &fresh).unwrap();
    assert_eq!(store.ensure_ca(TlsKey::Ecdsa).unwrap().client.cert_pem, fresh);
}

#[test]
fn another_cas_client_certificate_is_replaced_in_the_store_and_refused_outside() {
    let (dir, store) = store();
    let (_other_dir, other) = self::store();
    let (ours, theirs) = (store.ensure_ca(TlsKey::Ecdsa).unwrap(), other.ensure_ca(TlsKey::Ecdsa).unwrap());
    assert!(verify_chain(&theirs.client.cert_pem, &ours.cert_pem).is_err());
    let paths = CaPaths::in_store(store.paths());
    theirs.client.write(&paths.client_cert, &paths.client_key).unwrap();
    let mended = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    verify_chain(&mended.client.cert_pem, &ours.cert_pem).unwrap();

    let given = CaPaths {
        client_cert: dir.path().join("my-cert.pem"),
        client_key: dir.path().join("my-key.pem"),
        ..CaPaths::in_store(store.paths())
    };
    theirs.client.write(&given.client_cert, &given.client_key).unwrap();
    let error = store.ensure_ca_at(&given, TlsKey::Ecdsa).unwrap_err();
    assert_eq!(error.kind(), Kind::Certificate);
    let text = error.to_string();
    assert!(text.contains("my-cert.pem cannot be used: it was not signed by O=machine, CN=machine CA"), "{text}");
    assert_eq!(fs::read_to_string(&given.client_cert).unwrap(), theirs.client.cert_pem);
}

#[test]
fn a_ca_is_never_written_over() {
    let (_dir, store) = store();
    let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let paths = CaPaths::in_store(store.paths());
    let key = fs::read_to_string(&paths.ca_key).unwrap();
    let check = |kind: Kind, text: &str, hint: &str| {
        let before = fs::read_to_string(&paths.ca_cert).unwrap();
        let error = store.ensure_ca(TlsKey::Ecdsa).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.hint().unwrap_or_default().contains(hint), "{:?}", error.hint());
        assert_eq!(fs::read_to_string(&paths.ca_cert).unwrap(), before);
    };
    fs::remove_file(&paths.ca_key).unwrap();
    check(Kind::Corrupt, "the CA's private key is missing: ", "regenerate-certs");
    assert!(!paths.ca_key.exists());
    fs::write(&paths.ca_key, ca.client.key_pem.expose()).unwrap();
    check(Kind::Certificate, "ca.pem cannot be used: its key is not the one in ", "backup");
    fs::write(&paths.ca_key, "nonsense").unwrap();
    check(Kind::Certificate, "ca-key.pem cannot be used: it is not in PEM form", "");
    fs::write(&paths.ca_key, key.replace("PRIVATE", "ENCRYPTED PRIVATE")).unwrap();
    check(Kind::Certificate, "ca-key.pem cannot be used: it is encrypted", "");
    fs::write(&paths.ca_key, &key).unwrap();
    fs::write(&paths.ca_cert, &ca.client.cert_pem).unwrap();
    check(Kind::Certificate, "ca.pem cannot be used: it is not a CA's", "");
    fs::write(&paths.ca_cert, "nonsense").unwrap();
    check(Kind::Certificate, "ca.pem cannot be used", "");

    let mut params = ca_params("x");
    params.not_before = OffsetDateTime::now_utc() - Duration::days(10);
    params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
    let expired = params.self_signed(&load_key(&ca.key_pem).unwrap()).unwrap().pem();
    fs::write(&paths.ca_cert, expired).unwrap();
    check(Kind::Certificate, "ca.pem cannot be used: it expired on ", "regenerate-certs");
}

#[test]
fn nothing_outlives_its_ca() {
    let (_dir, store) = store();
    let mut ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let mut params = ca_params("x");
    params.not_after = (OffsetDateTime::now_utc() + Duration::days(30)).replace_nanosecond(0).unwrap();
    let end = params.not_after;
    ca.cert_pem = params.self_signed(&load_key(&ca.key_pem).unwrap()).unwrap().pem();
    assert_eq!(issue_server(&ca.signer(), &[], TlsKey::Ecdsa).unwrap().expires, end);
    // The client's then ends with it: it is not made again at each call.
    fs::write(CaPaths::in_store(store.paths()).ca_cert, &ca.cert_pem).unwrap();
    let first = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    assert_eq!(store.ensure_ca(TlsKey::Ecdsa).unwrap().client.cert_pem, first.client.cert_pem);
}

#[test]
fn a_ca_made_by_openssl_serves() {
    for arguments in [
        &["ecparam", "-name", "prime256v1", "-genkey", "-out", "ca-key.pem"][..],
        &["genrsa", "-traditional", "-out", "ca-key.pem", "2048"],
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", "ca-key.pem"],
    ] {
        let (dir, store) = store();
        let openssl =
            |arguments: &[&str]| Command::new("openssl").args(arguments).current_dir(dir.path()).output().ok();
        if openssl(arguments).is_none() {
            machine_base::skipped("openssl is not installed");
            return;
        }
        let made = openssl(&[
            "req",
            "-new",
            "-x509",
            "-key",
            "ca-key.pem",
            "-days",
            "30",
            "-subj",
            "/C=DE/O=Übung AG/CN=Our CA",
            "-utf8",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-out",
            "ca.pem",
        ])
        .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let paths = CaPaths {
            ca_cert: dir.path().join("ca.pem"),
            ca_key: dir.path().join("ca-key.pem"),
            client_cert: dir.path().join("client/cert.pem"),
            client_key: dir.path().join("client/key.pem"),
        };
        let ca = store.ensure_ca_at(&paths, TlsKey::Ecdsa).unwrap();
        let server = issue_server(&ca.signer(), &sans(&["h"]), TlsKey::Ecdsa).unwrap();
        fs::write(dir.path().join("server.pem"), &server.cert_pem).unwrap();
        let verified = openssl(&["verify", "-CAfile", "ca.pem", "server.pem", "client/cert.pem"]).unwrap();
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn names_that_no_certificate_can_have_are_refused() {
    let (_dir, store) = store();
    let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    for bad in ["", "a b", "host:2376", "a..b", "tcp://x", "ü.example", "a.*.b", "[fd00::1", &"x".repeat(64)] {
        let error = issue_server(&ca.signer(), &sans(&[bad]), TlsKey::Ecdsa).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{bad}");
        assert!(error.hint().unwrap().contains("without a port"));
    }
    let long = format!("{}.example", ["x".repeat(60).as_str(); 3].join("."));
    let server = issue_server(&ca.signer(), std::slice::from_ref(&long), TlsKey::Ecdsa).unwrap();
    assert!(CertInfo::parse(&server.cert_pem).unwrap().covers(&long));
}

#[test]
fn the_clients_pair_is_copied_once() {
    let (dir, store) = store();
    let ca = store.ensure_ca(TlsKey::Ecdsa).unwrap();
    let machine = MachinePaths::new(dir.path());
    assert!(copy_client(&ca, &machine).unwrap());
    assert!(!copy_client(&ca, &machine).unwrap());
    assert_eq!(fs::read_to_string(machine.client_key()).unwrap(), ca.client.key_pem.expose());
    assert!(!machine.ca_cert().exists(), "whom the machine's clients trust is not the store's affair");
}
