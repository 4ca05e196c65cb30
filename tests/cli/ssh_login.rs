//! Which keys open a host, and what a refusal says: as with OpenSSH, against a real sshd, over both transports.

use std::path::{Path, PathBuf};

use machine_tests::{Agent, Env, Output, Sshd};

/// How `create` is told who connects.
pub(crate) const TRANSPORTS: [&str; 2] = ["auto", "openssh"];

/// A user whose home is that of the account, too, and who knows this host.
pub(crate) fn user(sshd: &Sshd) -> Env {
    let mut env = Env::new();
    env.be_account();
    env.write(".ssh/known_hosts", &sshd.known());
    env
}

/// A key pair below the home folder.
pub(crate) fn key(env: &Env, name: &str, kind: &str) -> PathBuf {
    let path = env.home().join(name);
    let text = path.display().to_string();
    let bits: &[&str] = if kind == "rsa" { &["-b", "2048"] } else { &[] };
    let args = [&["-q", "-t", kind, "-N", "", "-C", name, "-f", &text], bits].concat();
    env.command("ssh-keygen", &args).run().success();
    path
}

/// Runs ssh-keygen.
pub(crate) fn keygen(env: &Env, args: &[&str]) {
    env.command("ssh-keygen", args).run().success();
}

/// The fingerprint of a key.
pub(crate) fn fingerprint(env: &Env, key: &Path) -> String {
    let print = env.command("ssh-keygen", &["-lf", &format!("{}.pub", key.display())]).run().success().stdout;
    print.split(' ').nth(1).expect("a fingerprint").to_owned()
}

/// `create` up to the host, which never gets further than a greeting; nothing stays of it.
pub(crate) fn log_in(env: &Env, host: &str, transport: &str, more: &[&str]) -> Output {
    let to = ["create", "web-1", "-d", "generic", "--generic-ip-address", host, "--generic-ssh-transport", transport];
    let output = env.run(&[&to, more].concat());
    std::fs::remove_dir_all(env.store()).expect("it has been made");
    assert_eq!(std::fs::read_dir(env.tmp()).expect("our own folder").count(), 0, "files in TMPDIR");
    let sockets = std::fs::read_dir(env.tmp().with_file_name("run").join("machine"));
    let left = sockets
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    assert_eq!(left.filter(|name| name.starts_with("ssh-")).collect::<Vec<_>>(), Vec::<String>::new(), "left behind");
    output
}

/// Asserts that this key, and no other, opened the host.
#[track_caller]
pub(crate) fn by(output: &Output, env: &Env, key: &Path) {
    let wanted = format!("logged in as root by {}", fingerprint(env, key));
    assert!(output.stderr.contains(&wanted), "should have said {wanted:?}:\n{output}");
}

/// Asserts a final refusal: nothing was waited for.
#[track_caller]
pub(crate) fn refused(output: Output, texts: &[&str]) {
    assert!(!output.stderr.contains("waited"), "no waiting mends it:\n{output}");
    output.failure(5).says(texts);
}

#[test]
fn s5_a_key_with_a_passphrase_is_known_by_its_public_half_inside() {
    let Some(sshd) = Sshd::start("") else { return };
    let mut env = user(&sshd);
    let agent = Agent::start(&mut env);
    let key = key(&env, "locked", "ed25519");
    sshd.take(&key);
    let print = fingerprint(&env, &key);
    let name = key.display().to_string();
    let before = log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]);
    by(&before, &env, &key);
    agent.open(&env, &key);
    keygen(&env, &["-q", "-p", "-N", "secret", "-f", &name]);
    std::fs::remove_file(key.with_extension("pub")).unwrap();
    for transport in TRANSPORTS {
        let output = log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &name]);
        output.says(&[&format!("logged in as root by {print}")]);
    }
    drop(agent);
    let closed = log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]).failure(5);
    closed.says(&[&format!("error: SSH key {name} has a passphrase"), &format!("ssh-add {name}")]);
}

#[test]
fn s6_s7_all_identity_files_of_the_config_are_offered() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    // S6: no IdentityFile; the first default key is not the one.
    key(&env, ".ssh/id_rsa", "rsa");
    let right = key(&env, ".ssh/id_ed25519", "ed25519");
    sshd.take(&right);
    for transport in TRANSPORTS {
        by(&log_in(&env, &sshd.ip(), transport, &["--generic-use-ssh-config"]), &env, &right);
        by(&log_in(&env, &sshd.ip(), transport, &[]), &env, &right);
    }
    // S7: of two, the second.
    let (first, second) = (key(&env, "first", "ed25519"), key(&env, "second.of.two", "ed25519"));
    sshd.take(&second);
    let config = format!(
        "Host web\n  HostName {}\n  User root\n  IdentityFile {}\n  IdentityFile {}\n",
        sshd.ip(),
        first.display(),
        second.display()
    );
    env.write(".ssh/config", &config);
    for transport in TRANSPORTS {
        let output = log_in(&env, "web", transport, &["--generic-use-ssh-config"]);
        by(&output, &env, &second);
    }
}

#[test]
fn s8_s9_no_key_is_offered_twice_and_none_of_the_agents_is_left_out() {
    let Some(sshd) = Sshd::start("MaxAuthTries 6") else { return };
    let mut env = user(&sshd);
    let agent = Agent::start(&mut env);
    for kind in ["rsa", "ecdsa", "ed25519"] {
        agent.open(&env, &key(&env, &format!(".ssh/id_{kind}"), kind));
    }
    for name in ["one", "two"] {
        agent.open(&env, &key(&env, name, "ed25519"));
    }
    // The sixth offer of six, the doubles not counted.
    let right = key(&env, "right", "ed25519");
    agent.open(&env, &right);
    sshd.take(&right);
    for transport in TRANSPORTS {
        for more in [&[][..], &["--generic-use-ssh-config"]] {
            by(&log_in(&env, &sshd.ip(), transport, more), &env, &right);
        }
    }
    // One more before it, and the server hangs up.
    let last = key(&env, "last", "ed25519");
    agent.open(&env, &last);
    sshd.take(&last);
    let here = format!("error: root@{}:22 refused the login", sshd.ip());
    for transport in TRANSPORTS {
        refused(
            log_in(&env, &sshd.ip(), transport, &[]),
            &[&here, "  caused by: Too many authentication failures", "offered: ", "id_rsa", "--generic-ssh-key"],
        );
    }
    let told = log_in(&env, &sshd.ip(), "auto", &[]);
    told.says(&[&format!("not offered any more: agent key {} (last)", fingerprint(&env, &last))]);
    // As with ssh: a key of the agent's that a file names is offered alone.
    by(&log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &last.display().to_string()]), &env, &last);
}

#[test]
fn s10_certificates_are_offered_and_come_first() {
    let prepared = Env::new();
    let ca = key(&prepared, "ca", "ed25519");
    let public = std::fs::read_to_string(ca.with_extension("pub")).unwrap();
    let Some(sshd) = Sshd::start_with(22, "TrustedUserCAKeys DIR/ca.pub\nMaxAuthTries 2", |dir, _| {
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(dir.join("ca.pub"), public).unwrap();
    }) else {
        return;
    };
    let mut env = user(&sshd);
    let sign = |key: &Path| {
        keygen(
            &env,
            &["-q", "-s", &ca.display().to_string(), "-I", "me", "-n", "root", &format!("{}.pub", key.display())],
        );
    };
    for kind in ["ed25519", "rsa"] {
        let own = key(&env, &format!("own-{kind}"), kind);
        sign(&own);
        for transport in TRANSPORTS {
            let output = log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &own.display().to_string()]);
            by(&output, &env, &own);
        }
    }
    // In the agent, behind two keys that the server does not know.
    let stranger = key(&env, "stranger", "ed25519");
    let held = key(&env, "held", "ed25519");
    sign(&held);
    let agent = Agent::start(&mut env);
    for key in [&stranger, &held] {
        agent.open(&env, key);
    }
    let output = log_in(&env, &sshd.ip(), "auto", &[]);
    by(&output, &env, &held);
    // The agent has the key alone, the certificate is a file: the agent signs.
    keygen(&env, &["-q", "-p", "-N", "secret", "-f", &held.display().to_string()]);
    for transport in TRANSPORTS {
        let output = log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &held.display().to_string()]);
        by(&output, &env, &held);
    }
}

#[test]
fn s14_what_a_server_still_wants_is_named() {
    let Some(sshd) = Sshd::start("AuthenticationMethods publickey,password\nPasswordAuthentication yes") else {
        return;
    };
    let env = user(&sshd);
    let key = key(&env, "key", "ed25519");
    sshd.take(&key);
    let name = key.display().to_string();
    for transport in TRANSPORTS {
        refused(
            log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &name]),
            &[
                &format!("error: root@{}:22 refused the login", sshd.ip()),
                &format!("  caused by: it took {name}"),
                "but wants more than a key: password",
                "hint: let a key be enough for root: AuthenticationMethods publickey",
            ],
        );
    }
    let Some(sshd) = Sshd::start("PubkeyAuthentication no\nPasswordAuthentication yes") else { return };
    env.write(".ssh/known_hosts", &sshd.known());
    for transport in TRANSPORTS {
        refused(
            log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &name]),
            &["  caused by: it takes no keys, only: ", "password", "hint: let keys in: PubkeyAuthentication yes"],
        );
    }
    let Some(sshd) = Sshd::start("PubkeyAcceptedAlgorithms rsa-sha2-512") else { return };
    env.write(".ssh/known_hosts", &sshd.known());
    sshd.take(&key);
    refused(
        log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]),
        &[&format!("  caused by: offered: {name}"), "PubkeyAcceptedAlgorithms"],
    );
}

#[test]
fn s13_a_server_with_nothing_in_common_or_no_way_in_is_refused_at_once() {
    let Some(sshd) = Sshd::start("KexAlgorithms sntrup761x25519-sha512@openssh.com") else { return };
    let env = user(&sshd);
    let key = key(&env, "key", "ed25519");
    sshd.take(&key);
    let name = key.display().to_string();
    refused(
        log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]),
        &[
            &format!("error: {}:22 has no way of exchanging keys in common with us", sshd.ip()),
            "  caused by: it offers sntrup761x25519-sha512@openssh.com",
            "hint: your own ssh may have one: add --generic-ssh-transport openssh",
        ],
    );
    // It has.
    by(&log_in(&env, &sshd.ip(), "openssh", &["--generic-ssh-key", &name]), &env, &key);

    env.write(".ssh/config", &format!("Host web\n  HostName {}\n  KexAlgorithms curve25519-sha256\n", sshd.ip()));
    refused(
        log_in(&env, "web", "auto", &["--generic-use-ssh-config", "--generic-ssh-key", &name]),
        &["has no key exchange method in common with us", "it offers sntrup761x25519-sha512@openssh.com"],
    );

    let Some(sshd) = Sshd::start("PubkeyAuthentication no\nKbdInteractiveAuthentication no") else { return };
    env.write(".ssh/known_hosts", &sshd.known());
    for transport in TRANSPORTS {
        refused(log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &name]), &["  caused by: it takes nothing"]);
    }
}

#[test]
fn s17_a_key_with_windows_line_ends_is_refused_as_ssh_would() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    let key = key(&env, ".ssh/id_ed25519", "ed25519");
    sshd.take(&key);
    let text = std::fs::read_to_string(&key).unwrap().replace('\n', "\r\n");
    env.write(".ssh/id_ed25519", &text);
    let name = key.display().to_string();
    let named = log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]);
    named.failure(3).says(&["has Windows line ends, and OpenSSH would not read it", "hint: sed -i 's/\\r$//' "]);
    refused(
        log_in(&env, &sshd.ip(), "auto", &[]),
        &[&format!("held back: {name} has Windows line ends, which OpenSSH does not read")],
    );
    env.sh(&format!("sed -i 's/\\r$//' {name}")).success();
    by(&log_in(&env, &sshd.ip(), "auto", &["--generic-ssh-key", &name]), &env, &key);
}
