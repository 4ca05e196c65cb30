//! Commands that hand over to the user's own programs: what those are told, and that their exit code comes back. Stand-ins on
//! the PATH write down their arguments; the real programs are used in `e2e`.

use std::os::unix::fs::PermissionsExt as _;

use machine_tests::{Env, assert_output};
use serde_json::json;

use crate::record;

/// Two machines, and stand-ins that print their arguments, one a line, and end with 7.
fn with_programs() -> Env {
    let env = Env::new();
    for name in ["web-1", "web-2"] {
        let dir = record::put(&env, &record::running(name));
        let config = format!("Host {name}\n");
        std::fs::File::create(dir.join("ssh_config"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, config.as_bytes()))
            .expect("a file of our own");
    }
    for program in ["ssh", "scp", "rsync", "sshfs", "fusermount3"] {
        // A configuration that lives only as long as the program is shown whole.
        let script =
            "#!/bin/sh\nfor word; do echo \"$word\"; done\ncase $2 in */scp-*) grep ^Host \"$2\";; esac\nexit 7\n";
        let path = env.write(&format!("bin/{program}"), script);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    }
    env
}

fn told(env: &Env, args: &[&str]) -> Vec<String> {
    env.run(args).failure(7).stdout.lines().map(str::to_owned).collect()
}

#[test]
fn ssh_gets_the_machines_config_and_everything_after_the_name() {
    let env = with_programs();
    let config = env.store().join("machines/web-1/ssh_config").display().to_string();
    assert_eq!(told(&env, &["ssh", "web-1"]), ["-F", &config, "web-1"]);
    assert_eq!(told(&env, &["ssh", "web-1", "-C", "echo", "a b"]), ["-F", &config, "web-1", "-C", "echo", "a b"]);
    assert_eq!(told(&env, &["ssh", "web-1", "--", "ls", "--help"]), ["-F", &config, "web-1", "--", "ls", "--help"]);
    assert_eq!(told(&env, &["ssh", "web-1", "-h"]), ["-F", &config, "web-1", "-h"]);
    assert!(env.run(&["ssh", "-h"]).success().stdout.contains("Usage: machine ssh"));
    record::put(&env, &record::with(record::running("web-1"), &json!({"power": "stopped"})));
    assert_output!(env.run(&["ssh", "web-1"]), @r#"
    $ machine ssh web-1
    ! error: machine "web-1" is stopped
    ! hint: `machine start web-1` starts it
    [exit code 255]
    "#);
}

#[test]
fn scp_and_rsync_get_both_ends_in_order() {
    let env = with_programs();
    let config = env.store().join("machines/web-1/ssh_config").display().to_string();
    assert_eq!(told(&env, &["scp", "web-1:/src", "-r", "/dest"]), ["-F", &config, "-r", "--", "web-1:/src", "/dest"]);
    assert_eq!(told(&env, &["scp", "-q", "./a:b", "root@web-1:"]).last().map(String::as_str), Some("root@web-1:"));
    let rsync = told(&env, &["scp", "-d", "-r", "./x", "web-1:y"]);
    assert_eq!(rsync, ["-e", &format!("ssh -F {config}"), "--progress", "-r", "--", "./x", "web-1:y"]);
    assert_output!(env.run(&["scp", "-d", "web-1:a", "web-2:b"]), @"
    $ machine scp -d web-1:a web-2:b
    ! error: rsync cannot copy from one machine to another
    ! hint: leave out `--delta`
    [exit code 2]
    ");
    assert_output!(env.run(&["scp", "a", "nobody:b"]), @r#"
    $ machine scp a nobody:b
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    "#);
}

#[test]
fn between_two_machines_one_config_has_both_and_goes_away() {
    let env = with_programs();
    let seen = told(&env, &["scp", "web-1:a", "web-2:b"]);
    assert_eq!((seen[0].as_str(), &seen[2..5]), ("-F", ["-3", "--", "web-1:a"].map(str::to_owned).as_slice()));
    assert_eq!(seen[6..], ["Host web-1", "Host web-2"]);
    assert!(!std::path::Path::new(&seen[1]).exists(), "{} stays", seen[1]);
}

#[test]
fn mount_gets_the_folder_there_and_here() {
    let env = with_programs();
    let config = env.store().join("machines/web-1/ssh_config").display().to_string();
    assert_eq!(told(&env, &["mount", "web-1:/srv", "./srv"]), ["-F", &config, "web-1:/srv", "./srv"]);
    assert_eq!(told(&env, &["mount", "-u", "web-1:/srv", "./srv"]), ["-u", "./srv"]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut env = with_programs();
    env.set("PATH", env.home().join("nothing"));
    assert_output!(env.run(&["scp", "a", "web-1:b"]), @"
    $ machine scp a web-1:b
    ! error: the program scp is not on the PATH, and `machine scp` needs it
    ! hint: install scp on this computer
    [exit code 1]
    ");
    assert_output!(env.run(&["mount", "web-1:/srv"]), @"
    $ machine mount web-1:/srv
    ! error: the program sshfs is not on the PATH, and `machine mount` needs it
    ! hint: install sshfs on this computer
    [exit code 1]
    ");
}
