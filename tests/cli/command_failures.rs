//! What each command says of a machine that is not there or cannot be read, and of words that it does not know.

use machine_tests::{Env, assert_output, assert_outputs};
use serde_json::json;

use crate::record;

#[test]
fn a_name_that_is_not_there_is_an_error_of_its_own() {
    let env = Env::new();
    let commands = [
        "config",
        "env",
        "forward",
        "inspect",
        "ip",
        "kill",
        "provision",
        "restart",
        "rm",
        "set",
        "share",
        "ssh",
        "start",
        "status",
        "stop",
        "upgrade",
        "url",
        "version",
    ];
    let with_flags = |command: &'static str| match command {
        "env" => vec![command, "nobody", "--shell", "sh"],
        "rm" => vec![command, "-y", "nobody"],
        "set" => vec![command, "nobody", "--engine-label", "a=b"],
        _ => vec![command, "nobody"],
    };
    assert_outputs!(commands.map(|command| env.run(&with_flags(command))), @r#"
    $ machine config nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine env nobody --shell sh
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine forward nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine inspect nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine ip nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine kill nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine provision nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine restart nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine rm -y nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine set nobody --engine-label a=b
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine share nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine ssh nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 255]
    $ machine start nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine status nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine stop nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine upgrade nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine url nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine version nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
}

#[test]
fn a_record_that_cannot_be_read_is_said_by_each_command() {
    let env = Env::new();
    record::put_text(&env, "broken", "{ not JSON");
    record::put(&env, &record::with(record::running("newer"), &json!({"version": 2})));
    let seen = [
        &["ls", "--no-probe"][..],
        &["inspect", "broken"],
        &["ip", "broken"],
        &["start", "broken"],
        &["rm", "-y", "broken"],
        &["ip", "newer"],
        &["rm", "-f", "broken"],
    ];
    assert_outputs!(seen.map(|args| env.run(args)), @"
    $ machine ls --no-probe
    NAME     ACTIVE   DRIVER      STATE     URL                   DOCKER    ERRORS
    broken   -        not found   Error                                     <ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3
    newer    -        generic     Running   tcp://10.0.0.7:2376   v26.1.5
    $ machine inspect broken
    ! error: <ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3
    ! hint: put the file right or bring it back from a backup; `machine rm -f broken` removes the machine here, but cannot delete what a provider keeps for it
    [exit code 1]
    $ machine ip broken
    ! error: <ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3
    ! hint: put the file right or bring it back from a backup; `machine rm -f broken` removes the machine here, but cannot delete what a provider keeps for it
    [exit code 1]
    $ machine start broken
    ! error: <ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3
    ! hint: put the file right or bring it back from a backup; `machine rm -f broken` removes the machine here, but cannot delete what a provider keeps for it
    [exit code 1]
    $ machine rm -y broken
    ! error: <ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3
    ! hint: put the file right or bring it back from a backup; `machine rm -f broken` removes the machine here, but cannot delete what a provider keeps for it
    [exit code 1]
    $ machine ip newer
    10.0.0.7
    $ machine rm -f broken
    ! broken: may be left behind: whatever the unreadable record named (<ROOT>/store/machines/broken/machine.json is damaged: key must be a string at line 1 column 3)
    ! broken: removed
    ");
}

#[test]
fn what_is_typed_wrong_shows_how_it_is_typed() {
    let env = Env::new();
    let refused = [
        &["completions", "klingon"][..],
        &["credentials", "rm", "nothing"],
        &["credentials", "test", "env:NOT_SET"],
        &["doctor", "-d", "vmware"],
        &["help", "frobnicate"],
        &["image", "rm", "nothing"],
        &["bundle", "rm", "nothing"],
        &["ls", "--filter", "colour=red"],
        &["active"],
    ];
    assert_outputs!(refused.map(|args| env.run(args)), @r#"
    $ machine completions klingon
    ! error: invalid value 'klingon' for '<SHELL>'
    !   [possible values: bash, elvish, fish, powershell, zsh]
    !
    ! For more information, try '--help'.
    [exit code 2]
    $ machine credentials rm nothing
    ! nothing: error: cannot remove "nothing": the Secret Service: zbus error: Failed to connect to address `unix:path=<ROOT>/run/bus`: No such file or directory (os error 2)
    ! hint: `machine credentials rm -f` takes it off the list all the same
    [exit code 5]
    $ machine credentials test env:NOT_SET
    ! env:NOT_SET: error: cannot read env:NOT_SET: the variable is not set
    ! hint: set NOT_SET
    [exit code 5]
    $ machine doctor -d vmware
    ! error: unknown driver "vmware"
    ! hint: the drivers are qemu, virtualbox, digitalocean, azure, generic, none
    [exit code 2]
    $ machine help frobnicate
    ! error: unrecognized subcommand 'frobnicate'
    !
    ! Usage: machine [OPTIONS] <COMMAND>
    !
    ! For more information, try '--help'.
    [exit code 2]
    $ machine image rm nothing
    ! error: no image "nothing" is kept here
    ! hint: `machine image ls` lists them; a file is named with a slash, as in ./disk.qcow2
    [exit code 4]
    $ machine bundle rm nothing
    ! error: no bundle "nothing" in the cache
    ! hint: `machine bundle ls` lists them, `machine bundle build` makes one
    [exit code 4]
    $ machine ls --filter colour=red
    ! error: unsupported filter key 'colour'
    ! hint: the keys are name, driver, state and label
    [exit code 2]
    $ machine active
    ! error: no active machine found
    !   caused by: DOCKER_HOST is not set
    ! hint: `eval $(machine env NAME)` makes one active in this shell
    [exit code 1]
    "#);
    assert_output!(env.run(&["completions", "fish"]), @r#"
    $ machine completions fish
    complete --keep-order --exclusive --command machine --arguments "(COMPLETE=fish machine -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
    "#);
    assert_output!(env.run(&["help", "url"]), @r#"
    $ machine help url
    Print the URL of a machine's engine

    Usage: machine url [OPTIONS] [NAME]

    Arguments:
      [NAME]
              Machine [default: the one called "default"]

    Options:
      -h, --help
              Print help (see a summary with '-h')

    Global options:
      -s, --storage-path <DIR>
              Folder that holds the records of machines [default: `machine` in the data folder]

              [env: MACHINE_STORAGE_PATH]

      -D, --debug
              Print what is done, in detail, on standard error; no secrets [env: MACHINE_DEBUG=1]

          --tls-ca-cert <FILE>
              CA certificate, for a CA of your own

              [env: MACHINE_TLS_CA_CERT]

          --tls-ca-key <FILE>
              Key of that CA

              [env: MACHINE_TLS_CA_KEY]

          --tls-client-cert <FILE>
              Client certificate of that CA

              [env: MACHINE_TLS_CLIENT_CERT]

          --tls-client-key <FILE>
              Key of that certificate

              [env: MACHINE_TLS_CLIENT_KEY]
    "#);
}
