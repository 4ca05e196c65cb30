//! How fast the program is, as ratios within one run: `cargo bench -p machine-tests`.
//!
//! `MACHINE_BIN` names another build to measure, `MACHINE_BEFORE` one to measure beside it. `docs/performance.md` holds the budgets and one run's numbers.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints its figures, and writes a store of its own"
)]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use machine_tests::{DelayedLink, Env, HostOptions, Lab, LabHost, Output};
use serde_json::{Value, json};

fn main() {
    if std::env::args().any(|a| a == "--list") {
        return;
    }
    println!("machine: {}", std::env::var("MACHINE_BIN").unwrap_or_else(|_| "the bench profile's build".into()));
    reading();
    if let Some(lab) = Lab::open() {
        asking(&lab);
        creating(&lab);
        local(&lab);
    }
}

/// Median of some runs.
fn median(runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Commands that read the store alone, with 1, 100 and 1,000 machines.
fn reading() {
    println!("\n## Reading the store (median of 21 runs; ratio to starting /bin/true)\n");
    println!("| machines | command | ms | ratio to `true` | budget ms |\n|---|---|---|---|---|");
    for count in [1, 100, 1000] {
        let env = Env::new();
        store(&env, count);
        let program = std::fs::canonicalize(env.program()).expect("the program under test");
        let time = |program: &std::path::Path, args: &[&str]| {
            median(21, || {
                let status = Command::new(program)
                    .args(args)
                    .env_clear()
                    .env("HOME", env.home())
                    .env("MACHINE_STORAGE_PATH", env.store())
                    .stdout(Stdio::null())
                    .stderr(Stdio::inherit())
                    .status();
                assert!(status.expect("the program starts").success(), "{args:?}");
            })
        };
        let base = time("/bin/true".as_ref(), &[]);
        let commands: [(&[&str], u32); 5] = [
            (&["env", "--shell", "sh", "m1"], 5),
            (&["ip", "m1"], 5),
            (&["url", "m1"], 5),
            (&["ls", "-q"], 30),
            (&["ls", "--no-probe"], 30),
        ];
        for (args, budget) in commands {
            let took = time(&program, args);
            println!("| {count} | `{}` | {:.1} | {:.1} | {budget} |", args.join(" "), ms(took), ms(took) / ms(base));
        }
    }
}

fn store(env: &Env, count: usize) {
    let write = |path: std::path::PathBuf, text: String| std::fs::write(path, text).expect("a file of our own");
    std::fs::create_dir_all(env.store().join("machines")).expect("a folder of our own");
    write(env.store().join("store.json"), r#"{"version":1,"id":"3a54a8a8-5d1f-4d0c-8a59-0f6d2f1c9d10"}"#.into());
    for index in 1..=count {
        let dir = env.store().join(format!("machines/m{index}"));
        std::fs::create_dir(&dir).expect("a folder of our own");
        let record = json!({
            "version": 1, "name": format!("m{index}"), "id": format!("7f0c9f4e-2f5c-4b7e-9d0b-{index:012}"),
            "created": "2026-01-02T03:04:05Z",
            "driver": {"name": "generic", "settings": {"ip-address": "127.0.0.1", "ssh-user": "root", "ssh-port": 22}, "machine": {}},
            "engine": {"labels": ["team=web"]},
            "ssh": {"host": "127.0.0.1", "port": 22, "user": "root", "identity": "agent"},
            "facts": {"arch": "amd64", "os": "Debian GNU/Linux 13 (trixie)", "kernel": "6.12", "glibc": "2.41", "systemd": 257, "iptables": false, "cgroup": 2, "root": true},
            "installed": {"bundle": "abc", "bundle_name": "docker-26.1.5-trixie-amd64", "version": "26.1.5", "daemon_json": {"hosts": ["fd://"]}},
            "endpoint": {"kind": "direct", "host": "127.0.0.1", "port": 2376, "host_port": 2376},
            "power": "running",
        });
        write(dir.join("machine.json"), record.to_string());
        let stamp = |event: Value| format!("{event}\n");
        let journal = [
            json!({"time": "2026-01-02T03:04:05Z", "event": "begin", "operation": "create"}),
            json!({"time": "2026-01-02T03:04:09Z", "event": "end", "operation": "create"}),
        ];
        write(dir.join("journal.jsonl"), journal.into_iter().map(stamp).collect());
    }
}

/// The program, and with `MACHINE_BEFORE` an earlier one in front of it.
fn programs(env: &Env) -> Vec<(&'static str, std::path::PathBuf)> {
    let now = std::fs::canonicalize(env.program()).expect("the program under test");
    let before = std::env::var_os("MACHINE_BEFORE").map(|path| ("before", path.into()));
    before.into_iter().chain([("now", now)]).collect()
}

/// Commands that ask engines: whole time and processor time.
fn asking(lab: &Lab) {
    println!("\n## Asking engines (medians of 11 runs)\n");
    println!("| command | program | ms | ms of a processor | ratio to before |\n|---|---|---|---|---|");
    let refused = Env::new();
    for index in 0..100 {
        let (name, url) = (format!("m{index}"), format!("tcp://127.0.0.1:{}", 9 + index));
        refused.run(&["create", "-d", "none", "--url", &url, &name]).success();
    }
    asked(&refused, "`ls` of 100 machines whose ports refuse", &["ls"]);
    let host = lab.host(HostOptions::default());
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    create(&env, &host, SocketAddr::new(host.ip(), 22), &[]);
    asked(&env, "`status` of a machine that is on", &["status", "bench"]);
    asked(&env, "`ls` of one machine that is on", &["ls"]);
    env.run(&["rm", "-y", "bench"]).success();
}

/// A line for each program, one after the other in each round.
fn asked(env: &Env, what: &str, args: &[&str]) {
    let programs = programs(env);
    let mut times = vec![Vec::new(); programs.len()];
    for _ in 0..11 {
        for ((_, program), times) in programs.iter().zip(&mut times) {
            // bash says what a command took of a processor.
            let run = "TIMEFORMAT='%R %U %S'; { time \"$@\" >/dev/null 2>&1; } 2>&1";
            let output = Command::new("bash")
                .args(["-c", run, "bash"])
                .arg(program)
                .args(args)
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("LC_ALL", "C")
                .env("HOME", env.home())
                .env("MACHINE_STORAGE_PATH", env.store())
                .output()
                .expect("bash starts");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let seconds: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [whole, user, system] = seconds[..] else { panic!("bash said: {said}") };
            times.push((whole * 1000.0, (user + system) * 1000.0));
        }
    }
    let middle = |mut figures: Vec<f64>| {
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let mut before = None;
    for ((label, _), times) in programs.iter().zip(times) {
        let (whole, processor): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        let (whole, processor) = (middle(whole), middle(processor));
        let ratio = before.map_or(String::new(), |before: f64| format!("{:.2}", whole / before));
        println!("| {what} | {label} | {whole:.0} | {processor:.0} | {ratio} |");
        before.get_or_insert(whole);
    }
}

/// `create -d generic` split by step, near and far, the first time and when the host has the bundle.
fn creating(lab: &Lab) {
    for (place, round_trip) in [("on this computer", Duration::ZERO), ("40 ms away", Duration::from_millis(40))] {
        let host = lab.host(HostOptions::default());
        let near = SocketAddr::new(host.ip(), 22);
        let link = (!round_trip.is_zero()).then(|| DelayedLink::to(near, round_trip));
        let address = link.as_ref().map_or(near, DelayedLink::address);
        let mut env = Env::new();
        env.use_cache(&lab.cache());
        // The bundle is in the cache before anything is measured.
        env.run(&["bundle", "build"]).success();
        let first = create(&env, &host, address, &[]);
        let bundle = bundle_of(&env);
        let plain = plain_upload(&host, address, &bundle);
        let own = own_upload(&env, &bundle);
        println!("\n## `create -d generic`, a host {place}\n");
        table(&first.steps);
        let upload = first.upload.unwrap_or_default();
        let mib = std::fs::metadata(&bundle).expect("the bundle").len() as f64 / f64::from(1 << 20);
        println!("\n{mib:.0} MiB, from the start of the program to its end:\n");
        println!("| to the same host | MiB/s | ratio to ssh | budget |\n|---|---|---|---|");
        for (what, took, budget) in [
            ("`ssh host 'cat >file'`", plain, ""),
            ("our connection, `cat >file`", own, "0.80"),
            ("`upload-engine`: unpacked, every file checked, every program tried", upload, ""),
        ] {
            let (rate, ratio) = (mib / took.as_secs_f64(), plain.as_secs_f64() / took.as_secs_f64());
            println!("| {what} | {rate:.1} | {ratio:.2} | {budget} |");
        }
        env.run(&["rm", "-y", "bench"]).success();
        let second = create(&env, &host, address, &[]);
        println!("\n## `create` again, the host has the bundle, {place}\n");
        table(&second.steps);
        println!("\nRatio to the first: {:.2}", second.all.as_secs_f64() / first.all.as_secs_f64());
        // The user's own ssh as transport, to a host that has nothing yet.
        env.run(&["rm", "-y", "--uninstall", "bench"]).success();
        let over = create(&env, &host, address, &["--generic-ssh-transport", "openssh"]);
        println!("\n## `create --generic-ssh-transport openssh`, a host {place}\n");
        table(&over.steps);
        let ratio = upload.as_secs_f64() / over.upload.unwrap_or_default().as_secs_f64();
        println!("\n`upload-engine` over the built-in client, as a ratio to this: {ratio:.2} (budget 0.80)");
        env.run(&["rm", "-y", "bench"]).success();
    }
}

struct Run {
    all: Duration,
    steps: Vec<(String, f64)>,
    /// From the first byte sent to the last.
    upload: Option<Duration>,
}

fn create(env: &Env, host: &LabHost, address: SocketAddr, more: &[&str]) -> Run {
    let (ip, port, key, seen) = (
        address.ip().to_string(),
        address.port().to_string(),
        host.key().display().to_string(),
        host.host_key_fingerprint(),
    );
    let args = [
        "create",
        "bench",
        "-d",
        "generic",
        "--generic-ip-address",
        &ip,
        "--generic-ssh-port",
        &port,
        "--generic-ssh-key",
        &key,
        "--generic-ssh-host-key",
        &seen,
        "--progress",
        "json",
    ];
    let begun = Instant::now();
    let output = env.run(&[&args[..], more].concat()).success();
    let all = begun.elapsed();
    let steps = steps(&output);
    let upload = steps.iter().find(|(step, _)| step == "upload-engine").map(|(_, s)| Duration::from_secs_f64(*s));
    Run { all, steps, upload }
}

/// What each step took, of a run with `--progress json`.
fn steps(output: &Output) -> Vec<(String, f64)> {
    let events = output.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let finished = events.filter(|event| event["event"] == "finished");
    let step = |event: Value| {
        (event["step"].as_str().unwrap_or_default().to_owned(), event["seconds"].as_f64().unwrap_or_default())
    };
    let steps: Vec<_> = finished.map(step).collect();
    assert!(!steps.is_empty(), "no steps in the progress:\n{}", output.stdout);
    steps
}

/// The second VM on this computer, for which nothing has to be built: with `MACHINE_BEFORE` one of each.
fn local(lab: &Lab) {
    let long = Duration::from_secs(3600);
    if !Command::new("qemu-system-x86_64").arg("--version").output().is_ok_and(|done| done.status.success()) {
        return;
    }
    let mut before = None;
    for (label, program) in programs(&Env::new()) {
        let mut env = Env::new();
        env.use_cache(&lab.cache());
        let mut second = Vec::new();
        // The first builds what is missing.
        for _ in 0..2 {
            let create = env.command(&program, &["create", "-d", "qemu", "bench", "--progress", "json"]);
            second = steps(&create.deadline(long).run().success());
            env.command(&program, &["rm", "-y", "bench"]).deadline(long).run().success();
        }
        println!("\n## A second `create` of a VM on this computer, {label}\n");
        table(&second);
        let all: f64 = second.iter().map(|(_, s)| s).sum();
        if let Some(before) = before {
            println!("\nRatio to before: {:.2} (goal 0.50)", all / before);
        }
        before.get_or_insert(all);
    }
}

fn table(steps: &[(String, f64)]) {
    println!("| step | s |\n|---|---|");
    for (step, seconds) in steps {
        println!("| {step} | {seconds:.2} |");
    }
    println!("| all steps | {:.2} |", steps.iter().map(|(_, s)| s).sum::<f64>());
}

/// The archive that was sent.
fn bundle_of(env: &Env) -> std::path::PathBuf {
    let inspect = env.run(&["inspect", "bench", "--format", "{{.installed.bundle}}"]).success();
    let list =
        env.sh(&format!("ls \"$XDG_CACHE_HOME\"/machine/engines/bundles/{}/*.tar.gz", inspect.stdout.trim())).success();
    list.stdout.trim().into()
}

/// What the user's own ssh takes for the same bytes over the same line: the median of three.
fn plain_upload(host: &LabHost, address: SocketAddr, file: &std::path::Path) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let known_hosts = folder.path().join("known_hosts");
    let line =
        format!("[{}]:{} {}\n{} {}\n", address.ip(), address.port(), host.host_key(), address.ip(), host.host_key());
    std::fs::write(&known_hosts, line).expect("a file of our own");
    let known_hosts = format!("UserKnownHostsFile={}", known_hosts.display());
    median(3, || {
        let input = std::fs::File::open(file).expect("the bundle");
        let status = Command::new("ssh")
            .args(["-F", "/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", &known_hosts, "-o", "LogLevel=ERROR"])
            .arg("-i")
            .arg(host.key())
            .args(["-p", &address.port().to_string(), &format!("root@{}", address.ip()), "cat >/root/plain"])
            .stdin(input)
            .status();
        assert!(status.expect("ssh starts").success(), "plain upload");
    })
}

/// The same by the program's own SSH, which it uses where it finds no other: the median of three.
fn own_upload(env: &Env, file: &std::path::Path) -> Duration {
    median(3, || {
        let script = format!("PATH=$HOME/bin exec machine ssh bench 'cat >/root/ours' <'{}'", file.display());
        env.sh(&script).success();
    })
}
