//! Every command has been seen to succeed and to fail: its output stands in a snapshot, here or in `e2e`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use machine_tests::{Env, assert_output, assert_outputs};

use crate::record;

#[test]
fn every_command_has_a_snapshot_of_a_success_and_of_a_failure() {
    let mut ended = Ended::default();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["cli", "e2e"] {
        ended.look_below(&package.join(folder));
    }
    let help = Env::new().run(&["--help"]).success().stdout;
    let (_, commands) = help.split_once("\nCommands:\n").expect("the help lists the commands");
    let (commands, _) = commands.split_once("\n\n").expect("and other things after them");
    let named = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let named = commands.lines().zip(named).filter(|(line, _)| !line.starts_with("   ")).map(|(_, name)| name);
    let commands: BTreeSet<String> = named.map(str::to_owned).collect();
    assert!(commands.len() > 30, "{commands:?}");
    let never = |seen: &BTreeSet<String>| commands.difference(seen).cloned().collect::<Vec<_>>();
    assert_eq!(never(&ended.well), Vec::<String>::new(), "no snapshot shows their success");
    assert_eq!(never(&ended.badly), Vec::<String>::new(), "no snapshot shows their failure");
}

/// The commands whose end some snapshot shows.
#[derive(Default)]
struct Ended {
    well: BTreeSet<String>,
    badly: BTreeSet<String>,
}

impl Ended {
    fn look_below(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder of ours") {
            let path = entry.expect("a file of ours").path();
            if path.is_dir() {
                self.look_below(&path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                self.look_at(&text);
            }
        }
    }

    /// Reads transcripts, wherever they stand: a command behind `$ `, what it wrote, and its exit code unless that is 0.
    fn look_at(&mut self, text: &str) {
        let mut command: Option<&str> = None;
        for line in text.lines().map(str::trim) {
            let begins = line.strip_prefix("$ machine ").and_then(|rest| rest.split(' ').next());
            let failed = line.starts_with("[exit code ");
            // A transcript ends with its literal, with its file, or where the next one begins.
            if (begins.is_some() || line.starts_with('"') || line.starts_with("== "))
                && let Some(command) = command.take()
            {
                self.well.insert(command.to_owned());
            }
            if failed && let Some(command) = command.take() {
                self.badly.insert(command.to_owned());
            }
            command = begins.or(command);
        }
        self.well.extend(command.map(str::to_owned));
    }
}

/// A program of the user's own: it prints its arguments and ends with 0.
fn program(env: &Env, name: &str) {
    let path = env.write(&format!("programs/{name}"), &format!("#!/bin/sh\necho {name} \"$@\"\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("our own file");
}

/// A machine that is on, and the programs of the user's own alone.
fn user() -> Env {
    let mut env = Env::new();
    let dir = record::put(&env, &record::running("web-1"));
    env.sh(&format!("echo Host web-1 >'{}/ssh_config'", dir.display())).success();
    ["ssh", "scp", "sshfs", "docker"].iter().for_each(|name| program(&env, name));
    env.set("PATH", env.home().join("programs"));
    env
}

#[test]
fn what_hands_over_to_other_programs_ends_as_they_do() {
    let env = user();
    assert_output!(env.run(&["ssh", "web-1", "uptime"]), @"
    $ machine ssh web-1 uptime
    ssh -F <ROOT>/store/machines/web-1/ssh_config web-1 uptime
    ");
    assert_output!(env.run(&["scp", "./notes", "web-1:notes"]), @"
    $ machine scp ./notes web-1:notes
    scp -F <ROOT>/store/machines/web-1/ssh_config -- ./notes web-1:notes
    ");
    assert_output!(env.run(&["mount", "web-1:/srv", "srv"]), @"
    $ machine mount web-1:/srv srv
    sshfs -F <ROOT>/store/machines/web-1/ssh_config web-1:/srv srv
    ");
}

#[test]
fn what_reads_the_store_prints_data() {
    let mut env = user();
    env.set("DOCKER_HOST", "tcp://10.0.0.7:2376");
    let seen = [
        &["active"][..],
        &["ls", "--no-probe"],
        &["env", "--shell", "sh", "web-1"],
        &["env", "--unset", "--shell", "sh"],
        &["config", "web-1"],
        &["ip", "web-1"],
        &["url", "web-1"],
        &["version"],
        &["version", "web-1"],
        &["inspect", "-f", "{{.driver.name}} {{.ssh.host}}", "web-1"],
        &["inspect", "web-1"],
        &["bundle", "ls"],
        &["image", "ls"],
        &["credentials", "ls"],
        &["doctor", "-d", "none"],
    ];
    assert_outputs!(seen.map(|args| env.run(args)), @r#"
    $ machine active
    web-1
    $ machine ls --no-probe
    NAME    ACTIVE   DRIVER    STATE     URL                   DOCKER    ERRORS
    web-1   *        generic   Running   tcp://10.0.0.7:2376   v26.1.5
    $ machine env --shell sh web-1
    export DOCKER_TLS_VERIFY='1'
    export DOCKER_HOST='tcp://10.0.0.7:2376'
    export DOCKER_CERT_PATH='<ROOT>/store/machines/web-1'
    export DOCKER_MACHINE_NAME='web-1'
    # Run this command to configure your shell:
    # eval $(<ROOT>/home/bin/machine env --shell sh web-1)
    $ machine env --unset --shell sh
    unset DOCKER_TLS_VERIFY
    unset DOCKER_HOST
    unset DOCKER_CERT_PATH
    unset DOCKER_MACHINE_NAME
    # Run this command to configure your shell:
    # eval $(<ROOT>/home/bin/machine env --unset --shell sh)
    $ machine config web-1
    --tlsverify
    --tlscacert=<ROOT>/store/machines/web-1/ca.pem
    --tlscert=<ROOT>/store/machines/web-1/cert.pem
    --tlskey=<ROOT>/store/machines/web-1/key.pem
    -H=tcp://10.0.0.7:2376
    $ machine ip web-1
    10.0.0.7
    $ machine url web-1
    tcp://10.0.0.7:2376
    $ machine version
    machine version 0.1.0
    $ machine version web-1
    26.1.5
    $ machine inspect -f '{{.driver.name}} {{.ssh.host}}' web-1
    generic 10.0.0.7
    $ machine inspect web-1
    {
      "version": 1,
      "name": "web-1",
      "id": "<UUID>",
      "created": "<TIME>",
      "driver": {
        "name": "generic",
        "settings": {
          "ip_address": "10.0.0.7"
        },
        "machine": {}
      },
      "engine": {
        "labels": [
          "team=web"
        ]
      },
      "tls_key": "ecdsa",
      "ssh": {
        "host": "10.0.0.7",
        "port": 2222,
        "user": "admin",
        "identity": "machine"
      },
      "installed": {
        "bundle": "abc",
        "bundle_name": "docker-26.1.5-trixie-amd64",
        "version": "26.1.5",
        "daemon_json": {}
      },
      "endpoint": {
        "kind": "direct",
        "host": "10.0.0.7",
        "port": 2376,
        "host_port": 2376
      },
      "power": "running"
    }
    $ machine bundle ls
    NAME   DIGEST   ENGINE   ARCH   SOURCE   SIZE   DEFAULT
    $ machine image ls
    NAME   DIGEST   ARCH   SOURCE   SIZE   MACHINES
    $ machine credentials ls
    NAME   KEPT IN   SET   MACHINES
    $ machine doctor -d none
    PART            WHAT             VERDICT           FOUND
    programs        docker           ok                found
    programs        ssh              ok                found
    engine          bundle           ok                debian:trixie, fetched by the first create
    store           folder           ok                <ROOT>/store, 1 machine
    machine web-1   ssh_config       could be better   does not say what the record says
    machine web-1   docker context   bad               cannot read <ROOT>/store/machines/web-1/ca.pem: No such file or directory (os error 2)

    What to do:
      machine doctor --fix
    [exit code 1]
    "#);
}

#[test]
fn doctor_mends_what_is_ours() {
    let env = user();
    let dir = env.store().join("machines/web-1");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        env.command("/bin/sh", &["-c", &format!("echo {name} >'{}'", dir.join(name).display())]).run().success();
    }
    assert_output!(env.run(&["doctor", "-d", "none", "--fix"]), @"
    $ machine doctor -d none --fix
    PART            WHAT           VERDICT   FOUND
    programs        docker         ok        found
    programs        ssh            ok        found
    engine          bundle         ok        debian:trixie, fetched by the first create
    store           folder         ok        <ROOT>/store, 1 machine
    machine web-1   client files   ok        rewritten
    ");
    assert_output!(env.run(&["doctor", "-d", "none"]), @"
    $ machine doctor -d none
    PART            WHAT     VERDICT   FOUND
    programs        docker   ok        found
    programs        ssh      ok        found
    engine          bundle   ok        debian:trixie, fetched by the first create
    store           folder   ok        <ROOT>/store, 1 machine
    machine web-1   record   ok        in order
    ");
}

#[test]
fn a_machine_that_is_a_url_goes_through_its_life() {
    let env = Env::new();
    let url = "tcp://127.0.0.1:9";
    assert_output!(env.run(&["create", "x", "-d", "none", "--url", url]), @"
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! x: check-engine … done (<TIME>)
    ! x: check-driver … done (<TIME>)
    ! x: plan-machine … already so (<TIME>)
    ! x: choose-identity … done (<TIME>)
    ! x: make-keys … already so (<TIME>)
    ! x: prepare-engine … already so (<TIME>)
    ! x: create-machine … done (<TIME>)
    ! x: write-client-settings … done (<TIME>)
    ! x: ready: eval $(machine env x)
    ");
    assert_output!(env.run(&["status", "-t", "30s", "x"]), @"
    $ machine status -t 30s x
    Error
    ! x: tcp://127.0.0.1:9 does not answer: Connection refused (os error 111)
    ");
    assert_output!(env.run(&["ls", "-t", "30s"]), @"
    $ machine ls -t 30s
    NAME   ACTIVE   DRIVER   STATE   URL                 DOCKER    ERRORS
    x      -        none     Error   tcp://127.0.0.1:9   Unknown   tcp://127.0.0.1:9 does not answer: Connection refused (os error 111)
    ");
    // Nothing on it is ours to change.
    let refused = [
        &["start", "x"][..],
        &["stop", "x"],
        &["restart", "x"],
        &["kill", "x"],
        &["provision", "x"],
        &["upgrade", "x"],
        &["regenerate-certs", "-f", "x"],
        &["set", "x", "--engine-label", "a=b"],
        &["forward", "x"],
        &["share", "x"],
        &["ssh", "x"],
        &["scp", "notes", "x:notes"],
        &["mount", "x:/srv", "srv"],
    ];
    assert_outputs!(refused.map(|args| env.run(args)), @r#"
    $ machine start x
    ! error: driver none does not support start
    ! hint: a machine that is only a URL is started and stopped where it runs
    [exit code 2]
    $ machine stop x
    ! error: driver none does not support stop
    ! hint: a machine that is only a URL is started and stopped where it runs
    [exit code 2]
    $ machine restart x
    ! error: driver none does not support restart
    ! hint: a machine that is only a URL is started and stopped where it runs
    [exit code 2]
    $ machine kill x
    ! error: driver none does not support kill
    ! hint: a machine that is only a URL is started and stopped where it runs
    [exit code 2]
    $ machine provision x
    ! error: machine "x" cannot be provisioned
    !   caused by: driver none is only a URL: there is no host to log in to
    [exit code 2]
    $ machine upgrade x
    ! error: machine "x" cannot be upgraded
    !   caused by: driver none is only a URL: there is no host to log in to
    [exit code 2]
    $ machine regenerate-certs -f x
    ! error: machine "x" cannot be given certificates
    !   caused by: driver none is only a URL: there is no host to log in to
    [exit code 2]
    $ machine set x --engine-label a=b
    ! error: machine "x" cannot be changed
    !   caused by: driver none is only a URL: there is no host to log in to
    [exit code 2]
    $ machine forward x
    ! error: machine "x" has no SSH address
    ! hint: `machine create x` finishes a half-made machine; a machine of driver none has no SSH
    [exit code 1]
    $ machine share x
    ! error: driver none shares no folders of this computer
    ! hint: copy them: machine scp -r FOLDER x:
    [exit code 2]
    $ machine ssh x
    ! error: machine "x" has no SSH address
    ! hint: `machine create x` finishes a half-made machine; a machine of driver none has no SSH
    [exit code 255]
    $ machine scp notes x:notes
    ! error: machine "x" has no SSH address
    ! hint: `machine create x` finishes a half-made machine; a machine of driver none has no SSH
    [exit code 1]
    $ machine mount x:/srv srv
    ! error: machine "x" has no SSH address
    ! hint: `machine create x` finishes a half-made machine; a machine of driver none has no SSH
    [exit code 1]
    "#);
    assert_output!(env.run(&["rm", "-y", "x"]), @"
    $ machine rm -y x
    ! x: check-credentials … already so (<TIME>)
    ! x: mark-removing … done (<TIME>)
    ! x: stop-watcher … already so (<TIME>)
    ! x: forget-host … done (<TIME>)
    ! x: delete-record … done (<TIME>)
    ! x: removed
    ");
}
