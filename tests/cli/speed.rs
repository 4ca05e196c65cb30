//! What a command does not do: counts of system calls, which are the same on a slow computer.

use std::net::TcpListener;

use machine_tests::Env;
use serde_json::json;

use crate::record;

/// A port that refuses connections.
fn refused() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    listener.local_addr().expect("it has one").port()
}

/// Machines of driver none whose engines answer nothing.
fn machines(env: &Env, count: usize) {
    let port = refused();
    for n in 0..count {
        let url = format!("tcp://127.0.0.1:{port}");
        let endpoint = json!({"kind": "url", "host": "127.0.0.1", "port": port, "host_port": port, "url": url});
        let driver = json!({"name": "none", "settings": {"url": url}, "machine": {}});
        let changes = json!({"endpoint": endpoint, "driver": driver, "ssh": null, "installed": null});
        record::put(env, &record::with(record::running(&format!("m{n}")), &changes));
    }
}

/// The files that a command opens.
fn opened(env: &Env, args: &[&str]) -> Option<Vec<String>> {
    let strace = std::path::Path::new("/usr/bin/strace");
    if !strace.exists() {
        machine_tests::skipped("strace is not installed");
        return None;
    }
    let program = env.program().display().to_string();
    let log = env.tmp().join("calls");
    let words = ["-f", "-e", "trace=openat", "-o", &log.display().to_string(), &program];
    env.command(strace, &[&words[..], args].concat()).run().success();
    let calls = std::fs::read_to_string(log).expect("strace wrote it");
    Some(calls.lines().filter_map(|line| line.split('"').nth(1)).map(str::to_owned).collect())
}

#[test]
fn p1_machines_without_tls_cost_no_reading_of_certificates() {
    let env = Env::new();
    machines(&env, 20);
    let seen = env.run(&["ls", "-f", "{{.State}} {{.Error}}"]).success().stdout;
    assert_eq!(seen.lines().filter(|row| row.starts_with("Error ") && row.contains("refused")).count(), 20, "{seen}");
    let Some(opened) = opened(&env, &["ls"]) else { return };
    let certificates: Vec<&String> = opened.iter().filter(|path| path.starts_with("/etc/ssl")).collect();
    assert_eq!(certificates, Vec::<&String>::new());
    let records = opened.iter().filter(|path| path.ends_with("machine.json")).count();
    assert_eq!(records, 20, "each record is read once");
}
