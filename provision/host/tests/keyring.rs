//! The library on a real Secret Service: a session bus of its own, GNOME's keyring on it, and this program beside them.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test program: helpers panic, too")]

use std::path::Path;
use std::process::Command;

use machine_base::skipped;
use machine_host::secrets::{Access, Given, Keeper, Stored, store_secret};
use machine_host::{CredentialName, Credentials, Secret, Store};

const ROLE: &str = "MACHINE_HOST_TEST_ROLE";
const STORE: &str = "MACHINE_HOST_TEST_STORE";

/// Waits for the keyring by asking the bus for it, then becomes the program given.
const DESKTOP: &str = r#"
printf 'a password' | gnome-keyring-daemon --unlock --components=secrets >/dev/null || exit 9
exec "$@"
"#;

fn has(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(program).is_file())
}

/// Runs [`child`] in a role, with a home of its own; on a desktop or without one.
fn run(role: &str, desktop: bool) {
    let home = tempfile::tempdir().unwrap();
    let this = std::env::current_exe().unwrap();
    let mut command = if desktop {
        let mut command = Command::new("dbus-run-session");
        command.args(["--", "sh", "-c", DESKTOP, "sh"]).arg(this);
        command
    } else {
        Command::new(this)
    };
    let seen = command
        .args(["child", "--exact", "--nocapture"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env(ROLE, role)
        .env(STORE, home.path().join("store"))
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&seen.stdout), String::from_utf8_lossy(&seen.stderr));
    assert!(seen.status.success() && text.contains("1 passed"), "{role}:\n{text}");
}

fn name(text: &str) -> CredentialName {
    text.parse().unwrap()
}

fn flag(credentials: &Credentials, token: &str) -> Stored {
    let given = Given::Flag(Secret::new(token));
    store_secret(given, &name("digitalocean"), credentials, &access(), Path::new("/"), None).unwrap()
}

/// As a script has it, but with time for a busy computer.
fn access() -> Access {
    Access { deadline: std::time::Duration::from_secs(30), ..Access::quiet() }
}

fn reference(stored: Stored) -> String {
    match stored {
        Stored::Reference(reference) => reference.to_string(),
        other @ Stored::ThisRunOnly { .. } => panic!("{other:?}"),
    }
}

/// What the children do.
#[test]
fn child() {
    let (Ok(role), Ok(root)) = (std::env::var(ROLE), std::env::var(STORE)) else { return };
    let store = Store::open_or_create(root).unwrap();
    let credentials = Credentials::new(store.paths());
    match role.as_str() {
        "flags" => {
            assert_eq!(credentials.probe(&access()).unwrap(), "the Secret Service");
            // Each token under a name of its own; one that is kept already under the name it has.
            assert_eq!(reference(flag(&credentials, "first")), "keyring:digitalocean");
            assert_eq!(reference(flag(&credentials, "second")), "keyring:digitalocean-2");
            assert_eq!(reference(flag(&credentials, "first\n")), "keyring:digitalocean");
            assert_eq!(credentials.get(&name("digitalocean"), &access()).unwrap().expose(), "first");
            assert_eq!(credentials.get(&name("digitalocean-2"), &access()).unwrap().expose(), "second");
            // Another store of the same user finds it, without a list.
            let other = Credentials::new(&machine_host::StorePaths::new("/no/such/store"));
            assert_eq!(other.get(&name("digitalocean"), &access()).unwrap().expose(), "first");
            // One that moves leaves no copy behind.
            let access = access().with_passphrase(std::sync::Arc::new(|_| Ok(Some(Secret::new("horse")))));
            credentials.set(&name("digitalocean"), &Secret::new("third"), Keeper::File, &access).unwrap();
            assert!(other.get(&name("digitalocean"), &access).is_err());
            assert_eq!(credentials.get(&name("digitalocean"), &access).unwrap().expose(), "third");
            // On a thread that belongs to a tokio runtime, where the library by itself would panic.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let inside = runtime.block_on(async { credentials.get(&name("digitalocean-2"), &access) });
            assert_eq!(inside.unwrap().expose(), "second");
            assert!(credentials.remove(&name("digitalocean-2"), &access).unwrap());
            assert!(!credentials.remove(&name("digitalocean-2"), &access).unwrap());
        }
        "no-desktop" => match flag(&credentials, "dop_v1_5ecre7") {
            Stored::ThisRunOnly { secret, why, hint } => {
                assert_eq!(secret.expose(), "dop_v1_5ecre7");
                assert!(why.starts_with("cannot read keyring:digitalocean: the Secret Service: "), "{why}");
                assert!(!why.contains("5ecre7") && hint.contains("--keep-in file"), "{why} {hint}");
                assert_eq!(credentials.list().unwrap(), []);
            }
            other @ Stored::Reference(_) => panic!("{other:?}"),
        },
        other => panic!("no role {other}"),
    }
}

#[test]
fn flags_go_into_the_keyring_each_token_under_its_own_name() {
    if !has("dbus-run-session") || !has("gnome-keyring-daemon") {
        skipped("needs dbus-run-session and gnome-keyring-daemon");
        return;
    }
    run("flags", true);
}

#[test]
fn without_a_keyring_a_flag_serves_this_run() {
    run("no-desktop", false);
}
