//! The state file, and who is believed.

use std::path::Path;

use machine_driver::Share;
use machine_host::Store;
use machine_host::name::HostName;
use serde_json::json;

use super::*;

#[test]
fn a1_ports_that_records_promise_are_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(folder.path()).unwrap();
    let put = |name: &str, kind: &str, host: &str, port: u16, ssh: &str| {
        let record = json!({
            "version": 1, "name": name, "id": name, "created": "2026-11-23T18:48:14Z",
            "driver": {"name": "none", "settings": {}},
            "ssh": {"host": ssh, "port": port + 1, "user": "root", "identity": "machine"},
            "endpoint": {"kind": kind, "host": host, "port": port, "host_port": 2376},
        });
        store.create(&serde_json::from_value(record).unwrap()).unwrap();
    };
    put("x", "tunnel", "127.0.0.1", 4000, "192.0.2.1");
    put("y", "tunnel", "127.0.0.1", 4100, "192.0.2.2");
    put("vm", "direct", "127.0.0.1", 4200, "127.0.0.1");
    put("far", "direct", "192.0.2.3", 4300, "192.0.2.3");
    let name: HostName = "x".parse().unwrap();
    let promised: Vec<u16> = serve::promised(&store, &name).into_iter().collect();
    assert_eq!(promised, [4100, 4200, 4201], "its own are its own");
}

#[test]
fn the_state_file_says_what_design_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forwards.json");
    let state = Forwards {
        pid: 7,
        version: "1.0".into(),
        engine_port: 40000,
        ready: true,
        forwards: vec![Forward {
            port: 8080,
            container: "web".into(),
            host: "127.0.0.1".into(),
            host_port: 8080,
            udp: false,
        }],
        refusals: [Reason::Udp, Reason::Sctp, Reason::PortTaken, Reason::Promised, Reason::NeedsRoot, Reason::Low]
            .into_iter()
            .chain([Reason::TooMany, Reason::Other("odd".into())])
            .map(|reason| Refusal { port: 53, container: "dns".into(), reason })
            .collect(),
        unlisted: 2,
        unshared: Vec::new(),
        trouble: None,
    };
    state.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for word in [
        "\"udp\"",
        "\"sctp\"",
        "\"port taken\"",
        "\"promised to another machine\"",
        "\"needs root\"",
        "\"below 1024\"",
        "\"too many\"",
        "\"odd\"",
    ] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert_eq!(Forwards::read(&path), Some(state.clone()));
    let named = "53 (udp), 53 (sctp), 53 (port taken), 53 (promised to another machine), 53 (needs root), 5 more";
    assert_eq!(state.complaint().unwrap(), format!("not forwarded: {named}"), "L10");
    let lost = Forwards { trouble: Some("the SSH connection was lost".into()), ..state };
    assert_eq!(lost.complaint().unwrap(), "ports are not forwarded: the SSH connection was lost");
    assert_eq!(Forwards::default().complaint(), None);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for foreign in ["", "{", "[]", "{\"pid\": -1}", "null"] {
        machine_base::files::write(&path, foreign, machine_base::files::Mode::Private).unwrap();
        assert_eq!(Forwards::read(&path), None, "{foreign:?}");
    }
    assert_eq!(Forwards::read(&folder.path().join("none")), None);
}

#[test]
fn l12_a_folder_that_is_not_shared_is_told_of() {
    let bind = |folder: &str| (folder.to_owned(), "web".to_owned());
    let binds = ["/h/me/src", "/h/me/src/deep", "/h/meadow", "/etc", "/h/me/notes/a"].map(bind);
    let unshared = |shares: &[&str]| {
        let shares: Vec<Share> = shares.iter().map(|share| share.parse().unwrap()).collect();
        state::Unshared::among(&binds, Path::new("/h/me"), &shares)
    };
    let folders = |shares: &[&str]| unshared(shares).into_iter().map(|u| u.folder).collect::<Vec<_>>();
    assert_eq!(folders(&[]), ["/h/me/src", "/h/me/src/deep", "/h/me/notes/a"]);
    assert_eq!(folders(&["/h/me/src:/h/me/src", "/h/me/notes:/n"]), ["/h/me/notes/a"]);
    assert_eq!(folders(&["/h/me:/h/me"]), Vec::<String>::new());
    let state = Forwards { unshared: unshared(&[]), ..Forwards::default() };
    assert_eq!(state.complaint().unwrap(), "not shared with the machine: /h/me/src (web) and 2 more");
}

#[test]
fn refusals_name_their_reason() {
    let of = |kind: std::io::ErrorKind| Reason::of(&kind.into()).to_string();
    assert_eq!(of(std::io::ErrorKind::AddrInUse), "port taken");
    assert_eq!(of(std::io::ErrorKind::PermissionDenied), "needs root");
    assert_eq!(of(std::io::ErrorKind::AddrNotAvailable), "address not available");
}
