//! `machine share` where no VM is needed: what it refuses, and its list.

use machine_tests::{Env, assert_output, assert_outputs};
use serde_json::json;

use crate::record;

#[test]
fn a_driver_without_folders_says_so() {
    let env = Env::new();
    env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    let refused = [&["share", "x"][..], &["share", "x", ".:/src"], &["share", "x", "--remove", "/src"]];
    assert_outputs!(refused.map(|args| env.run(args)), @"
    $ machine share x
    ! error: driver none shares no folders of this computer
    ! hint: copy them: machine scp -r FOLDER x:
    [exit code 2]
    $ machine share x .:/src
    ! error: driver none shares no folders of this computer
    ! hint: copy them: machine scp -r FOLDER x:
    [exit code 2]
    $ machine share x --remove /src
    ! error: driver none shares no folders of this computer
    ! hint: copy them: machine scp -r FOLDER x:
    [exit code 2]
    ");
    assert_output!(env.run(&["share", "y"]), @r#"
    $ machine share y
    ! error: machine "y" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
    assert_output!(env.run(&["share", "x", "/src"]), @r#"
    $ machine share x /src
    ! error: invalid value '/src' for '[FOLDER:FOLDER-IN-VM[:ro]]': invalid share "/src": give FOLDER:FOLDER-IN-VM, with :ro behind it for reading only
    !
    ! For more information, try '--help'.
    [exit code 2]
    "#);
    assert_output!(env.run(&["share", "x", ".:/src", "--remove", "/src"]), @"
    $ machine share x .:/src --remove /src
    ! error: the argument '[FOLDER:FOLDER-IN-VM[:ro]]' cannot be used with '--remove <FOLDER-IN-VM>'
    !
    ! Usage: machine share --storage-path <DIR> <NAME> <FOLDER:FOLDER-IN-VM[:ro]>
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
}

#[test]
fn what_cannot_be_shared_is_refused_and_what_is_is_listed() {
    let env = Env::new();
    let settings = json!({
        "memory": 2048, "cpu-count": 1, "disk-size": 20480, "network": "user", "accel": "auto", "ssh-user": "root",
        "share": ["/srv:/data:ro"],
    });
    let vm = json!({"name": "qemu", "settings": settings, "machine": {}});
    record::put(&env, &record::with(record::running("dev"), &json!({"driver": vm})));
    assert_output!(env.run(&["share", "dev"]), @"
    $ machine share dev
    /srv:/data:ro
    ");
    assert_output!(env.run(&["share", "dev", "nowhere:/src"]), @"
    $ machine share dev nowhere:/src
    ! error: there is no folder <ROOT>/home/nowhere
    ! hint: make it, or share another
    [exit code 2]
    ");
    assert_output!(env.run(&["share", "dev", ".:/data"]), @"
    $ machine share dev .:/data
    ! error: /srv is shared at /data already
    ! hint: remove that first: machine share dev --remove /data
    [exit code 2]
    ");
    assert_output!(env.run(&["share", "dev", "--remove", "/src"]), @r#"
    $ machine share dev --remove /src
    ! error: nothing is shared at /src in "dev"
    ! hint: `machine share dev` lists what is
    [exit code 4]
    "#);
    assert_output!(env.run(&["share", "dev", ".:/src"]), @r#"
    $ machine share dev .:/src
    ! error: "dev" does not run
    ! hint: start it first: machine start dev
    [exit code 1]
    "#);
    assert_eq!(env.run(&["share", "dev"]).success().stdout, "/srv:/data:ro\n", "nothing was kept");
}
