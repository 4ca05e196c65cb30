//! Every file: it has a struct, its quoting is seen in a snapshot, and the language's own checker takes it.
#![expect(clippy::unwrap_used, clippy::print_stderr, clippy::format_push_string, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use machine_templates::client::{JumpHost, SshConfig};
use machine_templates::env::{EnvVars, Shell, render_env, render_unset};
use machine_templates::host::{AdoptDropIn, engine_files};
use machine_templates::remote::*;
use machine_templates::{FILES, TextFile};

/// A space, both quotes, `%`, `$`, a backslash, a line break, `!`.
const AWKWARD: &str = "a b'c\"d%e$f\\g\nh!i `j`";
/// The same without what some languages cannot hold.
const MILD: &str = "a b'c$f(g)";

fn present(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        eprintln!("SKIPPED: {program} is not installed here");
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

/// Every script, with awkward values wherever a value goes.
fn scripts(value: &str) -> Vec<(&'static str, String)> {
    fn one<S: Script>(s: S) -> (&'static str, String) {
        (S::FILE, s.text().unwrap())
    }
    let v = value;
    vec![
        one(CheckBundle { digest: v, sums: v }),
        one(CheckFiles { files: v }),
        one(Claim { machine_id: v, store_id: v, replace: false }),
        one(CloseTcp { machine_id: v, files: v, live_restore: false, deadline_seconds: 60 }),
        one(EngineHealth { deadline_seconds: 20 }),
        one(Facts),
        one(HostKeyDrop),
        one(HostKeyInstall),
        one(HostKeyMake),
        one(InstallFiles { files: v }),
        one(ApplyEngine { deadline_seconds: 120, reload_enough: false, adopted: false }),
        one(SwitchEngine { digest: v, links: v, prune: true }),
        one(Uninstall { machine_id: v, files: v, remove_data: false, deadline_seconds: 60 }),
        one(UnpackBundle { digest: v, sums: v, checks: v }),
        one(ValidateEngine { digest: v }),
        (Prelude::FILE, Prelude { root: v }.text().unwrap()),
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
fn texts_end_with_one_line_break() {
    for (file, text) in scripts("x") {
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{file}");
    }
    for file in engine_files(&[]).unwrap() {
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
    let environment = [format!("HTTP_PROXY={AWKWARD}"), "NO_PROXY=localhost".to_owned()];
    let mut shown = String::new();
    for file in engine_files(&environment).unwrap() {
        shown += &format!("=== {}\n{}", file.path, file.text);
    }
    let adopted = AdoptDropIn::new("/usr/bin/dockerd", &["--label".to_owned(), AWKWARD.to_owned()], &environment);
    shown += &format!("=== adopt\n{}", adopted.text().unwrap());
    insta::assert_snapshot!(shown);
}

fn ssh_config<'a>(path: &'a str, jump: Option<&'a [String]>) -> SshConfig<'a> {
    SshConfig {
        name: "dev",
        host: "fe80::1%eth0",
        port: 2222,
        user: "debian",
        identity_file: Some(path),
        known_hosts: path,
        host_key_alias: None,
        jump: jump.map(|files| JumpHost {
            name: "dev.jump",
            host: "fd00::2",
            port: 22,
            user: "me",
            identity_files: files,
            known_hosts: files,
        }),
    }
}

#[test]
fn ssh_config_is_understood_by_openssh() {
    let path = r"/home/a b/100%'\x$y/id_ed25519";
    let text = ssh_config(path, Some(&[path.to_owned(), "~/.ssh/other".to_owned()])).text().unwrap();
    insta::assert_snapshot!(text);
    assert!(ssh_config("/a\"b", None).text().is_err());
    assert!(ssh_config("/a\nProxyCommand x", None).text().is_err());
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
        &format!("identityfile {}", path.replace('%', "%%")),
        &format!("userknownhostsfile {path}"), // and this one after
        "stricthostkeychecking true",
        "identitiesonly yes",
    ] {
        assert!(out.lines().any(|l| l == line), "no {line:?} in {out}");
    }
}

#[test]
fn ssh_finds_the_jump_host_in_the_same_file() {
    if !present("ssh") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    write(
        &file,
        &ssh_config("/home/a/key", Some(&["/home/a b/key".to_owned(), "/home/a/other".to_owned()])).text().unwrap(),
    );
    let (ok, out) = run("ssh", &["-G", "-F", file.to_str().unwrap(), "dev"]);
    assert!(ok && out.lines().any(|l| l == "proxyjump dev.jump"), "{out}");
    let (ok, out) = run("ssh", &["-G", "-F", file.to_str().unwrap(), "dev.jump"]);
    assert!(ok, "{out}");
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
        let holes: String = text.split_inclusive('\n').take(24).collect();
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
            let (ok, out) = run("shellcheck", &["-s", "sh", path.to_str().unwrap()]);
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
    for file in engine_files(&[format!("HTTP_PROXY={AWKWARD}")]).unwrap() {
        write(&dir.path().join(file.path.trim_start_matches('/')), &file.text);
    }
    // Programs named by the units must exist for `verify`, at the same paths: it takes no root with units by path.
    let text = std::fs::read_to_string(units.join("docker.service")).unwrap();
    write(&units.join("docker.service"), &text.replace("/opt/machine/engine/current/bin/dockerd", "/bin/true"));
    let text = std::fs::read_to_string(units.join("containerd.service")).unwrap();
    let text = text.replace("/opt/machine/engine/current/bin/containerd", "/bin/true");
    write(&units.join("containerd.service"), &text);
    let paths: Vec<String> = ["containerd.service", "docker.socket", "docker.service"]
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
    write(&path, &machine_templates::host::ContainerdConfig.text().unwrap());
    let (ok, out) = run("containerd", &["--config", path.to_str().unwrap(), "config", "dump"]);
    assert!(ok, "{out}");
    assert!(out.contains("address = \"/run/containerd/containerd.sock\""), "{out}");
    assert!(out.contains("/opt/machine/containerd"), "{out}");
}

/// What a shell has in its variable after sourcing the text.
fn round_trip(shell: Shell, program: &str, extension: &str, print: &str, value: &str) {
    if !present(program) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("env.{extension}"));
    let mut text = render_env(shell, &vars(value), "machine env dev").unwrap();
    text += print;
    text.push('\n');
    write(&file, &text);
    let mut command = Command::new(program);
    if program == "tcsh" || program == "csh" {
        command.arg("-f");
    }
    let out = command.arg(&file).env("NO_PROXY", "left over").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    let expected = format!("1\ntcp://[fd00::1]:2376\n{value}\ndev\n");
    assert_eq!(said, expected, "{program}: {}", String::from_utf8_lossy(&out.stderr));
    let unset = render_unset(shell, &["DOCKER_HOST".to_owned()], "machine env -u").unwrap();
    write(&file, &format!("{unset}\nprintenv DOCKER_HOST\n"));
    let out = Command::new(program).arg(&file).env("DOCKER_HOST", "tcp://old").stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stdout), "", "{program}");
}

const PRINT: &str = "printenv DOCKER_TLS_VERIFY\nprintenv DOCKER_HOST\nprintenv DOCKER_CERT_PATH\nprintenv DOCKER_MACHINE_NAME\nprintenv NO_PROXY";

#[test]
fn what_a_shell_reads_is_what_we_meant() {
    for program in ["sh", "bash", "dash", "zsh"] {
        round_trip(Shell::Posix, program, "sh", PRINT, AWKWARD);
    }
    round_trip(Shell::Fish, "fish", "fish", PRINT, AWKWARD);
    round_trip(Shell::Tcsh, "tcsh", "csh", PRINT, AWKWARD);
    for program in ["pwsh", "nu", "emacs"] {
        if present(program) {
            eprintln!("SKIPPED: {program} is installed here, and nobody has written its round trip");
        }
    }
}

/// The way users do it: `eval` of a command's output.
#[test]
fn eval_configures_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, program, eval) in [
        (Shell::Posix, "bash", "eval $(cat FILE); printenv DOCKER_CERT_PATH"),
        (Shell::Fish, "fish", "eval (cat FILE); printenv DOCKER_CERT_PATH"),
        (Shell::Tcsh, "tcsh", "eval `cat FILE`; printenv DOCKER_CERT_PATH"),
    ] {
        if !present(program) {
            continue;
        }
        let file = dir.path().join("text");
        let value = "/home/o'neill/a $b `touch evil` \"c\"";
        write(&file, &render_env(shell, &vars(value), "false").unwrap());
        let line = eval.replace("FILE", file.to_str().unwrap());
        let (ok, out) = run(program, &["-c", &line]);
        assert!(ok, "{program}: {out}");
        assert_eq!(out, format!("{value}\n"), "{program}");
    }
}

mod quoting {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn any_text_survives_sh(value in "[^\0\r]{0,60}") {
            let claim = CheckFiles { files: &value }.text().unwrap();
            let hole: String = claim.split("\n\nprintf ").next().unwrap().to_owned();
            let script = format!("ROOT=\n{hole}\nprintf %s \"$FILES\"");
            let (ok, out) = run("sh", &["-c", &script]);
            prop_assert!(ok);
            prop_assert_eq!(out, value);
        }
    }
}

#[test]
fn a_remote_command_runs_under_any_login_shell() {
    let script = "printf '%s' 'it'\\''s \\ here: '; cat; exit 7";
    let line = command(script.len(), Privilege::Root);
    for shell in ["sh", "bash", "fish", "tcsh"] {
        if !present(shell) {
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("in");
        write(&input, &format!("{script}data for stdin"));
        let stdin = std::fs::File::open(&input).unwrap();
        let out = Command::new(shell).args(["-c", &line]).stdin(stdin).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "it's \\ here: data for stdin", "{shell}");
        assert_eq!(out.status.code(), Some(7), "{shell}");
    }
    assert!(command(1, Privilege::Sudo).starts_with("sudo -n -- sh -c "));
}
