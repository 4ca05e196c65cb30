//! Logging in as OpenSSH would: whose key a host may show, and what a login shell makes of our scripts.

use machine_tests::{Env, HostOptions, Lab, LabHost, Output};

use crate::common;
use crate::refusals::{gives_up, untouched, user};

/// `HOST KEY` for a known_hosts file, the key another than the host has.
fn other_key_of(env: &Env, host: &str, kind: &str) -> (String, String) {
    let file = env.home().join(format!("other-{kind}")).display().to_string();
    env.command("ssh-keygen", &["-q", "-t", kind, "-N", "", "-f", &file]).run().success();
    let public = std::fs::read_to_string(format!("{file}.pub")).expect("just made");
    let line = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let print = env.command("ssh-keygen", &["-l", "-f", &format!("{file}.pub")]).run().success().stdout;
    (format!("{host} {line}\n"), print.split(' ').nth(1).expect("a fingerprint").to_owned())
}

#[test]
fn s1_accept_new_does_not_take_a_changed_host_key() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    let bare = ["create", "key", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    let accept_new = [&bare[..], &["--generic-ssh-host-key", "accept-new"]].concat();
    let known = env.home().join(".ssh/known_hosts").display().to_string();
    for kind in ["ed25519", "rsa"] {
        let (line, old) = other_key_of(&env, &ip, kind);
        env.write(".ssh/known_hosts", &format!("# of before\n{line}"));
        for args in [&accept_new, &bare[..]] {
            let refused = env.run(args).failure(5).says(&[
                &format!("error: the host key of {ip}:22 has changed"),
                "  caused by: your known_hosts has another key for it",
                &format!("  caused by: {known}, line 2, has {old}"),
                "  caused by: it shows SHA256:",
                &format!("ssh-keygen -f '{known}' -R '{ip}'"),
            ]);
            assert!(!refused.stderr.contains("machine set"), "there is no such machine yet:\n{refused}");
            gives_up(&env, "key", &refused);
        }
    }
    // The hint mends it; and who says which key it is has looked.
    let (line, _) = other_key_of(&env, &ip, "ecdsa");
    env.write(".ssh/known_hosts", &line);
    host.exec("printf '#!/bin/sh\\necho 0\\n' >/usr/local/bin/date; chmod +x /usr/local/bin/date").success();
    let named = [&bare[..], &["--generic-ssh-host-key", &seen]].concat();
    gives_up(&env, "key", &env.run(&named).failure(1).says(&["error: the host's clock is "]));
    env.sh(&format!("ssh-keygen -f '{known}' -R '{ip}'")).success();
    gives_up(&env, "key", &env.run(&accept_new).failure(1).says(&["error: the host's clock is "]));

    // What is revoked nobody vouches for.
    env.write(".ssh/known_hosts", &format!("@revoked * {}\n", host.host_key()));
    for args in [&accept_new, &named] {
        let refused = env.run(args).failure(5);
        let refused =
            refused.says(&[&format!("error: the host key of {ip}:22 is marked @revoked in your known_hosts")]);
        gives_up(&env, "key", &refused);
    }
    untouched(&host);
}

#[test]
fn s16_a_start_up_file_that_starts_another_shell_is_named_and_runs_nothing() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    let bare = ["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    let create = |user| env.run(&[&bare[..], &["--generic-ssh-host-key", &seen, "--generic-ssh-user", user]].concat());
    for (user, home) in [("root", "/root"), ("admin", "/home/admin")] {
        for first_line in [
            "exec bash",
            "exec sh -i",
            "exec sh -c 'while read -r line; do eval \"$line\"; done'",
            "read -r line",
            "head -c 5 >/dev/null",
            "exec perl",
            "exec cat",
        ] {
            let write = format!(
                "cp -n {home}/.bashrc {home}/kept; {{ cat <<'EOF'\n{first_line}\nEOF\ncat {home}/kept; }} >{home}/.bashrc"
            );
            host.exec(&write).success();
            let refused = create(user).failure(1).says(&[
                &format!("error: {user}@{ip}:22 did not run our script"),
                "hint: look for what ",
                "~/.bashrc of bash",
            ]);
            gives_up(&env, "web-1", &refused);
            assert_eq!(host.exec("ls -d /opt/machine /etc/docker 2>/dev/null").stdout, "", "{first_line}");
        }
        host.exec(&format!("mv {home}/kept {home}/.bashrc")).success();
    }
    // What only talks is in nobody's way.
    host.exec("sed -i '1i echo hello; echo sudo: hello >&2' /home/admin/.bashrc").success();
    create("admin").success();
    assert_eq!(host.exec("ls -d /opt/machine/owner").success().stdout, "/opt/machine/owner\n");
}

/// `create` up to the first script; nothing of it stays.
fn log_in(env: &Env, host: &LabHost, user: &str, transport: &str) -> Output {
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    let mut args = vec!["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    args.extend(["--generic-ssh-host-key", &seen, "--generic-ssh-user", user, "--generic-ssh-transport", transport]);
    let output = env.run(&args);
    gives_up(env, "web-1", &output);
    output
}

#[test]
fn s13_a_host_that_lets_nobody_in_says_why_at_once() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    host.exec("echo 'closed until noon' >/run/nologin").success();
    for transport in ["auto", "openssh"] {
        let refused = log_in(&env, &host, "admin", transport).failure(5);
        assert!(!refused.stderr.contains("waited"), "no waiting mends it:\n{refused}");
        refused.says(&[&format!("error: admin@{}:22 refused the login", host.ip()), "  caused by: closed until noon"]);
    }
    untouched(&host);
}

#[test]
fn s15_why_sudo_runs_nothing_is_named() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    let all = "admin ALL=(ALL) NOPASSWD: ALL";
    for (rules, words, hint) in [
        (format!("{all}\nDefaults:admin secure_path=/nowhere"), "has a sudo that does not find sh", "secure_path"),
        (format!("{all}\nDefaults:admin noexec"), "may start no programs with sudo", "NOEXEC"),
        (
            "admin ALL=(ALL) NOPASSWD: /usr/bin/id".to_owned(),
            "cannot use sudo without a password",
            "after what sudoers says",
        ),
        (format!("{all}\nDefaults:admin requiretty"), "may use sudo on a terminal only", "!requiretty"),
    ] {
        // Debian's own rules for the users of the lab are put away.
        let write = format!(
            "rm -f /etc/sudoers.d/*; gpasswd -d admin sudo 2>/dev/null; printf '{rules}\\n' >/etc/sudoers.d/lab; \
             chmod 0440 /etc/sudoers.d/lab; visudo -c -q"
        );
        host.exec(&write).success();
        for transport in ["auto", "openssh"] {
            let refused = log_in(&env, &host, "admin", transport).failure(5);
            refused.says(&[&format!("error: user admin on admin@{}:22 {words}", host.ip()), "hint: ", hint]);
        }
    }
    untouched(&host);
}

#[test]
fn s19_a_host_that_carries_no_connections_is_named_at_once() {
    let Some(lab) = Lab::open() else { return };
    let mut host = lab.host(HostOptions::default());
    host.drop_port(2376);
    host.exec("echo 'AllowTcpForwarding no' >/etc/ssh/sshd_config.d/aaa.conf; systemctl reload ssh").success();
    let env = common::env(&lab);
    let refused = common::create(&env, "web-1", &host, &[]).run().failure(5);
    assert!(!refused.stderr.contains("waited"), "no waiting mends it:\n{refused}");
    refused.says(&[
        &format!("error: the engine runs, but {}:2376 is not reachable from here, and no tunnel", host.ip()),
        "its sshd forbids connections through it",
        "AllowTcpForwarding yes (or local) in the host's sshd_config",
    ]);
    // The hint mends it, and the same command goes on.
    host.exec("rm /etc/ssh/sshd_config.d/aaa.conf; systemctl reload ssh").success();
    env.run(&["create", "web-1"]).success();
    assert!(env.run(&["url", "web-1"]).success().stdout.starts_with("tcp://127.0.0.1:"));
    env.run(&["rm", "-y", "web-1"]).success();
}
