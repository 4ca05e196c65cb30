//! `machine create` from outside, as far as it goes without a host: driver none, refusals, config.yaml.

use std::os::unix::fs::PermissionsExt as _;

use machine_tests::{Env, assert_output, assert_outputs};
use serde_json::Value;

const URL: &[&str] = &["-d", "none", "--url", "tcp://127.0.0.1:9"];

#[test]
fn create_makes_says_and_repeats() {
    let env = Env::new();
    let create = |name: &str, rest: &[&str]| env.run(&[&["create", name], rest].concat());
    let made = create("x", URL);
    assert_output!(made, @"
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
    assert_eq!(made.stdout, "", "talk goes to stderr");
    assert_eq!(env.run(&["url", "x"]).success().stdout, "tcp://127.0.0.1:9\n");
    assert_output!(create("x", URL), @"
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! x: already so
    ");
    assert_output!(create("x", &[]), @"
    $ machine create x
    ! x: already so
    ");
    assert_output!(create("x", &["-d", "none"]), @"
    $ machine create x -d none
    ! x: already so
    ");
    assert_output!(create("x", &["-d", "none", "--url", "tcp://127.0.0.1:10"]), @r#"
    $ machine create x -d none --url tcp://127.0.0.1:10
    ! error: machine "x" already exists, with other settings
    !   caused by: url: it is tcp://127.0.0.1:9, you ask for tcp://127.0.0.1:10
    ! hint: keep its settings: machine create x; or remove it first: machine rm x
    [exit code 3]
    "#);
    assert_eq!(env.run(&["url", "x"]).success().stdout, "tcp://127.0.0.1:9\n");
}

#[test]
fn under_docker_machines_name_a_taken_name_is_refused() {
    let env = Env::new();
    env.run(&[&["create", "x"], URL].concat()).success();
    assert_output!(env.machine(&[&["create", "x"], URL].concat()).arg0("docker-machine").run(), @r#"
    $ docker-machine create x -d none --url tcp://127.0.0.1:9
    ! error: Docker machine "x" already exists
    ! hint: `machine create x`, under our own name, finishes a half-made machine
    [exit code 1]
    "#);
    let help = env.machine(&["create", "--help"]).arg0("docker-machine").run().success();
    assert!(help.stdout.contains("Usage: docker-machine create"), "{}", help.stdout);
}

#[test]
fn several_names_are_all_tried() {
    let env = Env::new();
    env.run(&[&["create", "a", "b", "a", "c"], URL].concat()).success();
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "a\nb\nc\n");
    // One differs: the others are made all the same.
    let mixed = [&["create", "c", "d"], &["-d", "none", "--url", "tcp://127.0.0.1:10"][..]].concat();
    // Both at once: their lines come in any order.
    let said = env.run(&mixed).transcript();
    let (of_d, others): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with("! d: "));
    machine_tests::insta::assert_snapshot!([others, of_d].concat().join("\n"), @r#"
    $ machine create c d -d none --url tcp://127.0.0.1:10
    ! c: error: machine "c" already exists, with other settings
    !   caused by: url: it is tcp://127.0.0.1:9, you ask for tcp://127.0.0.1:10
    ! hint: keep its settings: machine create c; or remove it first: machine rm c
    [exit code 3]
    ! d: check-engine … done (<TIME>)
    ! d: check-driver … done (<TIME>)
    ! d: plan-machine … already so (<TIME>)
    ! d: choose-identity … done (<TIME>)
    ! d: make-keys … already so (<TIME>)
    ! d: prepare-engine … already so (<TIME>)
    ! d: create-machine … done (<TIME>)
    ! d: write-client-settings … done (<TIME>)
    ! d: ready: eval $(machine env d)
    "#);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "a\nb\nc\nd\n");
}

#[test]
fn a5_a_registry_that_is_no_host_is_no_folder_on_the_host() {
    let env = Env::new();
    env.write("ca.pem", "-----BEGIN CERTIFICATE-----\n");
    for host in ["a/../../../../etc/cron.d", "..", "", "r:port", "https://r"] {
        let value = format!("{host}=ca.pem");
        let words = ["error: invalid value '", "HOST or HOST:PORT"];
        for verb in [&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9"][..], &["set", "x"]] {
            env.run(&[verb, &["--engine-registry-ca", &value]].concat()).failure(2).says(&words);
        }
        assert_eq!(env.run(&["ls", "-q"]).success().stdout, "", "{host}");
    }
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_made() {
    let env = Env::new();
    let long = "x".repeat(64);
    let refused = [
        // With no -d it is a VM on this computer.
        &["create", "x", "--qemu-program", "/nowhere/qemu"][..],
        &["create", "x", "-d", "virtualbox", "--virtualbox-program", "/nowhere/VBoxManage"],
        &["create", "x", "-d", "virtualbox", "--virtualbox-hostonly-cidr", "192.168.99.1/24"],
        &["create", "x", "-d", "teleport"],
        &["create", "under_score", "-d", "none", "--url", "tcp://127.0.0.1:9"],
        &["create", &long, "-d", "none", "--url", "tcp://127.0.0.1:9"],
        &["create", "x", "-d", "none"],
        &["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9", "--swarm"],
        &["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9", "--engine-registry-ca", "r"],
    ]
    .map(|args| {
        let output = env.run(args).failure(3);
        assert_eq!(env.run(&["ls", "-q"]).success().stdout, "", "{args:?}");
        output
    });
    assert_outputs!(refused, @r#"
    $ machine create x --qemu-program /nowhere/qemu
    ! x: check-engine … done (<TIME>)
    ! x: check-driver … failed (<TIME>)
    ! error: cannot start /nowhere/qemu
    !   caused by: No such file or directory (os error 2)
    ! hint: install it, on Debian or Ubuntu: sudo apt-get install --no-install-recommends qemu-system-x86
    [exit code 3]
    $ machine create x -d virtualbox --virtualbox-program /nowhere/VBoxManage
    ! x: check-engine … done (<TIME>)
    ! x: check-driver … failed (<TIME>)
    ! error: cannot run /nowhere/VBoxManage
    !   caused by: No such file or directory (os error 2)
    ! hint: install it from https://www.virtualbox.org/wiki/Downloads, or name its program with --virtualbox-program
    [exit code 3]
    $ machine create x -d virtualbox --virtualbox-hostonly-cidr 192.168.99.1/24
    ! error: --virtualbox-hostonly-cidr: driver virtualbox has no host-only networks yet
    ! hint: leave it out: the VM is on VirtualBox's NAT, and reached by ports of 127.0.0.1
    [exit code 3]
    $ machine create x -d teleport
    ! error: unknown driver "teleport"
    ! hint: the drivers are qemu, virtualbox, digitalocean, azure, generic, none
    [exit code 3]
    $ machine create under_score -d none --url tcp://127.0.0.1:9
    ! error: invalid machine name "under_score": '_' is not allowed
    ! hint: use letters, digits, "-" and ".", beginning with a letter or digit, at most 63 characters
    [exit code 3]
    $ machine create xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx -d none --url tcp://127.0.0.1:9
    ! error: invalid machine name "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx": it is 64 characters long
    ! hint: use letters, digits, "-" and ".", beginning with a letter or digit, at most 63 characters
    [exit code 3]
    $ machine create x -d none
    ! error: driver none requires the --url option
    ! hint: say where the engine is, as in --url tcp://10.0.0.5:2376; to make a new host name another driver with -d
    [exit code 3]
    $ machine create x -d none --url tcp://127.0.0.1:9 --swarm
    ! error: classic Swarm is no longer a part of the engine
    ! hint: leave out the --swarm flags; `docker swarm init` works on the finished machine
    [exit code 3]
    $ machine create x -d none --url tcp://127.0.0.1:9 --engine-registry-ca r
    ! error: --engine-registry-ca "r" is not HOST=FILE
    [exit code 3]
    "#);
    assert_output!(env.run(&["create"]), @"
    $ machine create
    ! error: the following required arguments were not provided:
    !   <NAME>...
    !
    ! Usage: machine create --storage-path <DIR> <NAME>...
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["create", "x", "--url", "tcp://127.0.0.1:9"]), @"
    $ machine create x --url tcp://127.0.0.1:9
    ! error: unexpected argument '--url'
    ! hint: it is a flag of driver none: add `-d none` to use it
    [exit code 2]
    ");
    assert_output!(env.run(&["create", "x", "-d", "none", "--generic-ip-address", "h"]), @"
    $ machine create x -d none --generic-ip-address h
    ! error: unexpected argument '--generic-ip-address'
    ! hint: it is a flag of driver generic: add `-d generic` to use it
    [exit code 2]
    ");
}

#[test]
fn help_shows_the_chosen_drivers_flags_only() {
    let env = Env::new();
    let help = |args: &[&str]| env.run(&[&["create", "--help"], args].concat()).success().stdout;
    assert!(help(&["-d", "generic"]).contains("Options of driver generic"));
    assert!(help(&["-d", "generic"]).contains("--generic-ssh-host-key"));
    assert!(!help(&["-d", "none"]).contains("--generic-ip-address"));
    assert!(help(&["-dnone"]).contains("--url"));
}

#[test]
fn flags_beat_variables_beat_the_file_beats_what_is_built_in() {
    let mut env = Env::new();
    let engine = |env: &Env, name: &str| {
        let text = env.run(&["inspect", name]).success().stdout;
        serde_json::from_str::<Value>(&text).expect("JSON")["engine"].clone()
    };
    env.write(
        ".config/machine/config.yaml",
        "driver: none\ndrivers:\n  none:\n    url: tcp://127.0.0.1:7\nengine:\n  registry-mirror: http://file\n  label: [from=file, more=file]\n",
    );
    env.run(&["create", "file"]).success();
    assert_eq!(env.run(&["url", "file"]).success().stdout, "tcp://127.0.0.1:7\n");
    assert_eq!(engine(&env, "file")["registry_mirrors"], serde_json::json!(["http://file"]));
    assert_eq!(engine(&env, "file")["labels"], serde_json::json!(["from=file", "more=file"]));
    env.set("ENGINE_REGISTRY_MIRROR", "http://variable, http://second");
    env.run(&["create", "variable"]).success();
    assert_eq!(engine(&env, "variable")["registry_mirrors"], serde_json::json!(["http://variable", "http://second"]));
    env.run(&["create", "flag", "--engine-registry-mirror", "http://flag", "--engine-label", "from=flag"]).success();
    assert_eq!(engine(&env, "flag")["registry_mirrors"], serde_json::json!(["http://flag"]));
    assert_eq!(engine(&env, "flag")["labels"], serde_json::json!(["from=flag"]));
    env.set("MACHINE_DRIVER", "teleport");
    assert_output!(env.run(&["create", "other"]), @r#"
    $ machine create other
    ! error: unknown driver "teleport"
    ! hint: choose one with `-d`, MACHINE_DRIVER or `driver:` in config.yaml; the drivers are qemu, virtualbox, digitalocean, azure, generic, none
    [exit code 3]
    "#);
}

#[test]
fn a_config_file_that_is_wrong_is_refused_with_its_line() {
    let env = Env::new();
    let refused = [
        "drivr: none\n",
        "engine:\n  lable: x\n",
        "driver: none\ndrivers:\n  none:\n    ulr: x\n",
        "driver: none\ndrivers:\n  none:\n    url: [a, b]\n",
        "tls:\n  key: dsa\n",
        "a: b: c\n",
    ]
    .map(|text| {
        env.write(".config/machine/config.yaml", text);
        // Commands that need none of it go on.
        env.run(&["ls", "-q"]).success();
        env.run(&[&["create", "x"], URL].concat()).failure(2)
    });
    assert_outputs!(refused, @"
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:1: unknown field `drivr`, expected one of `driver`, `drivers`, `engine`, `tls`
    ! hint: the keys are listed in docs/config.md
    [exit code 2]
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:2: engine: unknown field `lable`, expected one of `opt`, `label`, `env`, `insecure-registry`, `registry-mirror`, `registry-ca`, `storage-driver`, `address-pool`, `host-gateway`, `bundle`
    ! hint: the keys are listed in docs/config.md
    [exit code 2]
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:4: unknown key `ulr` of driver none
    ! hint: its keys are url
    [exit code 2]
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:4: `drivers.none.url`: takes one value
    [exit code 2]
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:2: `tls.key`: invalid value 'dsa' for '--tls-key <KIND>'
    [exit code 2]
    $ machine create x -d none --url tcp://127.0.0.1:9
    ! error: <ROOT>/home/.config/machine/config.yaml:1: mapping values are not allowed in this context
    ! hint: the keys are listed in docs/config.md
    [exit code 2]
    ");
    assert_output!(env.machine(&["create", "x"])
        .env("MACHINE_CONFIG", "/nowhere/config.yaml")
        .run(), @"
    $ machine create x
    ! error: cannot read /nowhere/config.yaml
    !   caused by: No such file or directory (os error 2)
    [exit code 2]
    ");
}

#[test]
fn progress_for_programs_is_json_on_stdout_alone() {
    let env = Env::new();
    let made = env.run(&[&["create", "x", "--progress", "json"], URL].concat()).success();
    let events: Vec<Value> =
        made.stdout.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
    assert!(events.iter().all(|event| event["machine"] == "x"), "{events:?}");
    assert!(events.iter().any(|event| event["event"] == "finished" && event["outcome"] == "done"));
    assert_eq!(made.stderr, "");
    let refused =
        env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:10", "--progress", "json"]).failure(3);
    let last: Value =
        refused.stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).expect("an error document");
    assert_eq!(last["event"], "error");
    assert_eq!(last["exit_code"], 3);
    assert_eq!(last["refused"], true);
}

#[test]
fn timings_and_quiet() {
    let env = Env::new();
    assert_output!(env.run(&[&["create", "x", "--timings"], URL].concat()), @"
    $ machine create x --timings -d none --url tcp://127.0.0.1:9
    ! x: check-engine … done (<TIME>)
    ! x: check-driver … done (<TIME>)
    ! x: plan-machine … already so (<TIME>)
    ! x: choose-identity … done (<TIME>)
    ! x: make-keys … already so (<TIME>)
    ! x: prepare-engine … already so (<TIME>)
    ! x: create-machine … done (<TIME>)
    ! x: write-client-settings … done (<TIME>)
    ! x: ready: eval $(machine env x)
    ! MACHINE   STEP                    TIME   OUTCOME
    ! x         check-engine            <TIME>   done
    ! x         check-driver            <TIME>   done
    ! x         plan-machine            <TIME>   already so
    ! x         choose-identity         <TIME>   done
    ! x         make-keys               <TIME>   already so
    ! x         prepare-engine          <TIME>   already so
    ! x         create-machine          <TIME>   done
    ! x         write-client-settings   <TIME>   done
    ! x         all                     <TIME>
    ");
    let quiet = env.run(&[&["create", "y", "-q"], URL].concat()).success();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn the_store_is_private_and_nothing_is_left_elsewhere() {
    let env = Env::new();
    let seen = env.run(&[&["create", "x", "-D"], URL].concat()).success();
    assert!(!seen.stderr.contains("PRIVATE KEY"), "no key is traced");
    for folder in ["", "machines", "machines/x", "certs", "locks"] {
        let path = env.store().join(folder);
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(env.tmp()).expect("a folder").count(), 0, "nothing in the folder for temporary files");
}

#[test]
fn the_debian_mirror_of_this_computer_is_no_wish_of_the_machine() {
    let mut env = Env::new();
    env.set("MACHINE_DEBIAN_MIRROR", "http://mirror.example/debian");
    let _ = env
        .sh("printf '#!/bin/sh\\necho QEMU emulator version 10.0.2\\n' >qemu && chmod +x qemu && mkdir empty
            head -c 1M /dev/zero >disk.img && printf '\\125\\252' | dd of=disk.img bs=1 seek=510 conv=notrunc")
        .success();
    let create = ["--qemu-program", "./qemu", "--qemu-image", "./disk.img", "--engine-bundle", "dir:empty"];
    let settings = |name: &str, more: &[&str]| {
        // There is no engine in that folder: the record is there, and no VM.
        let _ = env.run(&[&["create", name], &create[..], more].concat()).failure(1);
        let record = std::fs::read(env.store().join("machines").join(name).join("machine.json")).expect("a record");
        serde_json::from_slice::<Value>(&record).expect("JSON")["driver"]["settings"].clone()
    };
    let (silent, typed) = (settings("a", &[]), settings("b", &["--qemu-debian-mirror", "http://typed.example"]));
    assert_eq!(silent.get("debian-mirror"), None, "{silent}");
    assert_eq!(typed["debian-mirror"], "http://typed.example");
}

#[test]
fn engine_options_that_no_engine_takes_are_refused_before_anything_exists() {
    let env = Env::new();
    let refused = [
        &["--engine-opt", "nonsense=1"][..],
        &["--engine-opt", "mtu=big", "--dry-run"],
        &["--engine-opt", "host=tcp://0.0.0.0:2375"],
        &["--engine-label", "team"],
    ]
    .map(|options| {
        env.run(&[&["create", "x", "-d", "generic", "--generic-ip-address", "192.0.2.1"], options].concat())
    });
    assert!(!env.store().join("machines/x").exists());
    assert_outputs!(refused, @r#"
    $ machine create x -d generic --generic-ip-address 192.0.2.1 --engine-opt nonsense=1
    ! x: check-engine … failed (<TIME>)
    ! error: engine option "nonsense=1": dockerd has no such option
    ! hint: options are dockerd's long flags without the dashes: see `dockerd --help`
    [exit code 3]
    $ machine create x -d generic --generic-ip-address 192.0.2.1 --engine-opt mtu=big --dry-run
    ! error: engine option "mtu=big": mtu needs a whole number
    ! hint: write mtu=3
    [exit code 3]
    $ machine create x -d generic --generic-ip-address 192.0.2.1 --engine-opt host=tcp://0.0.0.0:2375
    ! x: check-engine … failed (<TIME>)
    ! error: engine option "host=tcp://0.0.0.0:2375": host is set by machine itself, so that the engine is reachable over TLS only
    ! hint: leave it out; the port is chosen with the driver's --…-engine-port
    [exit code 3]
    $ machine create x -d generic --generic-ip-address 192.0.2.1 --engine-label team
    ! x: check-engine … failed (<TIME>)
    ! error: engine label "team": a label is KEY=VALUE
    ! hint: for example --engine-label region=north
    [exit code 3]
    "#);
}
