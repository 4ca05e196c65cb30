//! The whole way over the user's own OpenSSH: what it carries, and that nothing of it stays.

use std::time::Duration;

use machine_tests::{Env, HostOptions, Lab, LabHost, until};

use crate::common;

/// Processes of this user's ssh that this computer has.
fn ssh_processes(env: &Env) -> String {
    // Brackets, so that it does not find itself.
    env.sh("grep -al \"$XDG_RUNTIME_DIR/machine/ss[h]-\" /proc/[0-9]*/cmdline 2>/dev/null; true").success().stdout
}

/// Waits until no connection is left, by process and by folder.
#[track_caller]
pub(crate) fn nothing_left(env: &Env) {
    until("the user's ssh to be gone", Duration::from_secs(20), || {
        let folders = env.sh("ls -d $XDG_RUNTIME_DIR/machine/ssh-* 2>/dev/null; true").success().stdout;
        let left = ssh_processes(env) + &folders;
        if left.is_empty() { Ok(()) } else { Err(left) }
    });
}

/// A host behind another, both known by the user's ssh config alone, with words in it that the built-in client does not do.
fn behind(env: &mut Env, jump: &LabHost, host: &LabHost) {
    env.be_account();
    let key = host.key().display().to_string();
    let config = format!(
        "Host gate\n  HostName {}\n  User admin\n  IdentityFile {key}\nHost web\n  HostName {}\n  User admin\n  \
         IdentityFile {key}\n  ProxyJump gate\n  HostKeyAlias web\n  ForwardAgent yes\n",
        jump.ip(),
        host.ip()
    );
    env.write(".ssh/config", &config);
    env.write(".ssh/known_hosts", &format!("{} {}\nweb {}\n", jump.ip(), jump.host_key(), host.host_key()));
}

#[test]
fn everything_goes_over_the_users_own_ssh() {
    let Some(lab) = Lab::open() else { return };
    let (mut host, jump) = (lab.host(HostOptions::default()), lab.host(HostOptions::default()));
    host.drop_from_here();
    let mut env = common::env(&lab);
    behind(&mut env, &jump, &host);
    let create = ["create", "web-1", "-d", "generic", "--generic-ip-address", "web", "--generic-use-ssh-config"];

    // Killed while it uploads, no ssh of its own outlives it, and the next one goes on.
    let killed = env.machine(&create).deadline(Duration::from_secs(600)).run_killed_at("upload-engine");
    killed.says(&["your own ssh connects, because the built-in client does not do HostKeyAlias"]);
    nothing_left(&env);
    env.machine(&create).deadline(Duration::from_secs(600)).run().success();

    // The engine's port comes over it, too.
    let name = host.exec("hostname").success().stdout;
    assert!(env.run(&["url", "web-1"]).success().stdout.starts_with("tcp://127.0.0.1:"));
    for way in ["eval $(machine env web-1) && docker", "docker $(machine config web-1)", "docker --context web-1"] {
        assert_eq!(env.sh(&format!("{way} info -f '{{{{.Name}}}}'")).success().stdout, name, "{way}");
    }
    // The machine's own ssh_config alone leads there as well.
    assert_eq!(env.run(&["ssh", "web-1", "hostname"]).success().stdout, name);
    let again = env.run(&["provision", "web-1"]).success();
    assert!(!again.stderr.contains("your own ssh connects"), "said once:\n{again}");
    env.run(&["rm", "-y", "--uninstall", "web-1"]).success();
    nothing_left(&env);
    assert_eq!(host.exec("ls -d /opt/machine 2>/dev/null").stdout, "", "something stays on the host");
}
