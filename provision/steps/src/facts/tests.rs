//! What hosts may say of themselves, and what is refused.

use super::*;

const NOW: i64 = 1_700_000_000;

fn facts(changes: &[(&str, &str)]) -> HostFacts {
    let base = format!(
        "clock={NOW}\narch=x86_64\nkernel=6.1\nglibc=2.36\nsystemd_running=true\nsystemd=252\ncgroup=2\noverlay=true\nfree_opt=9000000000\nfree_var_lib=9000000000\n"
    );
    let mut answer = Answer::parse(&base);
    for (key, value) in changes {
        answer.facts.insert((*key).to_owned(), (*value).to_owned());
    }
    HostFacts::from_answer(answer, NOW).unwrap()
}

#[test]
fn a_plain_host_is_fine() {
    let host = facts(&[]);
    host.check_basics().unwrap();
    host.check_owner("id", "store", None).unwrap();
    host.check_foreign_engine(None).unwrap();
    host.check_libc("2.34", "b").unwrap();
    host.check_space(300 << 20).unwrap();
    assert_eq!(host.warnings(), [""; 0]);
}

#[test]
fn refusals_name_the_thing_and_have_a_hint() {
    let year = (NOW + 31_536_000).to_string();
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("systemd", &[("systemd_running", "false")]),
        ("lacks gzip", &[("tools_missing", "gzip")]),
        ("not glibc", &[("glibc", "")]),
        ("control groups", &[("cgroup", "0")]),
        ("365 days ahead", &[("clock", &year)]),
        ("namespaces: net", &[("namespaces_missing", "net")]),
    ];
    for (word, changes) in cases {
        let error = facts(changes).check_basics().unwrap_err();
        assert!(error.message.contains(word), "{word}: {}", error.message);
        assert!(error.hint.is_some(), "{word}");
    }
}

#[test]
fn owners() {
    let host = facts(&[("owner", "machine-id=other\nstore-id=store\n")]);
    assert!(host.check_owner("id", "store", None).unwrap_err().message.contains("another machine of this store"));
    assert!(host.check_owner("id", "elsewhere", None).unwrap_err().message.contains("another store"));
    host.check_owner("other", "store", None).unwrap();
    host.check_owner("id", "store", Some(Foreign::Replace)).unwrap();
    host.check_owner("id", "store", Some(Foreign::Adopt)).unwrap_err();
}

#[test]
fn engines_of_others() {
    let host = facts(&[("foreign_dockerd", "/usr/sbin/dockerd")]);
    assert!(host.check_foreign_engine(None).unwrap_err().hint.unwrap().contains("--adopt"));
    host.check_foreign_engine(Some(Foreign::Adopt)).unwrap();
    facts(&[]).check_foreign_engine(Some(Foreign::Adopt)).unwrap_err();
}

#[test]
fn old_libc_and_full_disks() {
    assert!(facts(&[("glibc", "2.31")]).check_libc("2.34", "b").unwrap_err().message.contains("2.31"));
    let full = facts(&[("free_opt", "1000")]).check_space(300 << 20).unwrap_err();
    assert_eq!(full.kind, Kind::Quota);
    assert_eq!(facts(&[("free_var_lib", "1000")]).check_space(0).unwrap_err().kind, Kind::Quota);
}

#[test]
fn h5_daemon_json_is_read_as_dockerd_reads_it() {
    let read = |text: &str| daemon_json_of(text).unwrap().to_string();
    assert_eq!(read("\u{feff}{\"debug\": true}"), r#"{"debug":true}"#);
    assert_eq!(read("\u{feff}\r\n"), "{}");
    daemon_json_of("{}\u{feff}").unwrap_err();
}

#[test]
fn h6_who_has_the_usual_socket_is_named() {
    let host = facts(&[("socket_of", "/usr/lib/tmpfiles.d/podman-docker.conf")]);
    let warned = host.warnings().join("\n");
    assert!(warned.contains("podman-docker.conf") && warned.contains("unix:///run/machine/docker.sock"), "{warned}");
    assert_eq!(facts(&[("socket_of", "a link"), ("foreign_dockerd", "/x")]).warnings(), [""; 0]);
}

#[test]
fn h7_where_nothing_can_be_written_or_run() {
    facts(&[("options_opt", "rw,relatime"), ("inodes_opt", "100000")]).check_mounts().unwrap();
    let noexec = facts(&[("options_opt", "rw,nosuid,noexec")]).check_mounts().unwrap_err();
    assert!(noexec.causes[0].contains("noexec") && noexec.kind == Kind::Usage, "{noexec:?}");
    let read_only = facts(&[("read_only", "/etc/docker")]).check_mounts().unwrap_err();
    assert!(read_only.message.contains("/etc/docker"), "{read_only:?}");
    let full = facts(&[("inodes_opt", "20")]).check_space(0).unwrap_err();
    assert!(full.message.contains("20 more files") && full.kind == Kind::Quota, "{full:?}");
    facts(&[("inodes_opt", "")]).check_space(0).unwrap();
}

#[test]
fn layouts() {
    assert_eq!(facts(&[]).layout().unwrap(), None);
    assert_eq!(facts(&[("layout", "1")]).layout().unwrap(), Some(Layout::Packaged));
    assert_eq!(facts(&[("layout", "2")]).layout().unwrap(), Some(Layout::Own));
    assert!(facts(&[("layout", "3")]).layout().unwrap_err().causes[0].contains("layout 3"));
}

#[test]
fn h1_a_containerd_with_neighbours_is_not_replaced() {
    let host = facts(&[("foreign_dockerd", "/usr/sbin/dockerd"), ("neighbours", "k8s.io")]);
    let refused = host.check_foreign_engine(Some(Foreign::Replace)).unwrap_err();
    assert!(refused.causes[0].contains("k8s.io") && refused.hint.unwrap().contains("--adopt"));
    host.check_foreign_engine(Some(Foreign::Adopt)).unwrap();
    let ours = facts(&[("foreign_dockerd", "/usr/sbin/dockerd"), ("neighbours", "k8s.io"), ("layout", "1")]);
    ours.check_foreign_engine(Some(Foreign::Replace)).unwrap();
    let masked = facts(&[("masked", "docker.service")]).check_masked().unwrap_err();
    assert!(masked.message.contains("docker.service"));
}

#[test]
fn a_broken_daemon_json_is_said() {
    let answer = Answer::parse(&format!("clock={NOW}\ndaemon_json=nonsense\n"));
    assert!(HostFacts::from_answer(answer, NOW).unwrap_err().hint.is_some());
}
