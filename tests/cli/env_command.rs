//! `machine env`, by the record alone, in each of its shells.

use std::path::Path;

use machine_tests::{Env, assert_output, assert_outputs};
use serde_json::json;

use crate::record;

fn with_machine(name: &str) -> Env {
    let env = Env::new();
    record::put(&env, &record::running(name));
    env
}

/// What a shell has after eval, one variable a line.
const PRINT: &str =
    "printf '%s\\n' \"$DOCKER_TLS_VERIFY\" \"$DOCKER_HOST\" \"$DOCKER_CERT_PATH\" \"$DOCKER_MACHINE_NAME\"";

fn expected(env: &Env, name: &str) -> String {
    format!("1\ntcp://10.0.0.7:2376\n{}\n{name}\n", env.store().join("machines").join(name).display())
}

#[test]
fn a_shell_has_the_variables_after_eval_and_not_after_unset() {
    let env = with_machine("web-1");
    for (shell, eval, unset) in [
        ("sh", "eval \"$(machine env web-1 --shell sh)\"", "eval \"$(machine env -u --shell sh)\""),
        ("bash", "eval $(machine env web-1 --shell bash)", "eval $(machine env -u --shell bash)"),
        ("zsh", "eval $(machine env web-1 --shell zsh)", "eval $(machine env -u --shell zsh)"),
        ("fish", "machine env web-1 --shell fish | source", "machine env -u --shell fish | source"),
    ] {
        if !Path::new("/usr/bin").join(shell).exists() {
            machine_tests::skipped(&format!("{shell} is not installed"));
            continue;
        }
        let seen = env.command(shell, &["-c", &format!("{eval}; {PRINT}")]).run().success();
        assert_eq!(seen.stdout, expected(&env, "web-1"), "{shell}");
        let gone = env.command(shell, &["-c", &format!("{eval}; {unset}; {PRINT}")]).run().success();
        assert_eq!(gone.stdout, "\n\n\n\n", "{shell}");
    }
    if Path::new("/usr/bin/tcsh").exists() {
        let script = "eval `machine env web-1 --shell tcsh`; echo $DOCKER_TLS_VERIFY $DOCKER_HOST $DOCKER_MACHINE_NAME";
        let seen = env.command("tcsh", &["-f", "-c", script]).run().success();
        assert_eq!(seen.stdout, "1 tcp://10.0.0.7:2376 web-1\n");
    }
}

#[test]
fn every_shell_is_written_for_and_ends_with_how_to_use_it() {
    let env = with_machine("web-1");
    for (shell, line) in [
        ("bash", "export DOCKER_HOST='tcp://10.0.0.7:2376'"),
        ("fish", "set -gx DOCKER_HOST 'tcp://10.0.0.7:2376'"),
        ("powershell", "$Env:DOCKER_HOST = 'tcp://10.0.0.7:2376'"),
        ("cmd", "SET DOCKER_HOST=tcp://10.0.0.7:2376"),
        ("tcsh", "setenv DOCKER_HOST 'tcp://10.0.0.7:2376'"),
        ("emacs", "(setenv \"DOCKER_HOST\" \"tcp://10.0.0.7:2376\")"),
        ("nushell", "DOCKER_HOST"),
    ] {
        let seen = env.run(&["env", "--shell", shell, "web-1"]).success();
        assert!(seen.stdout.contains(line), "{shell}: {}", seen.stdout);
        assert!(seen.stdout.contains("machine env"), "{shell} is told how to use it: {}", seen.stdout);
        assert_eq!(seen.stderr, "", "{shell}");
    }
}

#[test]
fn the_shell_is_told_by_its_variable() {
    let mut env = with_machine("web-1");
    assert_output!(env.run(&["env", "web-1"]), @"
    $ machine env web-1
    ! error: cannot tell which shell this is: SHELL is not set
    ! hint: name it with --shell: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs or nushell
    [exit code 2]
    ");
    env.set("SHELL", "/usr/bin/fish");
    assert!(env.run(&["env", "web-1"]).success().stdout.contains("set -gx DOCKER_HOST"));
    env.set("SHELL", "/opt/unheard-of");
    assert_output!(env.run(&["env", "web-1"]), @r#"
    $ machine env web-1
    ! error: cannot tell which shell this is
    !   caused by: unknown shell "unheard-of"
    ! hint: name it with --shell: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs or nushell
    [exit code 2]
    "#);
    assert_output!(env.run(&["env", "web-1", "--shell", "perl"]), @"
    $ machine env web-1 --shell perl
    ! error: invalid value 'perl' for '--shell <bash|zsh|sh|fish|powershell|cmd|tcsh|emacs|nushell>'
    !   [possible values: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs, nushell, pwsh, csh, nu, dash, ksh]
    !
    ! For more information, try '--help'.
    [exit code 2]
    ");
}

#[test]
fn no_proxy_gets_the_address_once() {
    let mut env = with_machine("web-1");
    let line = |env: &Env| {
        let text = env.run(&["env", "--no-proxy", "--shell", "sh", "web-1"]).success().stdout;
        text.lines().find(|line| line.to_lowercase().contains("no_proxy=")).unwrap_or_default().to_owned()
    };
    assert_eq!(line(&env), "export NO_PROXY='10.0.0.7'");
    env.set("NO_PROXY", "localhost,10.0.0.70");
    assert_eq!(line(&env), "export NO_PROXY='localhost,10.0.0.70,10.0.0.7'");
    env.set("no_proxy", "10.0.0.7");
    assert_eq!(line(&env), "export no_proxy='10.0.0.7'");
}

#[test]
fn without_a_name_it_is_the_machine_called_default() {
    let env = with_machine("default");
    assert!(env.run(&["env", "--shell", "sh"]).success().stdout.contains("DOCKER_MACHINE_NAME='default'"));
    let env = with_machine("other");
    assert_output!(env.run(&["env", "--shell", "sh"]), @r#"
    $ machine env --shell sh
    ! error: no machine name(s) specified and no "default" machine exists
    ! hint: `machine ls` lists the machines there are
    [exit code 2]
    "#);
}

#[test]
fn a_machine_that_is_off_or_half_made_has_no_settings() {
    let env = Env::new();
    record::put(&env, &record::with(record::running("off"), &json!({"power": "stopped"})));
    record::put(&env, &record::with(record::running("half"), &json!({"endpoint": null, "installed": null})));
    record::put(&env, &record::with(record::running("going"), &json!({"removing": true})));
    let mut refused = Vec::new();
    for command in ["env", "url", "ip", "config"] {
        let shell: &[&str] = if command == "env" { &["--shell", "sh"] } else { &[] };
        // Of one that is half-made, there may be an address.
        let names = ["off", "going", "nobody", "half"].into_iter().take(if command == "ip" { 3 } else { 4 });
        refused.extend(names.map(|name| env.run(&[&[command, name], shell].concat())));
    }
    assert_outputs!(refused, @r#"
    $ machine env off --shell sh
    ! error: machine "off" is stopped
    ! hint: `machine start off` starts it
    [exit code 1]
    $ machine env going --shell sh
    ! error: machine "going" is being removed
    ! hint: `machine rm going` finishes that
    [exit code 1]
    $ machine env nobody --shell sh
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine env half --shell sh
    ! error: machine "half" is not finished: its engine is not installed yet
    ! hint: finish it: machine create half
    [exit code 1]
    $ machine url off
    ! error: machine "off" is stopped
    ! hint: `machine start off` starts it
    [exit code 1]
    $ machine url going
    ! error: machine "going" is being removed
    ! hint: `machine rm going` finishes that
    [exit code 1]
    $ machine url nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine url half
    ! error: machine "half" is not finished
    ! hint: `machine create half` continues it, `machine rm half` removes it
    [exit code 1]
    $ machine ip off
    ! error: machine "off" is stopped
    ! hint: `machine start off` starts it
    [exit code 1]
    $ machine ip going
    ! error: machine "going" is being removed
    ! hint: `machine rm going` finishes that
    [exit code 1]
    $ machine ip nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine config off
    ! error: machine "off" is stopped
    ! hint: `machine start off` starts it
    [exit code 1]
    $ machine config going
    ! error: machine "going" is being removed
    ! hint: `machine rm going` finishes that
    [exit code 1]
    $ machine config nobody
    ! error: machine "nobody" does not exist
    ! hint: `machine ls` lists the machines there are
    [exit code 4]
    $ machine config half
    ! error: machine "half" is not finished: its engine is not installed yet
    ! hint: finish it: machine create half
    [exit code 1]
    "#);
}
