//! Commands that read the store alone: ls, ip, url, config, inspect, active.

use machine_tests::{Env, assert_output};
use serde_json::{Value, json};

use crate::record;

#[test]
fn ip_url_and_config_print_what_is_remembered() {
    let env = Env::new();
    let dir = record::put(&env, &record::running("web-1"));
    assert_eq!(env.run(&["ip", "web-1"]).success().stdout, "10.0.0.7\n");
    assert_eq!(env.run(&["url", "web-1"]).success().stdout, "tcp://10.0.0.7:2376\n");
    let dir = dir.display();
    assert_eq!(
        env.run(&["config", "web-1"]).success().stdout,
        format!(
            "--tlsverify\n--tlscacert={dir}/ca.pem\n--tlscert={dir}/cert.pem\n--tlskey={dir}/key.pem\n-H=tcp://10.0.0.7:2376\n"
        )
    );
    assert_eq!(env.run(&["version", "web-1"]).success().stdout, "26.1.5\n");
}

#[test]
fn several_addresses_come_in_the_order_typed_and_failures_hide_none() {
    let env = Env::new();
    for (name, host) in [("a", "10.0.0.1"), ("b", "fd00::2")] {
        let ssh = json!({"host": host, "port": 22, "user": "root", "identity": "agent"});
        record::put(&env, &record::with(record::running(name), &json!({"ssh": ssh})));
    }
    record::put(&env, &record::with(record::running("off"), &json!({"power": "stopped"})));
    assert_eq!(env.run(&["ip", "b", "a"]).success().stdout, "fd00::2\n10.0.0.1\n");
    let mixed = env.run(&["ip", "a", "off", "b"]);
    assert_output!(mixed, @r#"
    $ machine ip a off b
    10.0.0.1
    fd00::2
    ! off: error: machine "off" is stopped
    ! hint: `machine start off` starts it
    [exit code 1]
    "#);
    assert_eq!(mixed.stdout, "10.0.0.1\nfd00::2\n");
    // A name that is not there hinders no other.
    let unknown = env.run(&["ip", "a", "nobody"]);
    assert_output!(unknown, @r#"
    $ machine ip a nobody
    10.0.0.1
    ! nobody: error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
    assert_eq!(unknown.stdout, "10.0.0.1\n");
    assert_output!(env.run(&["ip", "nobody", "noone"]), @r#"
    $ machine ip nobody noone
    ! error: machines "nobody", "noone" do not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
}

#[test]
fn an_ipv6_engine_has_brackets() {
    let env = Env::new();
    let endpoint = json!({"kind": "direct", "host": "fd00::7", "port": 2376, "host_port": 2376});
    record::put(&env, &record::with(record::running("six"), &json!({"endpoint": endpoint})));
    assert_eq!(env.run(&["url", "six"]).success().stdout, "tcp://[fd00::7]:2376\n");
}

#[test]
fn inspect_prints_the_record_whole_or_through_a_template() {
    let env = Env::new();
    record::put(&env, &record::with(record::running("web-1"), &json!({"from_the_future": {"kept": true}})));
    let seen: Value = serde_json::from_str(&env.run(&["inspect", "web-1"]).success().stdout).expect("JSON");
    assert_eq!(seen["endpoint"]["host"], "10.0.0.7");
    assert_eq!(seen["from_the_future"]["kept"], true);
    let format = |template: &str| env.run(&["inspect", "-f", template, "web-1"]).success().stdout;
    assert_eq!(format("{{.driver.name}} {{.ssh.port}} {{.nothing}}"), "generic 2222 <no value>\n");
    assert_eq!(format("{{json .engine.labels}}"), "[\"team=web\"]\n");
    assert_eq!(format("{{range .engine.labels}}{{.}}{{end}}"), "team=web\n");
    assert_output!(env.run(&["inspect", "-f", "{{.driver", "web-1"]), @"
    $ machine inspect -f '{{.driver' web-1
    ! error: --format: unclosed action
    [exit code 2]
    ");
    assert!(env.run(&["inspect", "-o", "yaml", "web-1"]).success().stdout.contains("host: 10.0.0.7"));
}

#[test]
fn ls_shows_every_machine_and_a_broken_one_hides_none() {
    let env = Env::new();
    record::put(&env, &record::running("m10"));
    record::put(&env, &record::with(record::running("m2"), &json!({"power": "stopped"})));
    record::put_text(&env, "broken", "{ not JSON");
    let seen = env.run(&["ls", "--no-probe"]).success();
    let rows: Vec<Vec<&str>> = seen.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "ACTIVE", "DRIVER", "STATE", "URL", "DOCKER", "ERRORS"]);
    let names: Vec<&str> = rows[1..].iter().map(|row| row[0]).collect();
    assert_eq!(names, ["broken", "m2", "m10"], "people count so");
    assert_eq!(rows[1][2..5], ["not", "found", "Error"]);
    assert!(seen.stdout.lines().nth(1).is_some_and(|row| row.contains("damaged")), "{}", seen.stdout);
    assert_eq!(rows[2][3], "Stopped");
    assert_eq!(rows[3][3..6], ["Running", "tcp://10.0.0.7:2376", "v26.1.5"]);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "broken\nm2\nm10\n");
}

#[test]
fn ls_filters_formats_and_writes_documents() {
    let mut env = Env::new();
    env.set("DOCKER_HOST", "tcp://10.0.0.7:2376");
    record::put(&env, &record::running("web-1"));
    let off = json!({"power": "stopped", "engine": {}, "driver": {"name": "none", "settings": {}, "machine": {}}});
    record::put(&env, &record::with(record::running("db-1"), &off));
    let ls = |args: &[&str]| env.run(&[&["ls", "--no-probe"], args].concat());
    for (filters, names) in [
        (vec!["driver=none"], "db-1\n"),
        (vec!["driver=none", "driver=generic"], "db-1\nweb-1\n"),
        (vec!["state=running"], "web-1\n"),
        (vec!["name=^w"], "web-1\n"),
        (vec!["label=team=web"], "web-1\n"),
        (vec!["label=team=web", "state=stopped"], ""),
    ] {
        let mut args = vec!["-q"];
        args.extend(filters.iter().flat_map(|filter| ["--filter", filter]));
        assert_eq!(ls(&args).success().stdout, names, "{filters:?}");
    }
    assert_eq!(ls(&["-f", "{{.Name}}\\t{{.Active}}"]).success().stdout, "db-1\t-\nweb-1\t*\n");
    assert_eq!(
        ls(&["-f", "table {{.Name}}\\t{{upper .DriverName}}"]).success().stdout,
        "NAME    DRIVER\ndb-1    NONE\nweb-1   GENERIC\n"
    );
    let unknown = ls(&["-f", "{{.Name}} {{.Nome}}"]);
    assert_output!(unknown, @"
    $ machine ls --no-probe -f '{{.Name}} {{.Nome}}'
    ! error: --format: can't evaluate field Nome (there are Name, Active, ActiveHost, DriverName, State, URL, DockerVersion, Error, ResponseTime, EngineOptions, Labels, CertificateExpires)
    ! hint: the fields and functions are listed in docs/output.md
    [exit code 2]
    ");
    assert_eq!(unknown.stdout, "", "nothing half-done is printed");
    assert_output!(ls(&["--filter", "colour=red"]), @"
    $ machine ls --no-probe --filter colour=red
    ! error: unsupported filter key 'colour'
    ! hint: the keys are name, driver, state and label
    [exit code 2]
    ");
    let rows: Value = serde_json::from_str(&ls(&["-o", "json"]).success().stdout).expect("JSON");
    assert_eq!(rows[1]["name"], "web-1");
    assert_eq!(rows[1]["active"], true);
    assert_eq!(rows[1]["docker_version"], "26.1.5");
    assert_eq!(rows[0]["url"], Value::Null);
    assert!(ls(&["-o", "yaml"]).success().stdout.starts_with("- name: db-1\n"));
}

#[test]
fn a_certificate_that_ends_soon_is_told_of() {
    let env = Env::new();
    let mut record = record::running("old");
    record["installed"]["certificate_expires"] = json!("2020-01-01T00:00:00Z");
    record::put(&env, &record);
    let seen = env.run(&["ls", "--no-probe"]).success();
    assert!(seen.stdout.contains("certificate expired on 2020-01-01: machine regenerate-certs old"), "{}", seen.stdout);
}

#[test]
fn active_is_the_machine_docker_talks_to() {
    let mut env = Env::new();
    record::put(&env, &record::running("web-1"));
    assert_output!(env.run(&["active"]), @"
    $ machine active
    ! error: no active machine found
    !   caused by: DOCKER_HOST is not set
    ! hint: `eval $(machine env NAME)` makes one active in this shell
    [exit code 1]
    ");
    env.set("DOCKER_HOST", "tcp://10.0.0.7:2376");
    assert_eq!(env.run(&["active"]).success().stdout, "web-1\n");
    env.set("DOCKER_HOST", "tcp://10.9.9.9:2376");
    assert_output!(env.run(&["active"]), @"
    $ machine active
    ! error: no active machine found
    !   caused by: no machine has the address tcp://10.9.9.9:2376 of DOCKER_HOST
    ! hint: `eval $(machine env NAME)` makes one active in this shell
    [exit code 1]
    ");
}

#[test]
fn reading_makes_and_changes_nothing() {
    let env = Env::new();
    for args in [
        &["ls", "--no-probe"][..],
        &["ls", "-q"],
        &["ls"],
        &["active"],
        &["ip", "x"],
        &["bundle", "ls"],
        &["image", "ls"],
    ] {
        let _ = env.run(args);
        assert!(!env.store().exists(), "{args:?} made a store");
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let env = Env::new();
    for n in 0..200 {
        record::put(&env, &record::running(&format!("machine-{n}")));
    }
    for command in ["ls --no-probe", "ls -q", "help", "inspect machine-1", "completions bash"] {
        // The pipe's other end is closed before the program starts.
        let seen =
            env.command("bash", &["-c", &format!("set -o pipefail; machine {command} | exec 0<&-")]).run().success();
        assert_eq!(seen.stderr, "", "{command}");
    }
}

/// What an engine said of itself, or a person wrote into a record: it reaches the terminal as text, never as a command to it.
#[test]
fn a2_foreign_text_reaches_the_terminal_as_text() {
    let env = Env::new();
    let mut record = record::running("web-1");
    record["installed"]["version"] = json!("26\u{1b}[2J\r\nweb-2  *  none  Running\u{202e}");
    record::put(&env, &record);
    let shown = r"26\u{1b}[2J web-2  *  none  Running\u{202e}";
    for args in [&["ls", "--no-probe"][..], &["version", "web-1"], &["ls", "--no-probe", "-f", "{{.DockerVersion}}"]] {
        let seen = env.run(args).success().stdout;
        assert!(seen.contains(shown), "{args:?}: {seen:?}");
        assert!(!seen.chars().any(|c| c.is_control() && c != '\n'), "{args:?}: {seen:?}");
    }
    assert_eq!(env.run(&["ls", "--no-probe"]).success().stdout.lines().count(), 2, "no row is forged");
    let whole = env.run(&["inspect", "-f", "{{.installed.version}}", "web-1"]).success().stdout;
    assert!(!whole.contains(['\u{1b}', '\r', '\u{202e}']), "{whole:?}");
    let document = env.run(&["inspect", "web-1"]).success().stdout;
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["installed"]["version"], record["installed"]["version"], "programs get it as it is");
}
