//! What the user's own `ssh` makes of our arguments, asked by `ssh -G`.

use std::process::Command;

use super::*;
use crate::ssh::{Identity, Trust};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn target(alias: Option<&str>, jump: Option<&str>) -> (Target, OpenSsh) {
    let openssh = OpenSsh {
        alias: alias.map(str::to_owned),
        jump: jump.map(str::to_owned),
        own_keys_command: false,
        runtime_dir: "/run/user/1/machine".into(),
    };
    let target = Target {
        host: "192.0.2.1".into(),
        port: 2222,
        user: "deploy".into(),
        identity: Identity { files: vec!["/k 1".into()], only_files: true, ..Identity::default() },
        trust: Trust::keys(vec![PublicKey::from_openssh(KEY).unwrap()]),
        jump: None,
        openssh: Some(openssh.clone()),
    };
    (target, openssh)
}

/// `ssh -G` with our arguments, and with a config of the user's that says `user` after ours; `None` without an ssh here.
fn effective(target: &Target, openssh: &OpenSsh, user: &str) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files(target, openssh, dir.path()).unwrap() {
        // The user's own file is what the test says, and not whoever's runs it.
        let theirs = dir.path().join("theirs");
        let text = text.replace("~/.ssh/config", &theirs.display().to_string()).replace("/etc/ssh/ssh_config", "/none");
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    #[expect(clippy::disallowed_methods, reason = "a test's own file")]
    std::fs::write(dir.path().join("theirs"), user).unwrap();
    let mut command = Command::new("ssh");
    command.arg("-G").args(master(target, openssh, dir.path()));
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).replace(&dir.path().display().to_string(), "DIR"))
        }
        Err(e) => {
            machine_base::skipped(&format!("no ssh program: {e}"));
            None
        }
    }
}

/// One test for each option that OpenSSH is always called with: a config that says the opposite changes nothing, for the
/// host and for whatever host it goes through.
macro_rules! always {
    ($($test:ident: $theirs:literal => $ours:literal;)*) => {
        $(#[test]
        fn $test() {
            for (alias, jump) in [(Some("web"), None), (Some("web"), Some("gate")), (None, Some("gate"))] {
                let (target, openssh) = target(alias, jump);
                let Some(text) = effective(&target, &openssh, concat!($theirs, "\n")) else { return };
                assert!(text.lines().any(|line| line.eq_ignore_ascii_case($ours)), "{alias:?} {jump:?}: {text}");
            }
        })*

        #[test]
        fn every_option_has_a_test() {
            let tested = [$($theirs),*];
            for (option, _) in ALWAYS {
                assert!(tested.iter().any(|line| line.split(' ').next() == Some(option)), "{option}");
            }
        }
    };
}

always! {
    strict_host_key_checking: "StrictHostKeyChecking no" => "stricthostkeychecking true";
    no_host_authentication_for_localhost:
        "NoHostAuthenticationForLocalhost yes" => "nohostauthenticationforlocalhost no";
    batch_mode: "BatchMode no" => "batchmode yes";
    forward_agent: "ForwardAgent yes" => "forwardagent no";
    forward_x11: "ForwardX11 yes" => "forwardx11 no";
    clear_all_forwardings: "ClearAllForwardings no" => "clearallforwardings yes";
    permit_local_command: "PermitLocalCommand yes" => "permitlocalcommand no";
    remote_command: "RemoteCommand id" => "sessiontype none";
    update_host_keys: "UpdateHostKeys yes" => "updatehostkeys false";
    control_master: "ControlMaster ask" => "controlmaster true";
    control_path: "ControlPath /tmp/theirs" => "controlpath DIR/s";
    control_persist: "ControlPersist 1h" => "controlpersist no";
    fork_after_authentication: "ForkAfterAuthentication yes" => "forkafterauthentication no";
    request_tty: "RequestTTY force" => "requesttty false";
    tunnel: "Tunnel yes" => "tunnel false";
    server_alive_interval: "ServerAliveInterval 0" => "serveraliveinterval 15";
    server_alive_count_max: "ServerAliveCountMax 99" => "serveralivecountmax 3";
    connect_timeout: "ConnectTimeout 999" => "connecttimeout 20";
    log_level: "LogLevel QUIET" => "loglevel DEBUG";
}

#[test]
fn a_pinned_host_is_checked_against_its_pin_alone() {
    let (target, openssh) = target(Some("web"), None);
    let theirs = "UserKnownHostsFile /theirs\nGlobalKnownHostsFile /theirs\nHostKeyAlias other\n";
    let Some(text) = effective(&target, &openssh, theirs) else { return };
    for line in ["userknownhostsfile DIR/known", "globalknownhostsfile /dev/null", "hostkeyalias machine"] {
        assert!(text.lines().any(|l| l == line), "{line}: {text}");
    }
    let known = &files(&target, &openssh, Path::new("/x")).unwrap()[1].1;
    assert_eq!(known, &format!("machine {KEY}\n"));
}

#[test]
fn the_users_config_is_asked_about_an_alias_and_about_hosts_in_between_alone() {
    let theirs = "Host *\n  ProxyCommand theirs\n  Compression yes\n  SendEnv LC_*\n";
    for (alias, jump, asked) in [(Some("web"), None, true), (None, None, false), (None, Some("gate"), false)] {
        let (target, openssh) = target(alias, jump);
        let Some(text) = effective(&target, &openssh, theirs) else { return };
        assert_eq!(text.contains("compression yes"), asked, "{alias:?} {jump:?}: {text}");
        assert!(text.contains("user deploy") && text.contains("port 2222") && text.contains("identityfile /k 1"));
    }
}

#[test]
fn paths_with_what_openssh_reads_for_itself_arrive_whole() {
    assert_eq!(quoted(Path::new("/a b/%h\"")), "\"/a b/%%h\\\"\"");
}
