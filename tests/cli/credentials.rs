//! Credentials: a real Secret Service on a bus of its own, the encrypted file, and what must never be seen.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use machine_tests::{Env, Running, assert_output, holding, until};
use serde_json::json;

use crate::record;

/// Looked for byte by byte in everything that is left.
const TOKEN: &str = "dop_v1_5ecre7-4nd-l0ng-en0ugh-t0-be-unique";
const PASSWORD: &str = "the password of the keyring";

/// A session bus, and GNOME's Secret Service on it.
pub(crate) struct Desktop {
    keyring: Option<Running>,
    _bus: Running,
}

impl Desktop {
    /// Starts both, the keyring unlocked.
    pub(crate) fn start(env: &mut Env) -> Self {
        let bus = env.command("dbus-daemon", &["--session", "--nofork", "--print-address=1"]).spawn();
        let address = until("the session bus says its address", Duration::from_secs(20), || {
            let said = bus.stdout();
            said.ends_with('\n').then(|| said.trim().to_owned()).ok_or(said)
        });
        env.set("DBUS_SESSION_BUS_ADDRESS", &address);
        let mut desktop = Self { keyring: None, _bus: bus };
        desktop.unlock(env);
        desktop
    }

    /// Starts the keyring anew, unlocked.
    fn unlock(&mut self, env: &Env) {
        self.keyring(env, &["--unlock"]);
        let mut started = Instant::now();
        until("the keyring is unlocked", Duration::from_secs(60), || {
            let seen = env.run(&["credentials", "test"]);
            if seen.code == 0 {
                return Ok(());
            }
            // It was started before the bus had forgotten the last one: then it never unlocks.
            if started.elapsed() > Duration::from_secs(10) {
                self.keyring(env, &["--unlock"]);
                started = Instant::now();
            }
            Err(seen.stderr)
        });
    }

    /// Starts the keyring anew.
    fn keyring(&mut self, env: &Env, args: &[&str]) {
        if let Some(before) = self.keyring.take() {
            let _ = before.kill();
        }
        let args = [&["--foreground", "--components=secrets"], args].concat();
        self.keyring = Some(env.command("gnome-keyring-daemon", &args).stdin(PASSWORD).spawn());
    }
}

/// The folder that holds everything of this user's.
fn everything(env: &Env) -> PathBuf {
    env.home().parent().expect("the home lies in the test's folder").to_owned()
}

#[test]
fn a_secret_service_keeps_a_token_and_nothing_else_has_it() {
    let mut env = Env::new();
    let mut desktop = Desktop::start(&mut env);

    let set = env.machine(&["credentials", "set", "digitalocean"]).stdin(format!("{TOKEN}\n")).run().success();
    assert_eq!(
        (set.stdout.as_str(), set.stderr.as_str()),
        ("keyring:digitalocean\n", "digitalocean: kept in the Secret Service\n")
    );
    let all = env.run(&["credentials", "test"]).success();
    let length = TOKEN.len();
    assert_eq!(
        all.stderr,
        format!("the Secret Service: works\nkeyring:digitalocean: can be read ({length} characters)\n")
    );
    // It is really there: another program of the desktop's finds it.
    let other = env.sh("dbus-send --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
         org.freedesktop.Secret.Service.SearchItems dict:string:string:service,machine,username,digitalocean");
    assert!(other.success().stdout.contains("/org/freedesktop/secrets/collection/login/"));

    // Set again: the same reference, another token.
    env.machine(&["credentials", "set", "digitalocean"]).stdin("rotated").run().success();
    assert_output!(env.run(&["credentials", "test", "digitalocean"]), @"
    $ machine credentials test digitalocean
    ! keyring:digitalocean: can be read (7 characters)
    ");
    env.machine(&["credentials", "set", "digitalocean"]).stdin(TOKEN).run().success();

    let listed = env.run(&["credentials", "ls"]).success().stdout;
    assert!(listed.starts_with("NAME") && listed.contains("digitalocean   the Secret Service"), "{listed}");
    assert_eq!(env.run(&["credentials", "ls", "-q"]).success().stdout, "digitalocean\n");

    assert_eq!(holding(&everything(&env), TOKEN), Vec::<PathBuf>::new());

    // Locked, and nobody is there to unlock it: said at once, not asked.
    desktop.keyring(&env, &[]);
    let locked = until("the keyring is back, locked", Duration::from_secs(30), || {
        let seen = env.run(&["credentials", "test", "digitalocean"]);
        seen.stderr.contains("locked").then_some(seen.clone()).ok_or(seen.stderr)
    });
    assert_output!(locked, @"
    $ machine credentials test digitalocean
    ! keyring:digitalocean: error: cannot read keyring:digitalocean: the Secret Service: the keyring is locked, and this run cannot ask to unlock it
    ! hint: unlock your keyring
    [exit code 5]
    ");
    assert!(locked.took < Duration::from_secs(10), "{locked}");
    let write = env.machine(&["credentials", "set", "other"]).stdin(TOKEN).run();
    assert_output!(write, @r#"
    $ machine credentials set other
    ! error: cannot keep "other": the Secret Service: the keyring is locked, and this run cannot ask to unlock it
    ! hint: unlock your keyring
    [exit code 5]
    "#);
    assert!(write.took < Duration::from_secs(10) && !write.stderr.contains(TOKEN), "{write}");

    desktop.unlock(&env);
    assert_output!(env.run(&["credentials", "rm", "digitalocean"]), @"
    $ machine credentials rm digitalocean
    ! digitalocean: removed
    ");
    assert_output!(env.run(&["credentials", "test", "digitalocean"]), @"
    $ machine credentials test digitalocean
    ! keyring:digitalocean: error: cannot read keyring:digitalocean: there is no such credential
    ! hint: `machine credentials set digitalocean` keeps one; `machine credentials ls` lists them
    [exit code 5]
    ");
    assert_output!(env.run(&["credentials", "rm", "digitalocean"]), @r#"
    $ machine credentials rm digitalocean
    ! digitalocean: error: there is no credential "digitalocean"
    ! hint: `machine credentials ls` lists them
    [exit code 4]
    "#);
    env.run(&["credentials", "rm", "-f", "digitalocean"]).success();
    assert_eq!(env.run(&["credentials", "ls", "-q"]).success().stdout, "");
}

#[test]
fn without_a_bus_it_says_what_else_there_is() {
    let env = Env::new();
    let seen = env.machine(&["credentials", "set", "digitalocean"]).stdin(TOKEN).run();
    assert_output!(seen, @r#"
    $ machine credentials set digitalocean
    ! error: cannot keep "digitalocean": the Secret Service: zbus error: Failed to connect to address `unix:path=<ROOT>/run/bus`: No such file or directory (os error 2)
    ! hint: where no keyring works: `machine credentials set --keep-in file NAME` keeps it in an encrypted file; or refer to it by env:VAR, file:PATH or command:PROGRAM…
    [exit code 5]
    "#);
    assert!(!seen.stderr.contains(TOKEN) && seen.took < Duration::from_secs(10), "{seen}");
    assert_eq!(env.run(&["credentials", "ls", "-q"]).success().stdout, "");
    assert_output!(env.run(&["credentials", "test"]), @"
    $ machine credentials test
    ! keyring: error: cannot use the keyring: the Secret Service: zbus error: Failed to connect to address `unix:path=<ROOT>/run/bus`: No such file or directory (os error 2)
    ! hint: where no keyring works: `machine credentials set --keep-in file NAME` keeps it in an encrypted file; or refer to it by env:VAR, file:PATH or command:PROGRAM…
    [exit code 5]
    ");
    // Nothing of it is read by the commands that need no credential.
    env.run(&["ls", "-q"]).success();
    assert_eq!(holding(&everything(&env), TOKEN), Vec::<PathBuf>::new());
}

#[test]
fn the_encrypted_file_by_a_passphrase_from_a_file() {
    let mut env = Env::new();
    let set = ["credentials", "set", "--keep-in", "file", "azure/prod"];
    let refused = env.machine(&set).stdin(TOKEN).run();
    assert_output!(refused, @r#"
    $ machine credentials set --keep-in file azure/prod
    ! error: cannot keep "azure/prod": the encrypted file needs its passphrase, and this run cannot ask for it
    ! hint: say where it is in MACHINE_CREDENTIALS_PASSPHRASE, e.g. file:/run/secrets/passphrase
    [exit code 5]
    "#);
    // A passphrase in place of a reference to one is refused, and not repeated.
    env.set("MACHINE_CREDENTIALS_PASSPHRASE", "correct horse");
    let plain = env.machine(&set).stdin(TOKEN).run();
    assert_output!(plain, @"
    $ machine credentials set --keep-in file azure/prod
    ! error: invalid credential: expected keyring:NAME, env:VAR, file:PATH or command:PROGRAM…
    ! hint: a secret itself is never written down: keep it with `machine credentials set NAME`, and give keyring:NAME
    [exit code 2]
    ");
    assert!(!plain.stderr.contains("horse"), "{plain}");

    let file = env.write("passphrase", "correct horse\n");
    env.set("MACHINE_CREDENTIALS_PASSPHRASE", format!("file:{}", file.display()));
    assert_output!(env.machine(&set).stdin(TOKEN).run(), @"
    $ machine credentials set --keep-in file azure/prod
    ! error: cannot read file:<ROOT>/home/passphrase: everybody on this computer may use the file (mode 0644)
    ! hint: `chmod 600 <ROOT>/home/passphrase`
    [exit code 5]
    ");
    env.sh("chmod 600 passphrase").success();
    let seen = env.machine(&set).stdin(TOKEN).run().success();
    assert_eq!(
        (seen.stdout.as_str(), seen.stderr.as_str()),
        ("keyring:azure/prod\n", "azure/prod: kept in the encrypted file\n")
    );
    env.run(&["credentials", "test", "azure/prod"]).success();
    assert_eq!(holding(&everything(&env), TOKEN), Vec::<PathBuf>::new());

    env.set("MACHINE_CREDENTIALS_PASSPHRASE", "env:OTHER");
    env.set("OTHER", "battery staple");
    assert_output!(env.run(&["credentials", "test", "azure/prod"]), @"
    $ machine credentials test azure/prod
    ! keyring:azure/prod: error: cannot open <ROOT>/store/credentials.enc: the passphrase is wrong, or the file was changed
    [exit code 5]
    ");
    env.set("OTHER", "correct horse");
    env.run(&["credentials", "test", "keyring:azure/prod"]).success();

    env.sh(
        "head -c 100 \"$MACHINE_STORAGE_PATH/credentials.enc\" >x && cp x \"$MACHINE_STORAGE_PATH/credentials.enc\"",
    )
    .success();
    assert_output!(env.run(&["credentials", "test", "azure/prod"]), @"
    $ machine credentials test azure/prod
    ! keyring:azure/prod: error: <ROOT>/store/credentials.enc is damaged: it is cut off or changed (EOF while parsing a string at line 7 column 5)
    ! hint: restore a copy of it, or remove it and set the credentials again
    [exit code 1]
    ");
    assert_output!(env.run(&["credentials", "rm", "-f", "azure/prod"]), @"
    $ machine credentials rm -f azure/prod
    ! azure/prod: no longer listed; its keeper may still have it: <ROOT>/store/credentials.enc is damaged: it is cut off or changed (EOF while parsing a string at line 7 column 5)
    ! azure/prod: removed
    ");
    assert_eq!(env.run(&["credentials", "ls", "-q"]).success().stdout, "");
}

#[test]
fn a_person_types_it_and_nobody_sees_it() {
    let env = Env::new();
    let set = ["credentials", "set", "--keep-in", "file", "digitalocean"];
    let mut terminal = env.machine(&set).pty();
    terminal.expect("Secret for digitalocean (not shown): ", Duration::from_secs(20));
    let line = std::fs::read(format!("/proc/{}/cmdline", terminal.pid())).expect("the process is there");
    assert!(String::from_utf8_lossy(&line).ends_with("set\0--keep-in\0file\0digitalocean\0"));
    terminal.send(TOKEN);
    terminal.send("\r");
    terminal.expect("Passphrase of the encrypted file (not shown): ", Duration::from_secs(20));
    terminal.send("horse\r");
    terminal.expect("The same again: ", Duration::from_secs(20));
    terminal.send("horse\r");
    terminal.expect("keyring:digitalocean", Duration::from_secs(60));
    let seen = terminal.wait().success();
    assert!(!seen.stdout.contains("5ecre7") && !seen.stdout.contains("horse"), "{seen}");

    let mut terminal = env.machine(&["credentials", "test", "digitalocean"]).pty();
    terminal.expect("Passphrase of the encrypted file (not shown): ", Duration::from_secs(20));
    terminal.send("horse\r");
    let length = TOKEN.len();
    terminal.expect(&format!("keyring:digitalocean: can be read ({length} characters)"), Duration::from_secs(60));
    terminal.wait().success();

    let mut terminal = env.machine(&set).pty();
    terminal.expect("Secret for digitalocean (not shown): ", Duration::from_secs(20));
    terminal.send("half\x03");
    let stopped = terminal.wait();
    assert_output!(stopped, @"
    $ machine credentials set --keep-in file digitalocean
    Secret for digitalocean (not shown):
    error: stopped; nothing was kept
    [exit code 130]
    ");
    assert!(stopped.stdout.contains("stopped; nothing was kept"), "{stopped}");
    assert_eq!(holding(&everything(&env), TOKEN), Vec::<PathBuf>::new());
}

#[test]
fn references_are_tested_without_being_shown() {
    let mut env = Env::new();
    env.set("DO_TOKEN", TOKEN);
    let file = env.write("token", TOKEN);
    env.sh("chmod 600 token").success();
    let seen = env.run(&["credentials", "test", "env:DO_TOKEN", "file:token", "command:/bin/cat token"]).success();
    let length = TOKEN.len();
    let ok = format!("can be read ({length} characters)");
    let file = file.display();
    assert_eq!(seen.stderr, format!("env:DO_TOKEN: {ok}\nfile:{file}: {ok}\ncommand:/bin/cat token: {ok}\n"));
    assert_eq!(seen.stdout, "");

    let late = env.run(&["credentials", "test", "command:/bin/sleep 60"]);
    assert_output!(late, @"
    $ machine credentials test 'command:/bin/sleep 60'
    ! command:/bin/sleep 60: error: cannot read command:/bin/sleep 60: no answer within 10 s
    ! hint: it may want to ask something: run it by hand
    [exit code 5]
    ");
    assert!(late.took < Duration::from_secs(20), "{late}");
    // A token in a reference's place is not repeated.
    let plain = env.run(&["credentials", "test", &format!("{TOKEN}-{TOKEN}")]);
    assert_output!(plain, @"
    $ machine credentials test dop_v1_5ecre7-4nd-l0ng-en0ugh-t0-be-unique-dop_v1_5ecre7-4nd-l0ng-en0ugh-t0-be-unique
    ! error: invalid name of a credential: it has 1 to 48 letters, digits, `.`, `_`, `-` and `/`, and begins with a letter or digit
    ! hint: choose a short one, e.g. `digitalocean`
    [exit code 2]
    ");
    assert!(!plain.stderr.contains("5ecre7"), "{plain}");
    assert_output!(env.run(&["credentials", "set", "x"]), @"
    $ machine credentials set x
    ! error: no secret was given
    ! hint: type it on a terminal, or pipe it in: `machine credentials set NAME <FILE`
    [exit code 2]
    ");
}

#[test]
fn what_a_machine_uses_is_not_removed_by_the_way() {
    let mut env = Env::new();
    env.set("PASSPHRASE", "horse");
    env.set("MACHINE_CREDENTIALS_PASSPHRASE", "env:PASSPHRASE");
    let mut used = record::running("web-1");
    used["driver"]["settings"] = json!({"ip_address": "10.0.0.7", "token": "keyring:digitalocean"});
    record::put(&env, &used);
    let set = ["credentials", "set", "--keep-in", "file", "digitalocean"];
    env.machine(&set).stdin(TOKEN).run().success();
    let listed = env.run(&["credentials", "ls", "-o", "json"]).success().stdout;
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("one document");
    assert_eq!(listed[0]["machines"], json!(["web-1"]));
    assert_eq!((&listed[0]["reference"], &listed[0]["kept_in"]), (&json!("keyring:digitalocean"), &json!("file")));
    assert_output!(env.run(&["credentials", "rm", "digitalocean"]), @r#"
    $ machine credentials rm digitalocean
    ! digitalocean: error: credential "digitalocean" is used by web-1
    ! hint: `-f` removes it anyway
    [exit code 1]
    "#);
    env.run(&["credentials", "test", "digitalocean"]).success();
    env.run(&["credentials", "rm", "-f", "digitalocean"]).success();
    assert_eq!(env.run(&["credentials", "ls", "-q"]).success().stdout, "");
}
