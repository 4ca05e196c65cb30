//! Whose host key is right: what the user's known_hosts says counts as with OpenSSH, over both transports.

use machine_tests::{Env, Sshd};

use crate::ssh_login::{TRANSPORTS, by, key, keygen, log_in, refused, user};

#[test]
fn s3_a_host_key_that_an_authority_signed_is_verified() {
    let prepared = Env::new();
    let ca = key(&prepared, "ca", "ed25519");
    let started = Sshd::start_with(22, "HostCertificate DIR/host-cert.pub", |dir, address| {
        let (ca, host) = (ca.display(), dir.join("host.pub"));
        let sign = format!("ssh-keygen -q -s {ca} -I host -h -n web,gate,{address} {}", host.display());
        prepared.sh(&sign).success();
    });
    let Some(sshd) = started else { return };
    let env = user(&sshd);
    let own = key(&env, "own", "ed25519");
    let authority = std::fs::read_to_string(ca.with_extension("pub")).unwrap();
    let known = |text: String| env.write(".ssh/known_hosts", &text);
    let name = own.display().to_string();
    let login = |sshd: &Sshd, host: &str, transport: &str| {
        sshd.take(&own);
        env.write(".ssh/config", &format!("Host web\n  HostName {}\n  HostKeyAlias web\n", sshd.ip()));
        log_in(&env, host, transport, &["--generic-ssh-key", &name, "--generic-use-ssh-config"])
    };
    // By an alias, for which the certificate is. HostKeyAlias is OpenSSH's.
    known(format!("@cert-authority web {authority}"));
    by(&login(&sshd, "web", "auto"), &env, &own);

    let stranger = std::fs::read_to_string(key(&env, "stranger", "ed25519").with_extension("pub")).unwrap();
    for transport in TRANSPORTS {
        for names in ["*", &sshd.ip()] {
            known(format!("@cert-authority {names} {authority}"));
            by(&login(&sshd, &sshd.ip(), transport), &env, &own);
        }
        // By nobody's authority, by the key alone, for other hosts.
        known(format!("@cert-authority * {stranger}"));
        refused(login(&sshd, &sshd.ip(), transport), &["is not known", "  caused by: it shows SHA256:"]);
        known(sshd.known());
        by(&login(&sshd, &sshd.ip(), transport), &env, &own);
        known(format!("@cert-authority 192.0.2.1 {authority}"));
        refused(login(&sshd, &sshd.ip(), transport), &["is not known"]);
    }
}

#[test]
fn s4_the_plain_name_vouches_for_another_port() {
    let Some(sshd) = Sshd::start_at(2200, "") else { return };
    let env = user(&sshd);
    let own = key(&env, "own", "ed25519");
    sshd.take(&own);
    let login = |transport| {
        let key = own.display().to_string();
        log_in(&env, &sshd.ip(), transport, &["--generic-ssh-key", &key, "--generic-ssh-port", "2200"])
    };
    let stranger = std::fs::read_to_string(key(&env, "stranger", "ed25519").with_extension("pub")).unwrap();
    for transport in TRANSPORTS {
        env.write(".ssh/known_hosts", &format!("{} {}\n", sshd.ip(), sshd.host_key()));
        by(&login(transport), &env, &own);
        // Another key of the plain name says nothing against it; one of its own name does.
        env.write(".ssh/known_hosts", &format!("{} {stranger}", sshd.ip()));
        refused(login(transport), &[&format!("error: the host key of {}:2200 is not known", sshd.ip())]);
        env.write(".ssh/known_hosts", &format!("[{}]:2200 {stranger}", sshd.ip()));
        refused(login(transport), &[&format!("error: the host key of {}:2200 has changed", sshd.ip())]);
    }
}

#[test]
fn s2_every_form_of_sshd_8_is_read() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    let own = key(&env, "own", "ed25519");
    sshd.take(&own);
    let (ip, host_key) = (sshd.ip(), sshd.host_key());
    let login = |transport| log_in(&env, &ip, transport, &["--generic-ssh-key", &own.display().to_string()]);
    let known = env.home().join(".ssh/known_hosts").display().to_string();
    let knows: [(&str, String); 4] = [
        ("patterns", format!("127.0.0.1,127.* {host_key}\n")),
        ("marks", format!("# 127.*\n\n@unheard-of 127.* {host_key}\n127.?*.* {host_key} a comment\n")),
        ("another kind beside it", format!("{ip} ssh-unheard-of AAAA\n{ip} {host_key}\n")),
        ("hashed", sshd.known()),
    ];
    let denies: [(&str, String, &str); 3] = [
        ("negated", format!("127.*,!{ip} {host_key}\n"), "is not known"),
        ("revoked", format!("{ip} {host_key}\n@revoked * {host_key}\n"), "is marked @revoked"),
        ("of another", format!("127.0.0.1 {host_key}\n"), "is not known"),
    ];
    for transport in TRANSPORTS {
        for (what, text) in &knows {
            env.write(".ssh/known_hosts", text);
            if *what == "hashed" {
                keygen(&env, &["-q", "-H", "-f", &known]);
            }
            by(&login(transport), &env, &own);
        }
        for (_, text, word) in &denies {
            env.write(".ssh/known_hosts", text);
            refused(login(transport), &[word]);
        }
    }
}

#[test]
fn s1_a_changed_key_is_refused_with_any_policy() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    let own = key(&env, "own", "ed25519");
    sshd.take(&own);
    let stranger = std::fs::read_to_string(key(&env, "stranger", "ed25519").with_extension("pub")).unwrap();
    let name = own.display().to_string();
    // Elsewhere than we would look: only OpenSSH knows.
    let elsewhere = env.write("elsewhere", &format!("{} {stranger}", sshd.ip()));
    env.write(
        ".ssh/config",
        &format!("Host *\n  UserKnownHostsFile {}\n  StrictHostKeyChecking no\n", elsewhere.display()),
    );
    env.write(".ssh/known_hosts", "");
    for more in [&["--generic-ssh-host-key", "accept-new"][..], &[]] {
        let more = [&["--generic-ssh-key", &name, "--generic-use-ssh-config"], more].concat();
        let said = log_in(&env, &sshd.ip(), "auto", &more);
        for not in ["logged in", "machine set"] {
            assert!(!said.stderr.contains(not), "{not}: {said}");
        }
        refused(said, &["has changed", "the known_hosts files of your ssh config have another key for it", "hint: if"]);
    }
    // Unknown to all of them: what the user says of it counts, and is pinned.
    env.write("elsewhere", "");
    let accept = ["--generic-ssh-key", &name, "--generic-use-ssh-config", "--generic-ssh-host-key", "accept-new"];
    let said = log_in(&env, &sshd.ip(), "auto", &accept);
    by(&said, &env, &own);
    said.says(&["your ssh config switches the check of host keys off; here it stays on"]);
    refused(log_in(&env, &sshd.ip(), "openssh", &["--generic-ssh-key", &name]), &["is not known"]);
    // A fingerprint names one key, whatever known_hosts has.
    let print = env.command("ssh-keygen", &["-lf", &sshd.folder().join("host.pub").display().to_string()]).run();
    let print = print.success().stdout.split(' ').nth(1).expect("a fingerprint").to_owned();
    env.write(".ssh/known_hosts", &format!("{} {stranger}", sshd.ip()));
    for transport in TRANSPORTS {
        let named = ["--generic-ssh-key", &name, "--generic-ssh-host-key", &print];
        by(&log_in(&env, &sshd.ip(), transport, &named), &env, &own);
        let other = "SHA256:uNiVztksCsDhcc0u9e8BrJQXVUpKZIDTMCzCvj3tD2s";
        env.write(".ssh/known_hosts", &sshd.known());
        let wrong = ["--generic-ssh-key", &name, "--generic-ssh-host-key", other];
        refused(log_in(&env, &sshd.ip(), transport, &wrong), &["is not the one you gave"]);
        env.write(".ssh/known_hosts", &format!("{} {stranger}", sshd.ip()));
    }
}
