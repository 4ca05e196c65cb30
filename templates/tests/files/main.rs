//! Every file: it has a struct, its quoting is seen in a snapshot, and the language's own checker takes it.
#![expect(clippy::unwrap_used, clippy::format_push_string, reason = "helpers of tests")]

mod shells;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use machine_templates::client::{JumpHost, SshConfig};
use machine_templates::env::{EnvVars, Shell, render_env, render_unset};
use machine_templates::host::{AdoptDropIn, EngineEnvironment, EngineFiles, HostFile, Word};
use machine_templates::remote::*;
use machine_templates::{FILES, TextFile};

/// A space, both quotes, `%`, `$`, a backslash, a line break, `!`.
const AWKWARD: &str = "a b'c\"d%e$f\\g\nh!i `j`";
/// The same without what some languages cannot hold.
const MILD: &str = "a b'c$f(g)";

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn present(program: &str) -> bool {
    let found = on_path(program);
    if !found {
        machine_base::skipped(&format!("{program} is not installed here"));
    }
    found
}

fn run(program: &str, args: &[&str]) -> (bool, String) {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    (out.status.success(), format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a scratch folder of a test")]
    std::fs::write(path, text).unwrap();
}

fn vars(value: &str) -> EnvVars {
    EnvVars {
        set: vec![
            ("DOCKER_TLS_VERIFY".to_owned(), "1".to_owned()),
            ("DOCKER_HOST".to_owned(), "tcp://[fd00::1]:2376".to_owned()),
            ("DOCKER_CERT_PATH".to_owned(), value.to_owned()),
            ("DOCKER_MACHINE_NAME".to_owned(), "dev".to_owned()),
        ],
        unset: vec!["NO_PROXY".to_owned()],
    }
}

fn paths(v: &str) -> Paths<'_> {
    Paths {
        home: v,
        turn: v,
        socket: v,
        own_socket: v,
        daemon_json: v,
        daemon_wanted: v,
        staged: v,
        units: v,
        programs: v,
        before: v,
        environment: v,
    }
}

/// A bundled engine's files, in the layout of today.
fn engine_files(environment: bool) -> Vec<HostFile> {
    engine_files_closed_to(None, environment)
}

fn engine_files_closed_to(closed: Option<&str>, environment: bool) -> Vec<HostFile> {
    EngineFiles {
        containerd_unit: "machine-containerd.service",
        containerd_root: "/var/lib/machine/containerd",
        containerd_state: "/run/machine/containerd",
        sockets: &["/run/docker.sock", "/run/machine/docker.sock"],
        environment,
        closed,
    }
    .files()
    .unwrap()
}

/// Every script, with awkward values wherever a value goes.
fn scripts(value: &str) -> Vec<(&'static str, String)> {
    fn one<S: Script>(s: S) -> (&'static str, String) {
        (S::FILE, s.text().unwrap())
    }
    let v = value;
    vec![
        one(CheckBundle { digest: v, sums: v }),
        one(CheckFiles { files: v }),
        one(Claim { machine_id: v, store_id: v, layout: 2, replace: false }),
        one(Release { machine_id: v, files: v }),
        one(EngineHealth { deadline_seconds: 20, wait_seconds: 60 }),
        one(Facts),
        one(HostKeyDrop),
        one(HostKeyInstall),
        one(HostKeyMake),
        one(HostListeners { ids: v }),
        one(InstallFiles { files: v }),
        one(MountShares { lines: v, look: false }),
        one(ApplyEngine { deadline_seconds: 120, reload_enough: false, adopted: false, start_stopped: true }),
        one(SetClock { now: 1_700_000_000, slack_seconds: 2 }),
        one(SwitchEngine { digest: v, links: v, prune: true }),
        one(Uninstall { machine_id: v, files: v, remove_data: false, deadline_seconds: 60 }),
        one(UnpackBundle { digest: v, sums: v, checks: v }),
        one(ValidateEngine { digest: v }),
        (Prelude::FILE, Prelude { root: v, paths: paths(v), take_turn: true }.text().unwrap()),
    ]
}

#[test]
fn every_file_has_a_struct() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("files");
    let mut found = BTreeSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(found, FILES.iter().map(|&f| f.to_owned()).collect());
}

#[test]
fn every_script_is_tried_with_awkward_values() {
    let tried: BTreeSet<_> = scripts("x").into_iter().map(|(file, _)| file).collect();
    assert_eq!(tried, SCRIPTS.iter().map(|(file, _)| *file).chain([Prelude::FILE]).collect());
}

#[test]
fn l11_a_vm_may_be_closed_to_its_computer() {
    let unit = |closed| engine_files_closed_to(closed, false).pop().unwrap().text;
    let (open, closed) = (unit(None), unit(Some("10.0.2.2")));
    let more: Vec<&str> = closed.lines().filter(|line| !open.lines().any(|l| l == *line)).collect();
    insta::assert_snapshot!(more.join("\n"), @"
    # The computer that this VM runs on is nothing for its containers.
    ExecStartPost=/bin/sh -c 'iptables -w -C DOCKER-USER -d 10.0.2.2 -j REJECT 2>/dev/null || exec iptables -w -I DOCKER-USER -d 10.0.2.2 -j REJECT'
    ");
    assert_eq!(open.lines().count() + 2, closed.lines().count());
}

#[test]
fn texts_end_with_one_line_break() {
    for (file, text) in scripts("x") {
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{file}");
    }
    for file in engine_files(false) {
        assert!(file.text.ends_with('\n') && !file.text.ends_with("\n\n"), "{}", file.path);
    }
}

#[test]
fn env_in_every_shell() {
    let mut shown = String::new();
    for (shell, value) in [
        (Shell::Posix, AWKWARD),
        (Shell::Fish, AWKWARD),
        (Shell::Powershell, MILD),
        (Shell::Cmd, MILD),
        (Shell::Tcsh, AWKWARD),
        (Shell::Emacs, AWKWARD),
        (Shell::Nushell, AWKWARD),
    ] {
        shown += &format!("=== {shell}\n{}", render_env(shell, &vars(value), "machine env dev").unwrap());
        let names = ["DOCKER_HOST".to_owned(), "DOCKER_CERT_PATH".to_owned()];
        shown += &format!("--- unset\n{}", render_unset(shell, &names, "machine env -u").unwrap());
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn units_and_settings() {
    let mut shown = String::new();
    for file in engine_files(true) {
        shown += &format!("=== {}\n{}", file.path, file.text);
    }
    let variables = [("HTTP_PROXY", AWKWARD), ("NO_PROXY", "localhost")];
    shown += &format!("=== environment\n{}", EngineEnvironment { variables: &variables }.text().unwrap());
    let as_written = ["/usr/bin/dockerd", "--label", "'a b'", "$DOCKER_OPTS"].map(|w| Word::AsWritten(w.to_owned()));
    let adopted = AdoptDropIn::new(&[&as_written[..], &[Word::Literal(AWKWARD.to_owned())]].concat(), true);
    shown += &format!("=== adopt\n{}", adopted.text().unwrap());
    insta::assert_snapshot!(shown);
}

fn ssh_config<'a>(paths: &'a [String], jumps: &'a [JumpHost<'a>]) -> SshConfig<'a> {
    SshConfig {
        name: "dev",
        host: "fe80::1%eth0",
        port: 2222,
        user: "debian",
        identity_files: paths,
        identities_only: true,
        known_hosts: &paths[0],
        host_key_alias: None,
        jumps,
        users_own: &[],
    }
}

fn jump<'a>(name: &'a str, files: &'a [String], through: Option<&'a str>) -> JumpHost<'a> {
    JumpHost {
        name,
        host: "fd00::2",
        port: 22,
        user: "me",
        identity_files: files,
        identities_only: through.is_none(),
        through,
        known_hosts: files,
    }
}

#[test]
fn ssh_config_is_understood_by_openssh() {
    let path = r"/home/a b/100%'\x$y/id_ed25519";
    let (path, files) = ([path.to_owned()], [path.to_owned(), "~/.ssh/other".to_owned()]);
    let jumps = [jump("dev.jump", &files, Some("dev.jump2")), jump("dev.jump2", &files, None)];
    let users_own = ["compression yes".to_owned(), "stricthostkeychecking no".to_owned()];
    let text = SshConfig { users_own: &users_own, ..ssh_config(&path, &jumps) }.text().unwrap();
    insta::assert_snapshot!(text);
    assert!(ssh_config(&["/a\"b".to_owned()], &[]).text().is_err());
    assert!(ssh_config(&["/a\nProxyCommand x".to_owned()], &[]).text().is_err());
    if !present("ssh") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    write(&file, &text);
    let (ok, out) = run("ssh", &["-G", "-F", file.to_str().unwrap(), "dev"]);
    assert!(ok, "{out}");
    // `ssh -G` shows paths before tokens are expanded.
    for line in [
        "hostname fe80::1%eth0",
        "port 2222",
        "user debian",
        &format!("identityfile {}", path[0].replace('%', "%%")),
        &format!("userknownhostsfile {}", path[0]), // and this one after
        "compression yes",
        "stricthostkeychecking true",
        "identitiesonly yes",
    ] {
        assert!(out.lines().any(|l| l == line), "no {line:?} in {out}");
    }
}

#[test]
fn s12_ssh_finds_the_jump_hosts_in_the_same_file() {
    if !present("ssh") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let files = ["/home/a b/key".to_owned(), "/home/a/other".to_owned()];
    let jumps = [jump("dev.jump", &files, Some("dev.jump2")), jump("dev.jump2", &files, None)];
    write(&file, &ssh_config(&["/home/a/key".to_owned()], &jumps).text().unwrap());
    let (ok, out) = run("ssh", &["-G", "-F", file.to_str().unwrap(), "dev"]);
    assert!(ok && out.lines().any(|l| l == "proxyjump dev.jump"), "{out}");
    let (ok, out) = run("ssh", &["-G", "-F", file.to_str().unwrap(), "dev.jump"]);
    assert!(ok && out.lines().any(|l| l == "proxyjump dev.jump2"), "{out}");
    let known_hosts = "userknownhostsfile /home/a b/key /home/a/other";
    for line in ["hostname fd00::2", "user me", "identityfile /home/a b/key", "identityfile /home/a/other", known_hosts]
    {
        assert!(out.lines().any(|l| l == line), "no {line:?} in {out}");
    }
}

#[test]
fn scripts_show_their_holes_and_shells_take_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut shown = String::new();
    for (file, text) in scripts(AWKWARD) {
        // What follows the holes is in the file itself; a snapshot of the holes is what a review wants to see.
        let holes: String = text.split_inclusive('\n').take(40).collect();
        let end = holes.rfind("\nh!i `j`").map_or(0, |at| at + 10);
        shown += &format!("=== {file}\n{}\n", &holes[..end.min(holes.len())]);
        let path = dir.path().join("s.sh");
        write(&path, &text);
        for shell in ["bash", "dash", "busybox"] {
            if present(shell) {
                let path = path.to_str().unwrap();
                let (ok, out) =
                    if shell == "busybox" { run(shell, &["sh", "-n", path]) } else { run(shell, &["-n", path]) };
                assert!(ok, "{shell} on {file}: {out}");
            }
        }
        if present("shellcheck") {
            // `say done` names a word; a value with quotes is a value; and what is read or set without being used or set in
            // the same file is the prelude's, which goes before each script.
            let known = "SC1010,SC2034,SC2089,SC2090,SC2154";
            let words = ["-s", "sh", "-S", "warning", "-e", known, path.to_str().unwrap()];
            let (ok, out) = run("shellcheck", &words);
            assert!(ok, "{file}: {out}");
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn units_pass_systemd_s_own_check() {
    if !present("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let units = dir.path().join("etc/systemd/system");
    for file in engine_files(true) {
        write(&dir.path().join(file.path.trim_start_matches('/')), &file.text);
    }
    // Programs named by the units must exist for `verify`, at the same paths: it takes no root with units by path.
    let text = std::fs::read_to_string(units.join("docker.service")).unwrap();
    write(&units.join("docker.service"), &text.replace("/opt/machine/engine/current/bin/dockerd", "/bin/true"));
    let text = std::fs::read_to_string(units.join("machine-containerd.service")).unwrap();
    let text = text.replace("/opt/machine/engine/current/bin/containerd", "/bin/true");
    write(&units.join("machine-containerd.service"), &text);
    let paths: Vec<String> = ["machine-containerd.service", "docker.socket", "docker.service"]
        .iter()
        .map(|u| units.join(u).to_str().unwrap().to_owned())
        .collect();
    let mut args = vec!["verify", "--man=no"];
    args.extend(paths.iter().map(String::as_str));
    let out = Command::new("systemd-analyze")
        .args(args)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    // Other units of this computer may have trouble of their own.
    let ours: Vec<&str> =
        said.lines().filter(|l| l.contains(units.to_str().unwrap()) || l.contains("docker.s")).collect();
    assert!(ours.is_empty(), "{said}");
}

#[test]
fn containerd_takes_its_settings() {
    if !present("containerd") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("containerd.toml");
    write(&path, &engine_files(false)[0].text);
    let (ok, out) = run("containerd", &["--config", path.to_str().unwrap(), "config", "dump"]);
    assert!(ok, "{out}");
    assert!(out.contains("address = \"/run/machine/containerd/containerd.sock\""), "{out}");
    assert!(out.contains("/opt/machine/containerd"), "{out}");
}
