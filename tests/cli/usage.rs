//! Command lines that cannot be used, and their exit codes.

use machine_tests::{Env, assert_output, assert_outputs};

use crate::record;

#[test]
fn what_is_typed_wrong_is_2() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    assert_output!(env.run(&["frobnicate"]), @"
    $ machine frobnicate
    ! error: unrecognized subcommand 'frobnicate'
    !
    ! Usage: machine [OPTIONS] <COMMAND>
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["ls", "--bogus"]), @"
    $ machine ls --bogus
    ! error: unexpected argument '--bogus' found
    !
    ! Usage: machine ls [OPTIONS]
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["url", "a", "b"]), @"
    $ machine url a b
    ! error: unexpected argument 'b' found
    !
    ! Usage: machine url [OPTIONS] [NAME]
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["url", "under_score"]), @r#"
    $ machine url under_score
    ! error: invalid machine name "under_score": '_' is not allowed
    ! hint: use letters, digits, "-" and ".", beginning with a letter or digit, at most 63 characters
    [exit code 2]
    "#);
    assert_output!(env.run(&["env", "-u", "web-1"]), @"
    $ machine env -u web-1
    ! error: the argument '--unset' cannot be used with '[NAME]'
    !
    ! Usage: machine env --unset --storage-path <DIR> [NAME]
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["set", "web-1"]), @"
    $ machine set web-1
    ! error: nothing to set
    ! hint: `machine set --help` lists the options
    [exit code 2]
    ");
    assert_output!(env.run(&["create", "x", "--engine-address-pool", "10.0.0.0/8"]), @"
    $ machine create x --engine-address-pool 10.0.0.0/8
    ! error: invalid value '10.0.0.0/8' for '--engine-address-pool <base=NET,size=BITS>': write it as base=10.10.0.0/16,size=24
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["scp", "a", "b"]), @"
    $ machine scp a b
    ! error: neither side is a machine
    ! hint: write NAME:PATH for a file on a machine
    [exit code 2]
    ");
    assert_output!(env.run(&["bundle", "build", "tape:x"]), @r#"
    $ machine bundle build tape:x
    ! error: bundle source "tape:x": not a kind of source
    ! hint: write debian[:suite], docker[:suite], tgz:PATH, tgz:URL or dir:PATH
    [exit code 2]
    "#);
}

#[test]
fn help_and_version_are_data() {
    let env = Env::new();
    for args in [&["--help"][..], &["help"], &["help", "create"], &["create", "--help"], &[]] {
        let seen = env.run(args).success();
        assert!(seen.stdout.contains("Usage:"), "{args:?}");
        assert_eq!(seen.stderr, "", "{args:?}");
    }
    let version = env.run(&["version"]).success().stdout;
    assert!(version.starts_with("machine version "), "{version}");
    for flag in ["-v", "--version", "-V"] {
        assert!(env.run(&[flag]).success().stdout.starts_with("machine "), "{flag}");
    }
}

#[test]
fn flags_may_follow_names_and_globals_may_follow_commands() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    let store = env.store().display().to_string();
    assert_eq!(env.run(&["url", "web-1", "-s", &store]).success().stdout, "tcp://10.0.0.7:2376\n");
    assert_eq!(env.run(&["--native-ssh", "-s", &store, "url", "web-1"]).success().stdout, "tcp://10.0.0.7:2376\n");
    assert!(env.run(&["env", "web-1", "--shell", "sh"]).success().stdout.contains("DOCKER_HOST"));
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let mut env = Env::new();
    env.set("MACHINE_PROGRESS", "");
    env.set("MACHINE_STORAGE_PATH", "");
    env.run(&["ls", "-q"]).success();
    env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    assert!(env.home().join(".local/share/machine/machines/x").exists(), "the data folder is used");
}

#[test]
fn rm_asks_a_person_or_needs_to_be_told() {
    let env = Env::new();
    env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    assert_output!(env.run(&["rm"]), @"
    $ machine rm
    ! error: the following required arguments were not provided:
    !   <NAME>...
    !
    ! Usage: machine rm --storage-path <DIR> <NAME>...
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
    assert_output!(env.run(&["rm", "x"]), @"
    $ machine rm x
    ! error: cannot ask for confirmation to remove x: not a terminal
    ! hint: `-y` removes without asking
    [exit code 2]
    ");
    env.run(&["ls", "-q"]).success();
    // Each is on its own.
    assert_output!(env.run(&["rm", "-y", "x", "nobody"]), @r#"
    $ machine rm -y x nobody
    ! nobody: error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    ! x: check-credentials … already so (<TIME>)
    ! x: mark-removing … done (<TIME>)
    ! x: stop-watcher … already so (<TIME>)
    ! x: forget-host … done (<TIME>)
    ! x: delete-record … done (<TIME>)
    ! x: removed
    [exit code 4]
    "#);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "");
    assert_output!(env.run(&["rm", "-y", "x"]), @r#"
    $ machine rm -y x
    ! error: machine "x" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
    assert_output!(env.run(&["rm", "-f", "x"]), @r#"
    $ machine rm -f x
    ! x: machine "x" does not exist
    "#);
}

#[test]
fn ssh_fails_with_255_for_reasons_of_its_own() {
    let env = Env::new();
    assert_output!(env.run(&["ssh", "nobody", "true"]), @r#"
    $ machine ssh nobody true
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 255]
    "#);
    env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:1"]).success();
    assert_output!(env.run(&["ssh", "x", "true"]), @r#"
    $ machine ssh x true
    ! error: machine "x" has no SSH address
    ! hint: `machine create x` finishes a half-made machine; a machine of driver none has no SSH
    [exit code 255]
    "#);
}

#[test]
fn regenerate_certs_asks_a_person_or_needs_to_be_told() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    assert_output!(env.run(&["regenerate-certs", "web-1"]), @"
    $ machine regenerate-certs web-1
    ! error: cannot ask for confirmation to renew certificates: not a terminal
    ! hint: `-f` renews them without asking
    [exit code 2]
    ");
}

#[test]
fn completions_know_commands_and_machines() {
    let env = Env::new();
    record::put(&env, &record::running("web-1"));
    record::put(&env, &record::running("web-2"));
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(!env.run(&["completions", shell]).success().stdout.is_empty(), "{shell}");
        assert!(env.run(&["completions", shell, "--static"]).success().stdout.contains("regenerate-certs"), "{shell}");
    }
    let complete = |words: &[&str], index: &str| {
        let args: Vec<&str> = ["--", "machine"].iter().chain(words).copied().collect();
        let cmd = env.machine(&args).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("_CLAP_IFS", "\n");
        cmd.run().success().stdout
    };
    assert_eq!(complete(&["ssh", "web"], "2"), "web-1\nweb-2");
    assert!(complete(&["regen"], "1").contains("regenerate-certs"));
}

#[test]
fn l16_what_is_not_there_yet_says_what_does_its_work() {
    let env = Env::new();
    assert_outputs!([&["rename", "a", "b"][..], &["snapshot", "a"], &["logs", "a"]].map(|args| env.run(args)), @"
    $ machine rename a b
    ! error: there is no `rename` yet
    ! hint: create a machine under the new name and remove the old one; images move with `docker save` and `docker load`
    [exit code 2]
    $ machine snapshot a
    ! error: there is no `snapshot` yet
    ! hint: keep what matters in images (`docker commit`, `docker save`), or stop the machine and copy its disk
    [exit code 2]
    $ machine logs a
    ! error: there is no `logs` yet
    ! hint: the engine's: machine ssh NAME sudo journalctl -u docker; containers': docker logs
    [exit code 2]
    ");
}
