//! The user's ssh config: what it says is done, by the built-in client or by their own ssh, and never dropped.

use machine_tests::{Agent, Env, Sshd};

use crate::ssh_login::{TRANSPORTS, by, key, log_in, refused, user};

#[test]
fn s11_what_the_built_in_client_does_not_do_is_done_by_the_users_own_ssh() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    let own = key(&env, "own", "ed25519");
    sshd.take(&own);
    let agent = Agent::apart(&env, "apart");
    agent.open(&env, &own);
    let (ip, known) = (sshd.ip(), sshd.known());
    let named = env.write("known", &known);
    env.write("way", &format!("#!/bin/sh\nexec python3 -c '{PIPE}' {ip} 22\n"));
    let way = env.home().join("way");
    let config = |host: &str, more: &str| {
        let file = format!("Host web\n  HostName {host}\n  User root\n  {more}\n");
        env.write(".ssh/config", &file);
    };
    let identity = format!("IdentityFile {}", own.display());
    for (why, host, more, known_hosts) in [
        // Nobody is at the address itself.
        (
            "ProxyCommand",
            "127.0.0.9",
            format!("ProxyCommand sh {}\n  HostKeyAlias {ip}\n  {identity}", way.display()),
            &known,
        ),
        ("IdentityAgent", &ip, format!("IdentityAgent {}", agent.socket().display()), &known),
        ("UserKnownHostsFile", &ip, format!("UserKnownHostsFile {}\n  {identity}", named.display()), &String::new()),
        ("Match exec", &ip, format!("{identity}\nMatch exec true\n  ServerAliveInterval 7"), &known),
        ("Compression", &ip, format!("{identity}\n  Compression yes"), &known),
        ("IdentityFile with tokens", &ip, "IdentityFile %d/own".to_owned(), &known),
    ] {
        config(host, &more);
        env.write(".ssh/known_hosts", known_hosts);
        let output = log_in(&env, "web", "auto", &["--generic-use-ssh-config"]);
        by(&output, &env, &own);
        let said = output.stderr.lines().find(|line| line.contains("your own ssh connects")).unwrap_or_default();
        assert!(said.contains(why), "{why}: {output}");
    }
    // What both do alike is no reason.
    config(
        &ip,
        &format!(
            "{identity}\n  ServerAliveInterval 7\n  ForwardAgent yes\n  LocalForward 9999 localhost:1\n  SendEnv X"
        ),
    );
    let output = log_in(&env, "web", "auto", &["--generic-use-ssh-config"]);
    by(&output, &env, &own);
    assert!(!output.stderr.contains("your own ssh connects"), "{output}");
    // A config that ssh does not understand is nobody's.
    config(&ip, "Nonsense yes");
    let refused = log_in(&env, "web", "auto", &["--generic-use-ssh-config"]);
    assert_ne!(refused.code, 0);
    refused.says(&["error: ssh does not understand 'web'", "Bad configuration option: nonsense"]);
}

/// Carries standard input and output to a host and port, as a ProxyCommand does.
const PIPE: &str = r#"import socket, sys, os, threading
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while b := os.read(0, 65536):
        s.sendall(b)
threading.Thread(target=up, daemon=True).start()
while b := s.recv(65536):
    os.write(1, b)
"#;

#[test]
fn s11_without_an_ssh_program_nothing_is_guessed() {
    let env = Env::new();
    let key = key(&env, "own", "ed25519").display().to_string();
    let alone = |more: &[&str]| {
        let to = ["create", "web-1", "-d", "generic", "--generic-ip-address", "127.0.0.9", "--generic-ssh-key", &key];
        let output = env.machine(&[&to, more].concat()).env("PATH", env.home().join("bin")).run();
        env.run(&["rm", "-y", "-f", "web-1"]).success();
        output.failure(1)
    };
    let program = "there is no ssh program to look '";
    alone(&["--generic-use-ssh-config"]).says(&[program, "hint: install OpenSSH's client"]);
    alone(&["--generic-jump-host", "gate"]).says(&[program]);
}

#[test]
fn s12_any_chain_of_hosts_leads_to_the_host() {
    // Each takes connections from the one before it alone, by what it noted.
    let start = || Sshd::start("");
    let (Some(gate), Some(inner), Some(host)) = (start(), start(), start()) else { return };
    let env = user(&host);
    let own = key(&env, ".ssh/id_ed25519", "ed25519");
    for sshd in [&gate, &inner, &host] {
        sshd.take(&own);
    }
    env.write(".ssh/known_hosts", &[gate.known(), inner.known(), host.known()].concat());
    let (gate_ip, inner_ip) = (gate.ip(), inner.ip());
    let came_by = |sshd: &Sshd| sshd.log().matches("Accepted publickey").count();
    let by_way = |more: &[&str], to: &str| {
        for transport in TRANSPORTS {
            let before = [came_by(&gate), came_by(&inner), came_by(&host)];
            let output = log_in(&env, to, transport, more);
            by(&output, &env, &own);
            let after = [came_by(&gate), came_by(&inner), came_by(&host)];
            assert!(after.iter().zip(before).all(|(after, before)| *after > before), "{before:?} {after:?} {output}");
        }
    };
    // Two on the command line.
    by_way(&["--generic-jump-host", &format!("root@{gate_ip},{inner_ip}:22")], &host.ip());
    // A jump host that needs one itself, known by their names in the config.
    let config = format!(
        "Host gate\n  HostName {gate_ip}\n  User root\nHost inner\n  HostName {inner_ip}\n  ProxyJump gate\n\
         Host web\n  HostName {}\n  ProxyJump inner\nHost both\n  HostName {}\n  ProxyJump gate,inner\n",
        host.ip(),
        host.ip()
    );
    env.write(".ssh/config", &config);
    by_way(&["--generic-jump-host", "inner"], &host.ip());
    by_way(&["--generic-use-ssh-config"], "web");
    by_way(&["--generic-use-ssh-config"], "both");
    // One in between whose key nobody knows is refused, by its name.
    env.write(".ssh/known_hosts", &[gate.known(), host.known()].concat());
    refused(
        log_in(&env, "web", "auto", &["--generic-use-ssh-config"]),
        &[&format!("error: the host key of {inner_ip}:22 is not known"), "so that your known_hosts has its key"],
    );
    refused(log_in(&env, "web", "openssh", &["--generic-use-ssh-config"]), &["so that their keys are known"]);
    // A way that leads back to itself ends.
    env.write(".ssh/config", "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n");
    let round = log_in(&env, &host.ip(), "auto", &["--generic-jump-host", "a"]);
    assert_ne!(round.code, 0);
    round.says(&["leads through more than 8 hosts", "hint: does a ProxyJump"]);
}
