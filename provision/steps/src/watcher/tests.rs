//! The state file, and who is believed.

use super::*;

#[test]
fn the_state_file_says_what_design_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forwards.json");
    let state = Forwards {
        pid: 7,
        version: "1.0".into(),
        engine_port: 40000,
        ready: true,
        forwards: vec![Forward { port: 8080, container: "web".into(), host: "127.0.0.1".into(), host_port: 8080 }],
        refusals: [Reason::Udp, Reason::Sctp, Reason::PortTaken, Reason::NeedsRoot, Reason::Other("odd".into())]
            .map(|reason| Refusal { port: 53, container: "dns".into(), reason })
            .into(),
        trouble: None,
    };
    state.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    for word in ["\"udp\"", "\"sctp\"", "\"port taken\"", "\"needs root\"", "\"odd\""] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert_eq!(Forwards::read(&path), Some(state));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for foreign in ["", "{", "[]", "{\"pid\": -1}", "null"] {
        machine_host::atomic::write(&path, foreign, machine_host::atomic::Mode::Private).unwrap();
        assert_eq!(Forwards::read(&path), None, "{foreign:?}");
    }
    assert_eq!(Forwards::read(&folder.path().join("none")), None);
}

#[test]
fn refusals_name_their_reason() {
    let of = |kind: std::io::ErrorKind| Reason::of(&kind.into()).to_string();
    assert_eq!(of(std::io::ErrorKind::AddrInUse), "port taken");
    assert_eq!(of(std::io::ErrorKind::PermissionDenied), "needs root");
    assert_eq!(of(std::io::ErrorKind::AddrNotAvailable), "address not available");
}
