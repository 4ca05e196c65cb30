//! What the built-in client leaves to the user's own ssh: keys that never leave their token, with SoftHSM for the token, and
//! tickets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use machine_tests::{Agent, Env, Sshd, skipped};

use crate::ssh_login::{by, fingerprint, key, log_in, refused, user};

const CONFIG: [&str; 1] = ["--generic-use-ssh-config"];
const PIN: &str = "1234";

/// SoftHSM's module, by which OpenSSH finds a token.
fn module() -> Option<PathBuf> {
    let folders = ["/usr/lib/softhsm", "/usr/lib64/softhsm", "/usr/local/lib/softhsm"];
    let found = folders.iter().map(|folder| Path::new(folder).join("libsofthsm2.so")).find(|path| path.exists());
    if found.is_none() {
        skipped("SoftHSM is not here; ./check installs it");
    }
    found
}

/// Puts a key into a new token and takes it away from where it was; its public half stays.
fn into_a_token(env: &mut Env, key: &Path) {
    let tokens = env.home().join("tokens");
    std::fs::create_dir(&tokens).expect("a folder of our own");
    let config =
        env.write("softhsm2.conf", &format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()));
    env.set("SOFTHSM2_CONF", &config);
    let key = key.display().to_string();
    env.command("ssh-keygen", &["-q", "-p", "-m", "PKCS8", "-N", "", "-f", &key]).run().success();
    let hsm = |args: &[&str]| {
        let always = ["--so-pin", "12345678", "--pin", PIN];
        env.command("softhsm2-util", &[args, &always].concat()).run().success()
    };
    hsm(&["--init-token", "--free", "--label", "machine"]);
    hsm(&["--import", &key, "--token", "machine", "--label", "own", "--id", "01"]);
    std::fs::remove_file(&key).expect("our own key");
}

#[test]
fn s11_a_key_in_a_token_opens_the_host_and_its_pin_is_the_agents_to_ask_for() {
    let (Some(module), Some(sshd)) = (module(), Sshd::start("")) else { return };
    let mut env = user(&sshd);
    let own = key(&env, "own", "rsa");
    sshd.take(&own);
    into_a_token(&mut env, &own);
    let config = format!("Host web\n  HostName {}\n  User root\n  PKCS11Provider {}\n", sshd.ip(), module.display());
    env.write(".ssh/config", &config);

    // Nobody is asked for anything by an ssh of ours, and the refusal says who is.
    let asked = log_in(&env, "web", "auto", &CONFIG);
    let words =
        ["held back: a key in a token, which wants its PIN", "hint: open the token in your agent", "ssh-add -s"];
    refused(asked, &words);

    let config = env.home().join("softhsm2.conf");
    let agent = Agent::apart_with(&env, "agent", &[("SOFTHSM2_CONF", &config)]);
    env.set("SSH_AUTH_SOCK", agent.socket());
    let asker = env.write("ask", &format!("#!/bin/sh\necho {PIN}\n"));
    std::fs::set_permissions(&asker, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    let add = env.command("ssh-add", &["-s", &module.display().to_string()]);
    add.env("SSH_ASKPASS", &asker).env("SSH_ASKPASS_REQUIRE", "force").run().success();
    let output = log_in(&env, "web", "auto", &CONFIG);
    by(&output, &env, &own);
    assert!(output.stderr.contains("PKCS11Provider"), "by OpenSSH, and that is said:\n{output}");
    assert!(output.stderr.contains(&fingerprint(&env, &own)));
}

#[test]
fn s11_a_ticket_is_a_reason_for_the_users_own_ssh() {
    let Some(sshd) = Sshd::start("") else { return };
    let env = user(&sshd);
    let own = key(&env, ".ssh/id_ed25519", "ed25519");
    sshd.take(&own);
    env.write(".ssh/config", &format!("Host web\n  HostName {}\n  User root\n  GSSAPIAuthentication yes\n", sshd.ip()));
    let klist = env.write("bin/klist", "#!/bin/sh\nexit 1\n");
    std::fs::set_permissions(&klist, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    let output = log_in(&env, "web", "auto", &CONFIG);
    by(&output, &env, &own);
    assert!(!output.stderr.contains("your own ssh connects"), "without a ticket there is nothing to do:\n{output}");
    env.write("bin/klist", "#!/bin/sh\nexit 0\n");
    let output = log_in(&env, "web", "auto", &CONFIG);
    by(&output, &env, &own);
    output.says(&["your own ssh connects, because the built-in client does not do GSSAPIAuthentication"]);
}
