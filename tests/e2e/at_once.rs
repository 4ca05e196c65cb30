//! Many at once: one CA, every machine works, and what failed is finished by running it again.

use std::time::Duration;

use machine_tests::{Env, HostOptions, Lab, LabHost, until};

use crate::common;

fn hosts(lab: &Lab, count: usize) -> Vec<LabHost> {
    std::thread::scope(|scope| {
        let starts = (0..count).map(|_| scope.spawn(|| lab.host(HostOptions::default()))).collect::<Vec<_>>();
        starts.into_iter().map(|start| start.join().expect("a host")).collect()
    })
}

/// The engine answers; the client's certificate is of the one CA, the engine's of the machine's own.
#[track_caller]
fn works(env: &Env, name: &str) {
    env.sh(&format!("eval $(machine env --shell sh {name}) && docker version -f '{{{{.Server.Version}}}}'")).success();
    let script = format!(
        "set -e; cd \"$MACHINE_STORAGE_PATH\"; ! cmp -s certs/ca.pem machines/{name}/ca.pem
         for cert in certs/cert.pem machines/{name}/cert.pem; do openssl verify -CAfile certs/ca.pem $cert; done
         openssl verify -CAfile machines/{name}/ca.pem machines/{name}/server.pem
         for other in machines/*; do
             test $other = machines/{name} || ! openssl verify -CAfile $other/ca.pem machines/{name}/server.pem
         done
         test \"$(openssl x509 -in machines/{name}/cert.pem -noout -pubkey)\" = \"$(openssl pkey -in machines/{name}/key.pem -pubout)\""
    );
    env.sh(&script).success();
}

#[test]
fn ten_first_creates_make_one_ca_and_ten_machines() {
    let Some(lab) = Lab::open() else { return };
    let hosts = hosts(&lab, 10);
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    let running = hosts.iter().enumerate().map(|(index, host)| {
        let (ip, key, name) = (host.ip().to_string(), host.key().display().to_string(), format!("web-{index}"));
        let seen = host.host_key_fingerprint();
        let mut args = vec!["create", &name, "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
        args.extend(["--generic-ssh-host-key", &seen]);
        env.machine(&args).spawn()
    });
    for create in running.collect::<Vec<_>>() {
        create.wait().success();
    }
    for index in 0..10 {
        works(&env, &format!("web-{index}"));
    }
    let keys: Vec<String> = env.store_files().into_iter().filter(|file| file.ends_with("ca-key.pem")).collect();
    let of_machines = keys.iter().filter(|file| file.starts_with("machines/")).count();
    assert_eq!((keys.len(), of_machines), (11, 10), "one CA for clients, and one for each machine: {keys:?}");
    let listed = env.run(&["ls", "-q"]).success().stdout;
    assert_eq!(listed.lines().collect::<Vec<_>>(), (0..10).map(|i| format!("web-{i}")).collect::<Vec<_>>());
    let strays = env.store_files().into_iter().filter(|file| file.contains("/.")).collect::<Vec<_>>();
    assert_eq!(strays, Vec::<String>::new());
}

/// On the host: each turn is written down where it begins and ends, by the process that has it and the connection that it
/// came by; so is each change, with the process among its parents that has the turn. A change is what is brought to the disk:
/// whatever changes a host calls `sync` between two changes. It takes its time here, and two at once are seen by themselves.
const RECORDER: &str = r#"cd /usr/local/sbin
cat >ln <<'EOF'
#!/bin/sh
/bin/ln "$@"; code=$?
case "$code $*" in "0 -T /run/machine.applying."*" /run/machine.applying") echo "begin $PPID $SSH_CONNECTION" >>/run/turns ;; esac
exit $code
EOF
cat >rm <<'EOF'
#!/bin/sh
case "$*" in "-f -- /run/machine.applying") echo "end $PPID" >>/run/turns ;; esac
exec /bin/rm "$@"
EOF
cat >sync <<'EOF'
#!/bin/sh
mkdir /run/changing 2>/dev/null || echo "$(tr '\0' ' ' </proc/$PPID/cmdline | cut -c 1-60): $*" >>/run/overlaps
read -r holder since 2>/dev/null </run/machine.applying || holder=0
at=$PPID
while [ "$at" -gt 1 ] && [ "$at" != "$holder" ]; do at=$(sed 's/.*) //' "/proc/$at/stat" | cut -d ' ' -f 2); done
echo "change $at $*" >>/run/turns
/bin/sleep 0.1
/bin/sync "$@"
code=$?
rmdir /run/changing 2>/dev/null
exit $code
EOF
chmod +x ln rm sync"#;

/// Who had the host to itself.
struct Turn {
    process: String,
    /// Of the SSH connection.
    client: String,
    changes: Vec<String>,
}

/// What the host has seen: one turn after another, each change in the turn of the process that made it.
#[track_caller]
fn turns(host: &LabHost) -> Vec<Turn> {
    assert_eq!(host.exec("cat /run/overlaps 2>/dev/null").stdout, "", "changed at the same time");
    let text = host.exec("cat /run/turns").success().stdout;
    let (mut over, mut open) = (Vec::new(), None::<Turn>);
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').expect("a word and a process");
        let (process, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match (word, open.take()) {
            ("begin", None) => {
                let client = rest.to_owned();
                open = Some(Turn { process: process.to_owned(), client, changes: Vec::new() });
            }
            ("change", Some(mut turn)) if turn.process == process => {
                turn.changes.push(rest.to_owned());
                open = Some(turn);
            }
            ("end", Some(turn)) if turn.process == process => over.push(turn),
            _ => panic!("{line:?} is not of the turn that was under way, in:\n{text}"),
        }
    }
    assert!(open.is_none(), "a turn has no end:\n{text}");
    over
}

#[track_caller]
fn was_changed(turns: &[Turn], what: &str) {
    let all = || turns.iter().flat_map(|turn| &turn.changes);
    assert!(all().any(|change| change.contains(what)), "{what}: {:?}", all().collect::<Vec<_>>());
}

#[test]
fn two_commands_never_change_one_host_at_the_same_time() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    host.exec(RECORDER).success();
    // Two users who both want the host: each claims it, uploads, installs, switches and starts.
    let envs = [common::env(&lab), common::env(&lab)];
    let running = envs.iter().map(|env| common::create(env, "web-1", &host, &["--replace"]).spawn());
    let ended = running.collect::<Vec<_>>().into_iter().map(|create| create.wait()).collect::<Vec<_>>();
    let claimed = turns(&host);
    let changes = claimed.iter().map(|turn| turn.changes.len()).sum::<usize>();
    assert!(changes > 20, "{changes}: {}{}", ended[0], ended[1]);
    for what in ["/opt/machine/.owner", "/opt/machine/engine", "/etc/docker", "/etc/systemd/system"] {
        was_changed(&claimed, what);
    }
    assert!(ended.iter().any(|create| create.code == 0), "{}{}", ended[0], ended[1]);
    // Whose it is in the end is one of them, and that one's engine answers.
    let (owners, others): (Vec<_>, Vec<_>) =
        envs.iter().partition(|env| env.sh("docker $(machine config web-1) version").code == 0);
    assert_eq!(owners.len(), 1);

    // The owner's store on another computer: both bring the host files and restart the engine.
    let (owner, twin) = (owners[0], others[0]);
    let copy = "rm -r \"$MACHINE_STORAGE_PATH\" && cp -a \"$1\" \"$MACHINE_STORAGE_PATH\"";
    let store = owner.store().display().to_string();
    twin.command("sh", &["-c", copy, "sh", &store]).run().success();
    host.exec("/bin/rm /run/turns").success();
    let commands = [(owner, "a=1"), (twin, "a=2")];
    let running = commands.map(|(env, label)| env.machine(&["set", "web-1", "--engine-label", label]).spawn());
    let ended = running.map(|set| set.wait());
    let changed = turns(&host);
    let mut clients: Vec<_> = changed.iter().map(|turn| turn.client.as_str()).collect();
    clients.sort_unstable();
    clients.dedup();
    assert!(clients.len() >= 2, "both had turns: {clients:?}\n{}{}", ended[0], ended[1]);
    for what in ["/etc/docker", "/opt/machine"] {
        was_changed(&changed, what);
    }
    // Whatever each of them was told, the next one brings its own.
    owner.run(&["set", "web-1", "--engine-label", "a=3"]).success();
    // The engine lists them in any order.
    let labels = host.exec("docker info -f '{{json .Labels}}'").success().stdout;
    let mut labels: Vec<String> = serde_json::from_str(&labels).expect("a list");
    labels.sort();
    assert_eq!(labels, ["a=3", "provider=generic"]);
}

#[test]
fn a_script_killed_on_the_host_in_its_turn_holds_up_nobody() {
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions::default());
    let env = common::env(&lab);
    common::create(&env, "web-1", &host, &[]).run().success();
    host.exec(RECORDER).success();
    let set = ["set", "web-1", "--engine-label", "a=1"];
    let running = env.machine(&set).spawn();
    let kill = "read -r pid since </run/machine.applying && kill -9 \"$pid\" && echo \"$pid\"";
    let killed = until("a script's turn", Duration::from_secs(60), || {
        let seen = host.exec(kill);
        if seen.code == 0 { Ok(seen.stdout) } else { Err(seen.to_string()) }
    });
    let ended = running.wait();
    assert_ne!(ended.code, 0, "its script was killed: {ended}");
    let left = host.exec("cut -d ' ' -f 1 /run/machine.applying").success().stdout;
    assert_eq!(left, killed, "nobody has cleared it away");
    // Two at once come after it, each in its turn.
    let replace = common::env(&lab);
    let commands = [env.machine(&set).spawn(), common::create(&replace, "web-1", &host, &["--replace"]).spawn()];
    let ended = commands.map(|command| command.wait());
    assert!(ended.iter().any(|command| command.code == 0), "{}{}", ended[0], ended[1]);
    assert!(ended.iter().all(|command| !command.stderr.contains("an earlier change")), "{}{}", ended[0], ended[1]);
    assert_eq!(host.exec("cat /run/overlaps 2>/dev/null; ls -d /run/machine.applying* 2>/dev/null").stdout, "");
    let works = [&env, &replace].into_iter().filter(|env| env.sh("docker $(machine config web-1) version").code == 0);
    assert_eq!(works.count(), 1);
}

#[test]
fn of_three_one_fails_and_running_it_again_finishes_the_rest() {
    let env = Env::new();
    let three = ["create", "a", "b", "c", "-d", "none", "--url", "tcp://192.0.2.7:2375", "--wait=0s"];
    // Somebody is at work on b.
    std::fs::create_dir_all(env.store().join("locks")).expect("a folder of our own");
    let hold = "exec flock -F \"$MACHINE_STORAGE_PATH/locks/m-b\" sh -c 'echo held; exec sleep 100'";
    let mut holder = env.command("sh", &["-c", hold]).spawn();
    holder.wait_for("held", Duration::from_secs(10));
    let first = env.run(&three).failure(3);
    let first =
        first.says(&["a: ready: ", "c: ready: ", "machine \"b\" is busy: ", "hint: try again when it has finished"]);
    assert!(!first.stderr.contains("b: ready"), "{first}");
    env.run(&["url", "a"]).success();
    env.run(&["url", "c"]).success();
    env.run(&["url", "b"]).failure(4);
    let _ = holder.kill();
    let again = env.run(&three).success().says(&["a: already so", "b: ready: ", "c: already so"]);
    assert!(!again.stderr.contains("error"), "{again}");
    env.run(&["url", "b"]).success();
}
