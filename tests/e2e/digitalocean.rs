//! DigitalOcean: the driver over the simulator, with real hosts behind its droplets.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use machine_driver::{AnyDriver, Context, Folders, HostKeyPair, InProcess, Power, SshAccess, Stop, Typed};
use machine_driver_digitalocean::{DigitalOcean, Timing};
use machine_tests::simulators::digitalocean::Simulator;
use machine_tests::{CloudHosts, Lab, digitalocean_contract, skipped, until};
use serde_json::{Value, json};

const TOKEN: &str = "dop_v1_5ecre7f00d";

#[expect(clippy::disallowed_methods, reason = "a test's own input, read by nobody until it is written")]
fn put(path: &Path, text: &str) {
    std::fs::write(path, text).expect("our own folder takes it");
}

fn keygen(path: &Path) -> (String, String) {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).status();
    assert!(made.expect("ssh-keygen runs").success());
    let read = |path: &Path| std::fs::read_to_string(path).expect("ssh-keygen wrote it");
    (read(path), read(&path.with_extension("pub")).trim().to_owned())
}

fn context(folder: &Path, public_key: &str, host_key: HostKeyPair) -> Context {
    let secrets = BTreeMap::from([("access-token".to_owned(), TOKEN.to_owned().into())]);
    Context::new("web-1", "0c0a2b6e-0000-4000-8000-000000000001", "0c0a2b6e-0000-4000-8000-00000000000a")
        .keys(public_key, Some(host_key))
        .folders(Folders::all(folder))
        .secrets(secrets)
}

/// Over the system's SSH client, which knows nothing but the injected host key.
fn ssh(folder: &Path, to: &SshAccess, script: &str) -> Result<String, String> {
    let known = format!("UserKnownHostsFile={}", folder.join("known_hosts").display());
    let mut command = Command::new("ssh");
    command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"]);
    command.args(["-o", "HostKeyAlgorithms=ssh-ed25519", "-o", "HostKeyAlias=droplet", "-o", "ConnectTimeout=10"]);
    command.args(["-o", &known, "-i"]).arg(folder.join("id"));
    let done = command.args(["-l", &to.user, "-p", &to.port.to_string(), &to.host, script]).output();
    let done = done.map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// Create, log in with the injected host key only, off, on, restart, remove: and nothing is left at the provider.
async fn whole_life(lab: Lab, flags: &str, user: &str) {
    let simulator = Simulator::start(TOKEN, CloudHosts::new(Arc::new(lab), 1));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, public_key) = keygen(&folder.path().join("id"));
    let (private, public) = keygen(&folder.path().join("host"));
    let known = format!("droplet {public}\n");
    put(&folder.path().join("known_hosts"), &known);
    put(&folder.path().join("more.sh"), "#!/bin/sh\ntrue\n");

    let timing = Timing { poll: Duration::from_millis(50), ..DigitalOcean::TIMING };
    let driver: &dyn AnyDriver = &InProcess::new(DigitalOcean::with_timing(timing));
    let line = format!("--digitalocean-api-url {} {flags}", simulator.url());
    let args = line.split_whitespace().map(str::to_owned).collect();
    let typed = Typed { args, dir: folder.path().to_owned(), ..Typed::default() };
    let settings = driver.configure(typed).await.expect("they are settings");
    let cx = context(folder.path(), &public_key, HostKeyPair { private, public });
    let mut machine: Value = json!({});
    driver.check(&cx, &settings).await.expect("nothing is wrong");
    for stage in &driver.description().stages {
        driver.advance(stage, &cx, &settings, &mut machine).await.expect("every stage works");
    }
    let status = driver.inspect(&cx, &settings, &machine).await.expect("it is there");
    assert_eq!(status.power, Power::Running);
    let to = status.ssh.expect("it has SSH");
    assert_eq!(ssh(folder.path(), &to, "hostname; id -un; sudo -n id -un"), Ok(format!("web-1\n{user}\nroot")));

    let boot = |why: &str| {
        until(why, Duration::from_secs(30), || {
            ssh(folder.path(), &to, "cat /proc/uptime; ls /run/kept 2>/dev/null; true")
        })
    };
    assert_eq!(ssh(folder.path(), &to, "sudo -n touch /run/kept"), Ok(String::new()));
    assert!(boot("the first boot").contains("/run/kept"));
    driver.stop(Stop::Politely, &cx, &settings, &mut machine).await.expect("it stops");
    assert_eq!(driver.inspect(&cx, &settings, &machine).await.expect("it is there").power, Power::Stopped);
    assert!(ssh(folder.path(), &to, "true").is_err());
    driver.start(&cx, &settings, &mut machine).await.expect("it starts");
    assert!(!boot("the second boot").contains("/run/kept"));
    driver.restart(&cx, &settings, &mut machine).await.expect("it restarts");
    let _ = boot("the third boot");

    driver.remove(&cx, &settings, &machine).await.expect("it is removed");
    assert_eq!(simulator.account(|account| account.things()), Vec::<String>::new());
    assert_eq!(driver.inspect(&cx, &settings, &machine).await.expect("gone is an answer").power, Power::Gone);
    match digitalocean_contract() {
        Some(contract) => assert_eq!(contract.violations(&simulator.exchanges()), Vec::<String>::new()),
        None => skipped("the vendor's document (shared/specs/contract) is not here: exchanges are not held against it"),
    }
}

#[test]
fn a_droplet_lives_and_its_first_connection_is_verified() {
    let Some(lab) = Lab::open() else { return };
    run(whole_life(lab, "--digitalocean-firewall ssh", "root"));
}

#[test]
fn a_droplet_with_user_data_of_the_user_s_and_another_login() {
    let Some(lab) = Lab::open() else { return };
    run(whole_life(lab, "--digitalocean-ssh-user debian --digitalocean-userdata more.sh", "debian"));
}

fn run(story: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(story);
}
