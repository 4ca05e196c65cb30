//! What cannot work is refused: in words that name the thing, with a hint and an exit code, and nothing half-made stays.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use machine_tests::{Env, HostOptions, Init, Lab, LabHost, NetworkOptions, Output, until};
use rustix::process::Signal;

/// A user who may use bundles that are here already.
pub(crate) fn user(lab: &Lab) -> Env {
    let mut env = Env::new();
    env.use_cache(&lab.cache());
    env
}

/// `machine create NAME` on this host with what it takes, and more.
fn create(env: &Env, name: &str, host: &LabHost, more: &[&str]) -> Output {
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    let mut args = vec!["create", name, "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    if !more.contains(&"--generic-ssh-host-key") {
        args.extend(["--generic-ssh-host-key", &seen]);
    }
    args.extend(more);
    env.run(&args)
}

/// As designed: the record stays, `create` would go on, and `rm` gives up without leaving anything here.
#[track_caller]
pub(crate) fn gives_up(env: &Env, name: &str, refused: &Output) {
    let (on, up) = (format!("to continue: machine create {name}"), format!("to remove:   machine rm {name}"));
    for line in [&on, &up] {
        assert!(refused.stderr.contains(line.as_str()), "it should say {line:?}:\n{refused}");
    }
    env.run(&["rm", "-y", name]).success();
    let left = env.store_files().into_iter().filter(|file| file.starts_with("machines/")).collect::<Vec<_>>();
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(std::fs::read_dir(env.tmp()).expect("our own folder").count(), 0, "files in TMPDIR");
}

/// Nothing of ours is on the host.
#[track_caller]
pub(crate) fn untouched(host: &LabHost) {
    assert_eq!(host.exec("ls -d /opt/machine /etc/docker/*.pem 2>/dev/null").stdout, "", "the host was changed");
}

#[test]
fn names() {
    let env = Env::new();
    let make = |name: &str, url: &str| env.run(&["create", name, "-d", "none", "--url", url]);
    make("we_b", "tcp://192.0.2.7:2375").failure(3).says(&[
        "error: invalid machine name \"we_b\": '_' is not allowed",
        "hint: use letters, digits, \"-\" and \".\"",
    ]);
    assert_eq!(env.store_files(), Vec::<String>::new(), "nothing was made");
    make("web-1", "tcp://192.0.2.7:2375").success();
    let taken = make("web-1", "tcp://192.0.2.8:2375").failure(3);
    taken.says(&[
        "error: machine \"web-1\" already exists, with other settings",
        "  caused by: url: it is tcp://192.0.2.7:2375, you ask for tcp://192.0.2.8:2375",
        "hint: keep its settings: machine create web-1; or remove it first: machine rm web-1",
    ]);
    let old = ["create", "-d", "none", "--url", "tcp://192.0.2.8:2375", "web-1"];
    let old = env.machine(&old).arg0("docker-machine").run().failure(1);
    old.says(&["Docker machine \"web-1\" already exists"]);
    for command in ["ip", "url", "status", "inspect", "provision", "ssh"] {
        let unknown = env.run(&[command, "web-2"]);
        let unknown = unknown.failure(if command == "ssh" { 255 } else { 4 });
        unknown.says(&["error: machine \"web-2\" does not exist", "hint: `machine ls` lists the machines"]);
    }
    env.run(&["rm", "-y", "web-2"]).failure(4).says(&["machine \"web-2\" does not exist"]);
}

#[test]
fn an_address_that_nobody_has() {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab);
    let ip = lab.network(NetworkOptions::default()).unused().to_string();
    let key = lab.key().display().to_string();
    let args = ["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    let refused = env.run(&args).failure(7).says(&[
        &format!("error: waited 20 s for SSH on root@{ip}"),
        &format!("  caused by: cannot reach {ip}:22"),
        "hint: check the address and port, and that sshd runs and no firewall is in between",
    ]);
    gives_up(&env, "web-1", &refused);
}

#[test]
fn an_address_that_answers_tcp_and_never_ssh() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    let (ip, key, seen) = (host.ip().to_string(), host.key().display().to_string(), host.host_key_fingerprint());
    host.freeze();
    let mut args = vec!["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    args.extend(["--generic-ssh-host-key", &seen]);
    let refused =
        env.run(&args).failure(7).says(&[&format!("{ip}:22 accepts connections but does not speak SSH"), "hint: "]);
    host.thaw();
    gives_up(&env, "web-1", &refused);
    untouched(&host);
}

#[test]
fn ports_keys_users_and_host_keys() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    let (ip, seen) = (host.ip().to_string(), host.host_key_fingerprint());
    let stranger = env.home().join("stranger").display().to_string();
    env.command("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &stranger]).run().success();
    let other = env.command("ssh-keygen", &["-l", "-f", &format!("{stranger}.pub")]).run().success().stdout;
    let other = other.split(' ').nth(1).expect("a fingerprint").to_owned();
    let cases: &[(&str, &[&str], i32, &[&str])] = &[
        (
            "port",
            &["--generic-ssh-port", "23"],
            1,
            &[
                &format!("error: nothing listens on {ip}:23"),
                "hint: check the address and port, and that sshd runs and no firewall is in between",
            ],
        ),
        (
            "user",
            &["--generic-ssh-user", "nobody"],
            5,
            &[
                &format!("error: nobody@{ip}:22 refused the login"),
                "hint: check the user name, and that the public key is in ~nobody/.ssh/authorized_keys on the host",
            ],
        ),
        (
            "sudo",
            &["--generic-ssh-user", "pw"],
            5,
            &[
                &format!("error: user pw on pw@{ip}:22 cannot use sudo without a password"),
                "  caused by: sudo: a password is required",
                "hint: log in as root, or allow it on the host, after what sudoers says already: echo 'pw ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/machine",
            ],
        ),
        (
            "declared",
            &["--generic-ssh-host-key", &other],
            5,
            &[
                &format!("error: the host key of {ip}:22 is not the one you gave"),
                &format!("  caused by: you gave {other}"),
                &format!("  caused by: it shows {seen}"),
                "hint: compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's own console",
            ],
        ),
    ];
    for (name, more, code, texts) in cases {
        let refused = create(&env, name, &host, more).failure(*code).says(texts);
        gives_up(&env, name, &refused);
        untouched(&host);
    }

    // The last flag given counts neither here nor anywhere: a wrong key is another command line.
    let bare = ["create", "key", "-d", "generic", "--generic-ip-address", &ip];
    let wrong_key = [&bare[..], &["--generic-ssh-key", &stranger, "--generic-ssh-host-key", &seen]].concat();
    let refused = env.run(&wrong_key).failure(5).says(&[
        &format!("error: root@{ip}:22 refused the login"),
        "  caused by: offered: ",
        "hint: check the user name, and that the public key is in ~root/.ssh/authorized_keys on the host",
    ]);
    gives_up(&env, "key", &refused);

    // Nobody vouches for the host, and nobody is there to be asked; the hint mends it.
    let key = host.key().display().to_string();
    let unknown = [&bare[..], &["--generic-ssh-key", &key]].concat();
    let refused = env.run(&unknown).failure(5).says(&[
        &format!("error: the host key of {ip}:22 is not known"),
        "  caused by: it shows SHA256:",
        "hint: if that is the right fingerprint, add: --generic-ssh-host-key SHA256:",
    ]);
    let (_, hint) = refused.stderr.rsplit_once("add: ").expect("said above");
    let hint = hint.split_whitespace().collect::<Vec<_>>();
    untouched(&host);
    // Far enough to see that it is believed: the host's own check refuses for another reason.
    host.exec("printf '#!/bin/sh\\necho 0\\n' >/usr/local/bin/date; chmod +x /usr/local/bin/date").success();
    let refused = env.run(&[&unknown[..], &hint].concat()).failure(1).says(&["error: the host's clock is "]);
    gives_up(&env, "key", &refused);
}

#[test]
fn hosts_that_cannot_carry_an_engine() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions::default()));
    // A probe's program stands in for the host that we cannot have: another clock, another C library.
    let stub = |name: &str, body: &str| {
        format!("printf '%s\\n' '#!/bin/sh' '{body}' >/usr/local/bin/{name}; chmod +x /usr/local/bin/{name}")
    };
    let cases: &[(&str, &str, &str, i32, &[&str])] = &[
        (
            "clock",
            &stub("date", "exec /bin/date -d +8761hours \"$@\""),
            "rm /usr/local/bin/date",
            1,
            &[
                "error: the host's clock is 365 days ahead",
                "  caused by: its certificates would not be valid yet, or no longer",
                "hint: set it on the host, for example: timedatectl set-ntp true",
            ],
        ),
        (
            "glibc",
            &stub("getconf", "echo glibc 2.31"),
            "rm /usr/local/bin/getconf",
            1,
            &[
                "error: the host's glibc 2.31 is older than engine bundle docker-26.1.5-trixie-amd64 needs (2.34)",
                "hint: use a newer host, or a bundle made for older ones: --engine-bundle debian:bookworm",
            ],
        ),
        (
            "hosts",
            "mkdir -p /etc/docker; echo '{\"hosts\": [\"tcp://0.0.0.0:2375\"]}' >/etc/docker/daemon.json",
            "rm -r /etc/docker",
            2,
            &[
                "error: /etc/docker/daemon.json: the host's daemon.json has hosts = [\"tcp://0.0.0.0:2375\"], machine wants [",
                "hint: remove hosts from the host's daemon.json: the engine's listeners and TLS are machine's",
            ],
        ),
        (
            "tls",
            "mkdir -p /etc/docker; echo '{\"tls\": false}' >/etc/docker/daemon.json",
            "rm -r /etc/docker",
            2,
            &[
                "error: /etc/docker/daemon.json: the host's daemon.json has tls = false, machine wants it unset",
                "hint: remove tls from the host's daemon.json: the engine's listeners and TLS are machine's",
            ],
        ),
        (
            "json",
            "mkdir -p /etc/docker; echo '{\"debug\": tru' >/etc/docker/daemon.json",
            "rm -r /etc/docker",
            2,
            &[
                "error: /etc/docker/daemon.json on the host is not JSON",
                "hint: correct it on the host, or move it away",
            ],
        ),
    ];
    for (name, prepare, undo, code, texts) in cases {
        host.exec(prepare).success();
        let refused = create(&env, name, &host, &[]).failure(*code).says(texts);
        untouched(&host);
        gives_up(&env, name, &refused);
        host.exec(undo).success();
    }
    let left = host.exec("find /etc /opt /usr/local -name '*docker*' -o -name '*containerd*' -o -path '/opt/*'");
    assert_eq!(left.success().stdout, "", "the host is as it was");
}

#[test]
fn a_host_without_systemd() {
    let Some(lab) = Lab::open() else { return };
    let (env, host) = (user(&lab), lab.host(HostOptions { init: Init::Sshd, ..HostOptions::default() }));
    let refused = create(&env, "web-1", &host, &[]).failure(1).says(&[
        "error: the host does not run systemd",
        "hint: machine starts the engine as systemd units; use a host whose PID 1 is systemd",
    ]);
    untouched(&host);
    gives_up(&env, "web-1", &refused);
}

#[test]
fn a_full_disk() {
    let Some(lab) = Lab::open() else { return };
    let small_disks = vec![("/opt".into(), 64)];
    let (env, host) = (user(&lab), lab.host(HostOptions { small_disks, ..HostOptions::default() }));
    let refused = create(&env, "web-1", &host, &[]).failure(6).says(&[
        "error: no room for the engine in /opt on the host: ",
        " MiB needed",
        "hint: free some space on the host, or mount a larger file system at /opt/machine",
    ]);
    untouched(&host);
    gives_up(&env, "web-1", &refused);
}

#[test]
fn hosts_of_others_and_changed_host_keys() {
    let Some(lab) = Lab::open() else { return };
    let (ours, theirs, host) = (user(&lab), user(&lab), lab.host(HostOptions::default()));
    create(&ours, "web-1", &host, &[]).success();
    let owned = [
        "  caused by: /opt/machine/owner names machine id ",
        "hint: remove it there first (`machine rm`), or take the host over with --replace",
    ];
    let refused = create(&theirs, "web-1", &host, &[]).failure(5).says(&owned);
    let refused = refused.says(&["error: the host belongs to a machine of another store"]);
    gives_up(&theirs, "web-1", &refused);
    let refused = create(&ours, "web-2", &host, &[]).failure(5).says(&owned);
    refused.says(&["error: the host belongs to another machine of this store"]);
    ours.run(&["rm", "-y", "web-2"]).success();
    let version = "eval $(machine env --shell sh web-1) && docker version -f '{{.Server.Version}}'";
    ours.sh(version).success();

    // Rebuilt, or somebody in between: always an error, and the hint is the way on.
    host.change_host_key();
    let refused = ours.run(&["provision", "web-1"]).failure(5).says(&[
        &format!("error: the host key of {}:22 has changed", host.ip()),
        "  caused by: this is not the host that was set up, or somebody intercepts the connection",
        "hint: if the host was rebuilt and this is its key: machine set web-1 --ssh-host-key SHA256:",
    ]);
    let (_, hint) = refused.stderr.rsplit_once("its key: machine ").expect("said above");
    let hint = hint.split_whitespace().collect::<Vec<_>>();
    assert_eq!(hint.last(), Some(&host.host_key_fingerprint().as_str()), "{refused}");
    // A11: what is not believed to be the host is not touched, and the machine stays what it was.
    ours.run(&["rm", "-y", "web-1"]).failure(5).says(&["has changed", "hint: if the host was rebuilt"]);
    assert_eq!(ours.run(&["ls", "--no-probe", "-f", "{{.State}}"]).success().stdout, "Running\n");
    ours.run(&hint).success();
    ours.run(&["provision", "web-1"]).success();

    // An engine that machine did not install: a real one, left by others.
    host.exec("cp -L /opt/machine/engine/current/bin/dockerd /usr/bin/dockerd").success();
    ours.run(&["rm", "-y", "--uninstall", "web-1"]).success();
    let refused = create(&ours, "web-1", &host, &[]).failure(1).says(&[
        "error: the host has an engine that machine did not install",
        "  caused by: found /usr/bin/dockerd",
        "hint: --adopt keeps it and adds TLS; --replace puts the bundled engine in its place",
    ]);
    untouched(&host);
    gives_up(&ours, "web-1", &refused);
}

/// Writes a file of a store, as another version or another program would have.
fn store_file(env: &Env, name: &str, text: &str) {
    let path = env.store().join(name);
    std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
    let script = format!("cat >'{}'", path.display());
    env.command("sh", &["-c", &script]).stdin(text).run().success();
}

#[test]
fn stores_of_newer_versions_and_of_docker_machine() {
    let env = Env::new();
    let make = ["create", "web-1", "-d", "none", "--url", "tcp://192.0.2.7:2375"];
    store_file(&env, "store.json", "{\"version\": 99, \"id\": \"7c3bd4c5-4ef0-4a67-8d3b-6b1f27a51b0e\"}");
    for (args, code) in [(&make[..], 3), (&["ls"], 1), (&["url", "web-1"], 1)] {
        env.run(args).failure(code).says(&[
            "was written by a newer version of this program (format 99, this one knows 1)",
            "hint: upgrade `machine` to the version that wrote it",
        ]);
    }
    assert_eq!(env.store_files(), ["store.json"]);

    let env = Env::new();
    store_file(&env, "certs/ca.pem", "");
    store_file(&env, "machines/old/config.json", "{\"ConfigVersion\": 3, \"Driver\": {}}");
    let before = env.store_files();
    env.run(&make).failure(3).says(&[
        " is not a store of this program",
        "hint: this looks like docker-machine's folder; `machine` keeps its own: choose another with `--storage-path`",
    ]);
    assert_eq!(env.store_files(), before, "it is left alone");
}

#[test]
fn a_record_of_a_newer_version_can_be_read_and_removed_only() {
    let env = Env::new();
    let make = ["create", "web-1", "-d", "none", "--url", "tcp://192.0.2.7:2375"];
    env.run(&make).success();
    let path = env.store().join("machines/web-1/machine.json");
    let record = std::fs::read_to_string(&path).expect("a record").replacen("\"version\": 2", "\"version\": 99", 1);
    assert!(record.contains("\"version\": 99"));
    store_file(&env, "machines/web-1/machine.json", &record);
    assert_eq!(env.run(&["url", "web-1"]).success().stdout, "tcp://192.0.2.7:2375\n");
    assert!(env.run(&["ls", "-q"]).success().stdout.contains("web-1"));
    // A create that was not finished writes first of all.
    let journal = env.store().join("machines/web-1/journal.jsonl");
    std::fs::remove_file(journal).expect("it was there");
    env.run(&["create", "web-1"]).failure(1).says(&[
        "was written by a newer version of this program (format 99, this one knows 2)",
        "hint: upgrade `machine` to the version that wrote it",
    ]);
    assert_eq!(std::fs::read_to_string(&path).expect("a record"), record, "it is left alone");
    env.run(&["rm", "-y", "web-1"]).success();
}

#[test]
fn a_store_of_another_user() {
    if !rustix::process::geteuid().is_root() {
        machine_tests::skipped("needs root, to be somebody else");
        return;
    }
    let env = Env::new();
    let make = ["create", "web-1", "-d", "none", "--url", "tcp://192.0.2.7:2375"];
    env.run(&make).success();
    // Somebody else gets as far as the store; what is in it stays root's.
    let home = env.home();
    let root = home.parent().expect("a folder around it");
    open(root);
    open(&home);
    open(&home.join("bin"));
    let program = std::fs::canonicalize(env.program()).expect("the program");
    let copy = root.join("machine");
    std::fs::copy(program, &copy).expect("a copy that all may run");
    open(&copy);
    let copy = copy.display().to_string();
    let as_nobody = |args: &[&str]| {
        let words = [&["--reuid", "65534", "--regid", "65534", "--clear-groups", &copy], args].concat();
        env.command("setpriv", &words).run()
    };
    let store = env.store().display().to_string();
    for (args, code) in [(&make[..], 3), (&["ls"], 5)] {
        as_nobody(args).failure(code).says(&[
            &format!("{store} belongs to user 0, not to user 65534"),
            "hint: it was made by root (sudo?): give it back with `sudo chown -R \"$(id -u):$(id -g)\" ",
        ]);
    }
    env.command("chown", &["-R", "65534", &store]).run().success();
    env.run(&["ls"]).failure(5).says(&[
        &format!("{store} belongs to user 65534, not to user 0"),
        "hint: run as the user who owns it (not with sudo), or choose another folder with `--storage-path`",
    ]);
}

fn open(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
}

#[test]
fn a_busy_machine_names_who_is_at_it() {
    let Some(lab) = Lab::open() else { return };
    let env = user(&lab);
    let ip = lab.network(NetworkOptions::default()).unused().to_string();
    let key = lab.key().display().to_string();
    let args = ["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-key", &key];
    let mut holder = env.machine(&args).spawn();
    let record = env.store().join("machines/web-1/machine.json");
    until("the first command to be at it", Duration::from_secs(10), || {
        if record.exists() { Ok(()) } else { Err("no record yet".to_owned()) }
    });
    let busy = env.run(&["rm", "-y", "--wait=0s", "web-1"]).failure(1).says(&[
        &format!("error: machine \"web-1\" is busy: process {} is at work: machine create web-1 (since ", holder.pid()),
        "hint: try again when it has finished, or wait longer with `--wait`",
    ]);
    assert!(busy.took < Duration::from_secs(5), "{busy}");
    assert!(!busy.stderr.contains(&key), "no settings in it");
    env.run(&["ls"]).success();
    holder.signal(Signal::INT);
    holder.wait().failure(130);
    env.run(&["rm", "-y", "web-1"]).success();
}
