//! Ports on this computer: the watcher, on real hosts.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use machine_tests::{Env, HostOptions, Lab, LabHost, until};
use serde_json::Value;

/// A host with an engine, as the given user left it; the machine is called `web`.
fn create(lab: &Lab, host: &LabHost) -> Env {
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    let (ip, key) = (host.ip().to_string(), lab.key().display().to_string());
    let fingerprint = host.host_key_fingerprint();
    let args = [
        "create",
        "-d",
        "generic",
        "--generic-ip-address",
        &ip,
        "--generic-ssh-key",
        &key,
        "--generic-ssh-host-key",
        &fingerprint,
        "web",
    ];
    env.machine(&args).deadline(Duration::from_secs(600)).run().success();
    env
}

/// The docker client, told by `machine env`.
fn docker(env: &Env, args: &str) -> String {
    env.sh(&format!("eval \"$(machine env --shell sh web)\" && docker {args}")).success().stdout
}

/// An image without any registry: a static shell would do, but the host has none; its own bash and libraries do.
fn image(host: &LabHost) {
    let script = "set -e; cd $(mktemp -d); files=$(for p in bash cat perl sleep; do command -v $p; done | xargs readlink -f); \
                  libs=$(ldd $files | grep -o '/[^ ]*' | sort -u | grep -v :$); \
                  tar -chf root.tar $files $libs $(perl -e 'print join \" \", grep { -d } @INC'); \
                  docker import root.tar tools >/dev/null";
    host.exec(script).success();
}

/// Answers one line of each connection in capitals, then counts on the end of input.
const ECHO: &str = "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 7, Listen => 5, ReuseAddr => 1) or die; \
                    while ($c = $s->accept) { local $/; $x = <$c>; print $c uc $x; close $c }'";

/// What `machine forward web` says.
fn forward(env: &Env) -> Value {
    let out = env.run(&["forward", "-o", "json", "web"]).success();
    serde_json::from_str(&out.stdout).expect("a document")
}

pub(crate) fn pid(state: &Value) -> i32 {
    state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process")
}

fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; whoever adopted it has not looked yet.
    !stat.is_empty() && !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("our own watcher");
}

pub(crate) fn gone(pid: i32) {
    until(
        "the watcher to end",
        Duration::from_secs(15),
        || if lives(pid) { Err(format!("{pid} lives")) } else { Ok(()) },
    );
}

/// Says something through a port of this computer, ends its half, and takes the answer.
fn say(port: u16, text: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(|e| e.to_string())?;
    stream.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    stream.shutdown(Shutdown::Write).map_err(|e| e.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|e| e.to_string())?;
    if answer.is_empty() { Err("closed without an answer".into()) } else { Ok(answer) }
}

fn says_back(port: u16) {
    let answer = until("the container's answer", Duration::from_secs(20), || say(port, "hello"));
    assert_eq!(answer, "HELLO");
}

#[test]
fn behind_a_firewall_docker_goes_through_ssh_and_ports_come_here() {
    let Some(lab) = Lab::open() else { return };
    let mut host = lab.host(HostOptions::default());
    host.drop_port(2376);
    let env = create(&lab, &host);
    let record: Value = serde_json::from_str(&env.run(&["inspect", "web"]).success().stdout).unwrap();
    let url = env.run(&["url", "web"]).success().stdout;
    let port: u16 = url.trim().strip_prefix("tcp://127.0.0.1:").expect(&url).parse().unwrap();
    assert!(record.to_string().contains("\"tunnel\""), "{record}");
    assert!(docker(&env, "version --format '{{.Server.Version}}'").trim().starts_with(|c: char| c.is_ascii_digit()));
    image(&host);

    // Half-closed streams, as `docker run -i` needs them, and a lot of bytes.
    let read = docker(&env, "run --rm -i tools perl -e 'local $/; print length <STDIN>' </bin/bash");
    assert_eq!(read, std::fs::metadata("/bin/bash").unwrap().len().to_string());

    // A published port comes here unasked, and goes with its container.
    let container = docker(&env, &format!("run -d -p 127.0.0.1:18107:7 -p 18107:7/udp --name echo tools {ECHO}"));
    says_back(18107);
    let state = forward(&env);
    assert_eq!(state["engine_port"], port);
    assert_eq!((&state["forwards"][0]["port"], &state["forwards"][0]["container"]), (&18107.into(), &"echo".into()));
    assert_eq!((&state["refusals"][0]["reason"], &state["refusals"][1]), (&"udp".into(), &Value::Null));
    let listed = env.run(&["ls"]).success().stdout;
    assert!(listed.contains("not forwarded: 18107 (udp)"), "L10: {listed}");
    docker(&env, &format!("rm -f {}", container.trim()));
    until("the port to close", Duration::from_secs(10), || match TcpStream::connect(("127.0.0.1", 18107)) {
        Ok(_) => Err("it still listens".into()),
        Err(_) => Ok(()),
    });

    // L10: what listens on the host's own network is found there; sshd and the engine are nobody's container.
    let echo = ECHO.replace("=> 7,", "=> 18117,");
    docker(&env, &format!("run -d --network host --name own tools {echo}"));
    says_back(18117);
    let state = forward(&env);
    assert_eq!(state["forwards"].as_array().map(Vec::len), Some(1), "{state}");
    assert_eq!((&state["forwards"][0]["port"], &state["forwards"][0]["container"]), (&18117.into(), &"own".into()));
    docker(&env, "rm -f own");
    until("the port of the host's network to close", Duration::from_secs(10), || match say(18117, "x") {
        Ok(_) => Err("it still listens".into()),
        Err(_) => Ok(()),
    });

    // A4: where this computer's own services are looked for, nothing listens unasked.
    docker(&env, &format!("run -d -p 127.0.0.1:1007:7 --name low tools {ECHO}"));
    let low = |state: &Value| state["refusals"][0]["reason"].as_str().map(str::to_owned);
    let state = until("the port to be listed", Duration::from_secs(20), || {
        let state = forward(&env);
        if low(&state).is_some() { Ok(state) } else { Err(state.to_string()) }
    });
    assert_eq!((low(&state).as_deref(), &state["forwards"]), (Some("below 1024"), &serde_json::json!([])));
    env.run(&["forward", "--low-ports", "web"]).success();
    says_back(1007);
    env.run(&["forward", "--low-ports=false", "web"]).success();
    assert_eq!(low(&forward(&env)).as_deref(), Some("below 1024"));
    docker(&env, "rm -f low");

    // A reader that takes nothing holds nobody up for long.
    let stuck = "eval \"$(machine env --shell sh web)\" && exec docker run --rm tools cat /dev/zero";
    let mut stalled = std::process::Command::new("sh");
    stalled.args(["-c", stuck]).env_clear().env("HOME", env.home()).env("MACHINE_STORAGE_PATH", env.store());
    stalled.env("PATH", format!("{}:/usr/bin:/bin", env.home().join("bin").display()));
    let mut stalled = stalled.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    stalled.stdout.as_mut().unwrap().read_exact(&mut [0; 1 << 20]).unwrap();
    until("docker beside a stalled reader", Duration::from_secs(60), || {
        let done = env.sh("eval \"$(machine env --shell sh web)\" && timeout 5 docker ps -q");
        if done.code == 0 { Ok(()) } else { Err(done.to_string()) }
    });
    stalled.kill().unwrap();
    stalled.wait().unwrap();

    // Killed, it is mended with the same port; removed, nothing lives on.
    let first = pid(&forward(&env));
    kill(first);
    gone(first);
    let state = forward(&env);
    assert_eq!(state["engine_port"], port);
    assert_ne!(pid(&state), first);
    docker(&env, "ps");
    env.run(&["rm", "-f", "web"]).success();
    gone(pid(&state));
    assert!(!lives(first));
}

#[test]
fn on_request_any_machine_gets_its_ports_here() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let env = create(&lab, &host);
    image(&host);
    docker(&env, &format!("run -d -p 18108:7 --name echo tools {ECHO}"));
    assert!(say(18108, "x").is_err(), "nobody asked yet");

    // Two at once yield one watcher.
    let (a, b) = (
        env.machine(&["forward", "-o", "json", "web"]).spawn(),
        env.machine(&["forward", "-o", "json", "web"]).spawn(),
    );
    let (a, b) = (a.wait().success().stdout, b.wait().success().stdout);
    let (a, b): (Value, Value) = (serde_json::from_str(&a).unwrap(), serde_json::from_str(&b).unwrap());
    assert_eq!(pid(&a), pid(&b));
    says_back(18108);

    // What is taken here is said, and taken over once it is free.
    let mine = std::net::TcpListener::bind(("127.0.0.1", 18109)).unwrap();
    docker(&env, &format!("run -d -p 18109:7 --name second tools {ECHO}"));
    let refused = |state: &Value| {
        state["refusals"]
            .as_array()
            .is_some_and(|all| all.iter().any(|r| r["port"] == 18109 && r["reason"] == "port taken"))
    };
    until("the refusal", Duration::from_secs(10), || {
        let state = forward(&env);
        if refused(&state) { Ok(()) } else { Err(state.to_string()) }
    });
    drop(mine);
    says_back(18109);

    // The engine restarts: the watcher lives through it.
    host.exec("systemctl restart docker").success();
    docker(&env, "start echo");
    says_back(18108);
    assert_eq!(pid(&forward(&env)), pid(&a));

    // So does a lost connection.
    host.exec("pkill sshd-session").success();
    until("the watcher to connect again", Duration::from_secs(30), || {
        let state = forward(&env);
        if state["ready"] == true && pid(&state) == pid(&a) { Ok(()) } else { Err(state.to_string()) }
    });
    says_back(18108);

    // A machine that goes without a word takes its watcher along.
    std::fs::remove_dir_all(env.store().join("machines/web")).unwrap();
    gone(pid(&a));
}

#[test]
fn l14_a_watcher_that_lost_ssh_connects_again_by_itself() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let env = create(&lab, &host);
    let watcher = pid(&forward(&env));
    let state = || -> Value {
        let text = std::fs::read_to_string(env.store().join("machines/web/forwards.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    host.cut_power();
    // The kernel of a host that lost its power says nothing; the lab's bridge answers for it, or keep-alives run out.
    until("the loss to be noticed", Duration::from_secs(120), || match state()["trouble"].as_str() {
        Some(trouble) if trouble.contains("the SSH connection was lost") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    // Half a minute was the end of it once.
    let since = Instant::now();
    until("half a minute to pass", Duration::from_secs(60), || {
        assert!(lives(watcher), "it gave up after {:?}", since.elapsed());
        if since.elapsed() > Duration::from_secs(35) { Ok(()) } else { Err("not yet".to_owned()) }
    });
    host.power_on();
    // No command of ours is run meanwhile: a person who only uses docker runs none.
    until("the watcher to connect again", Duration::from_secs(90), || {
        let state = state();
        if state["ready"] == true { Ok(()) } else { Err(state.to_string()) }
    });
    assert_eq!(pid(&forward(&env)), watcher);
    env.run(&["rm", "-f", "web"]).success();
    gone(watcher);
}

#[test]
fn a1_a_published_port_never_takes_the_place_of_anothers_tunnel() {
    let Some(lab) = Lab::open() else { return };
    let (mut x, mut y) = (lab.host(HostOptions::default()), lab.host(HostOptions::default()));
    x.drop_port(2376);
    y.drop_port(2376);
    let env = create(&lab, &x);
    let (key, seen) = (lab.key().display().to_string(), y.host_key_fingerprint());
    let make = ["create", "other", "-d", "generic", "--generic-ip-address", &y.ip().to_string()].map(str::to_owned);
    let more = ["--generic-ssh-key", &key, "--generic-ssh-host-key", &seen].map(str::to_owned);
    let make: Vec<&str> = make.iter().chain(&more).map(String::as_str).collect();
    env.machine(&make).deadline(Duration::from_secs(600)).run().success();
    let url = env.run(&["url", "other"]).success().stdout;
    let port: u16 = url.trim().strip_prefix("tcp://127.0.0.1:").expect(&url).parse().unwrap();
    let others = env.run(&["forward", "-o", "json", "other"]).success().stdout;
    let watcher = pid(&serde_json::from_str(&others).unwrap());
    kill(watcher);
    gone(watcher);

    // x's host says that it publishes the very port at which y's clients knock.
    image(&x);
    let _ = docker(&env, &format!("run -d -p {port}:7 tools {ECHO}"));
    let state = until("the port to be heard of", Duration::from_secs(20), || {
        let state = forward(&env);
        let refused = state["refusals"].to_string();
        if refused.contains(&port.to_string()) { Ok(state) } else { Err(refused) }
    });
    assert!(state["refusals"].to_string().contains("promised to another machine"), "{state}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody listens at the other machine's port");
    // Even somebody who gets there is not believed: each host has a CA of its own.
    let certs = env.store().join("machines");
    let ask = format!(
        "docker -H tcp://{}:{} --tlsverify --tlscacert {}/other/ca.pem --tlscert {}/web/cert.pem --tlskey {}/web/key.pem version",
        "127.0.0.1",
        state["engine_port"],
        certs.display(),
        certs.display(),
        certs.display()
    );
    env.sh(&ask).failure(1).says(&["certificate signed by unknown authority"]);
    env.run(&["forward", "other"]).success();
    env.sh("docker --context other version").success();
}
