//! DigitalOcean through the program: a droplet's whole life, its host key, and where its token is not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use machine_tests::{Cloud, CloudHosts, Lab, LabHost, until};
use serde_json::Value;

use crate::common::root_archive;
use crate::secrets::Watch;

const CREATE: [&str; 7] =
    ["create", "web-1", "-d", "digitalocean", "--digitalocean-firewall", "ssh,80", "--digitalocean-ssh-user"];

/// A user at a provider whose first droplets are real hosts.
fn cloud(hosts: usize) -> Option<(Cloud, Arc<CloudHosts>)> {
    let lab = Arc::new(Lab::open()?);
    let hosts = Arc::new(CloudHosts::new(Arc::clone(&lab), hosts));
    Some((Cloud::in_lab(&lab, Arc::clone(&hosts)), hosts))
}

/// The host behind the only droplet, and what the droplet was made from.
fn only(cloud: &Cloud, hosts: &CloudHosts) -> (Arc<LabHost>, Value) {
    let made = cloud.simulator().account(|account| {
        account.live().map(|(id, droplet)| (id, droplet.request.clone())).collect::<BTreeMap<_, _>>()
    });
    assert_eq!(made.len(), 1, "droplets: {:?}", made.keys());
    let (id, request) = made.into_iter().next().unwrap();
    (hosts.host(&id.to_string()).expect("a host is behind it"), request)
}

/// What cloud-init was told.
fn user_data(request: &Value) -> Value {
    let text = request["user_data"].as_str().unwrap().split("#cloud-config\n").nth(1).unwrap();
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

fn record(cloud: &Cloud) -> Value {
    let text = std::fs::read_to_string(cloud.env().store().join("machines/web-1/machine.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The key part of `ssh-ed25519 AAAA… comment`.
fn key(line: &str) -> &str {
    line.split_whitespace().find(|word| word.starts_with("AAAA")).unwrap_or_default()
}

fn ask(cloud: &Cloud, question: &str) -> String {
    cloud.sh(&format!("eval $(machine env web-1) && docker {question}")).success().stdout.trim().to_owned()
}

#[test]
fn a_whole_life_and_nothing_is_left_at_the_provider() {
    let Some((mut cloud, hosts)) = cloud(1) else { return };

    // Made, watched by everybody else on this computer.
    let watch = Watch::start();
    let create = [&CREATE[..], &["root", "--engine-bundle", "debian:bookworm"]].concat();
    let made = cloud.run(&[&["--debug"], &create[..]].concat()).success();
    let processes = watch.end();
    for process in &processes {
        let argv = String::from_utf8_lossy(&process.argv).replace('\0', " ");
        assert!(!argv.contains(cloud.token()), "the token is in the arguments of {argv}");
        // What the user started has the user's environment; it hands the token to nobody.
        let users_own = argv.contains(" create web-1 ");
        let has = String::from_utf8_lossy(&process.environ).contains(cloud.token());
        assert!(!has || users_own, "the token is in the environment of {argv}");
    }
    assert_eq!((cloud.count("droplet"), cloud.count("key"), cloud.count("firewall")), (1, 1, 1), "{made}");
    assert_eq!(record(&cloud).pointer("/driver/secrets/access-token").unwrap(), "env:DIGITALOCEAN_ACCESS_TOKEN");

    // The key that anybody in a container could read in the user-data is not the host's any more.
    let (host, request) = only(&cloud, &hosts);
    let injected = user_data(&request)["ssh_keys"]["ed25519_public"].as_str().unwrap().to_owned();
    let now = host.exec("cat /etc/ssh/ssh_host_ed25519_key.pub").success().stdout;
    assert_ne!(key(&now), key(&injected));
    let known = std::fs::read_to_string(cloud.env().store().join("machines/web-1/known_hosts")).unwrap();
    assert!(known.contains(key(&now)) && !known.contains(key(&injected)), "{known}");
    let files = cloud.env().store_files();
    assert!(files.iter().all(|file| !file.contains("injected") && !file.contains("host_key")), "{files:?}");
    assert_eq!(record(&cloud).pointer("/ssh/host_key_injected"), None);

    // An engine and a container, which needs no token; nor does anything that asks the host alone.
    let asked = cloud.simulator().exchanges().len();
    cloud.env_mut().unset("DIGITALOCEAN_ACCESS_TOKEN");
    let archive = root_archive(&cloud.env().home()).display().to_string();
    let _ = ask(&cloud, &format!("import {archive} box"));
    let _ = ask(&cloud, "run -d --restart always --name web -p 80:80 box httpd -f -h /www");
    let page = format!("wget -qO- http://{}/index.html", host.ip());
    until("the page", Duration::from_secs(20), || {
        let page = cloud.sh(&page);
        if page.stdout == "it works\n" { Ok(()) } else { Err(page.to_string()) }
    });
    for args in
        [&["ssh", "web-1", "true"][..], &["env", "web-1"], &["ip", "web-1"], &["config", "web-1"], &["url", "web-1"]]
    {
        cloud.run(args).success();
    }
    cloud.run(&["stop", "web-1"]).failure(5).says(&["cannot read env:DIGITALOCEAN_ACCESS_TOKEN", "hint: set "]);
    cloud.run(&["rm", "-y", "web-1"]).failure(5).says(&["cannot read env:DIGITALOCEAN_ACCESS_TOKEN"]);
    cloud.run(&["url", "web-1"]).success();
    assert_eq!(cloud.simulator().exchanges().len(), asked, "the provider was asked without a token");

    // The token is rotated: the machine knows nothing of it.
    let token = cloud.token().replace("dop_v1_", "dop_v1_ffff");
    cloud.rotate(&token);
    cloud.env_mut().set("DIGITALOCEAN_ACCESS_TOKEN", &token);

    // Off and on: the address stays, the container comes back.
    cloud.run(&["stop", "web-1"]).success().says(&["billed in full", "web-1: stopped"]);
    assert!(cloud.run(&["ls"]).success().stdout.contains("Stopped"));
    cloud.run(&["env", "web-1"]).failure(1).says(&["machine \"web-1\" is stopped", "machine start web-1"]);
    cloud.run(&["start", "web-1"]).success();
    assert_eq!(ask(&cloud, "inspect -f {{.State.Running}} web"), "true");
    cloud.run(&["restart", "web-1"]).success();
    let before = ask(&cloud, "version -f {{.Server.Version}}");

    // Another engine, the container lives through it.
    let running = ask(&cloud, "inspect -f {{.State.Pid}} web");
    cloud.run(&["upgrade", "web-1", "--bundle", "debian:trixie"]).success();
    let after = ask(&cloud, "version -f {{.Server.Version}}");
    assert!(before.starts_with("20.10.") && after.starts_with("26.1."), "{before} → {after}");
    assert_eq!(ask(&cloud, "inspect -f {{.State.Pid}} web"), running);

    // Somebody else's host at its address is not talked to.
    let kept = host.exec("cat /etc/ssh/ssh_host_ed25519_key").success().stdout;
    host.change_host_key();
    cloud.run(&["provision", "web-1"]).failure(5).says(&["host key"]);
    assert_eq!(cloud.run(&["ssh", "web-1", "true"]).code, 255);
    let script = format!("umask 077; printf '%s' '{kept}' >/etc/ssh/ssh_host_ed25519_key; systemctl restart ssh");
    host.exec(&script).success();
    cloud.run(&["provision", "web-1"]).success();

    cloud.run(&["create", "web-1"]).success().says(&["already so"]);
    cloud.run(&["rm", "-y", "web-1"]).success().says(&["web-1: removed"]);
    assert_eq!(cloud.things(), Vec::<String>::new());
    assert_eq!(cloud.env().docker(&["context", "ls", "-q"]).success().stdout, "default\n");
    assert_eq!(cloud.run(&["ls", "-q"]).success().stdout, "");
    cloud.end();
}

#[test]
fn the_host_key_is_replaced_whenever_it_is_killed() {
    let Some((cloud, hosts)) = cloud(1) else { return };
    let create = [&CREATE[..], &["debian", "--progress", "json"]].concat();
    // Killed where the droplet is asked for: what goes on finds it.
    assert!(cloud.run_killed_at_droplet(cloud.env().machine(&create)));
    assert_eq!((cloud.count("droplet"), cloud.count("key")), (1, 1));
    let rotating = r#""step":"rotate-host-key""#;
    let mut killed = 0;
    for delay in [0, 60, 120, 180, 240, 300] {
        let mut running = cloud.env().machine(&create).spawn();
        if running.wait_for_or_end(rotating, Duration::from_secs(120)) {
            killed += usize::from(!running.wait_at_most(Duration::from_millis(delay)));
        }
        let _ = cloud.judged(running.kill());
    }
    assert!(killed > 0, "it was never killed");
    cloud.run(&create).success();
    assert_eq!((cloud.count("droplet"), cloud.count("key")), (1, 1));

    let (host, request) = only(&cloud, &hosts);
    let seed = user_data(&request);
    let now = host.exec("cat /etc/ssh/ssh_host_ed25519_key.pub").success().stdout;
    let injected = seed["ssh_keys"]["ed25519_public"].as_str().unwrap();
    assert_ne!(key(&now), key(injected));
    let left = host.exec("ls -A /etc/ssh | grep ed25519").success().stdout;
    assert_eq!(left, "ssh_host_ed25519_key\nssh_host_ed25519_key.pub\n", "no half-made key is left");
    // Whoever knows the injected key cannot stand in for the host: only the new one is shown, and only it is taken.
    let shown = cloud.sh(&format!("ssh-keyscan -t ed25519 {} 2>/dev/null", host.ip())).success().stdout;
    assert_eq!(shown.lines().map(key).collect::<Vec<_>>(), [key(&now)]);
    assert_eq!(ask(&cloud, "version -f {{.Server.Os}}"), "linux");
    cloud.run(&["rm", "-y", "web-1"]).success();
    assert_eq!(cloud.things(), Vec::<String>::new());
    cloud.end();
}
