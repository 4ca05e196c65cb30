//! What is only so on a terminal: questions, and lines that move.

use std::time::Duration;

use machine_tests::Env;

const SOON: Duration = Duration::from_secs(20);

fn with_x() -> Env {
    let env = Env::new();
    env.run(&["create", "x", "-d", "none", "--url", "tcp://127.0.0.1:9"]).success();
    env
}

#[test]
fn rm_takes_yes_and_no_for_an_answer() {
    let env = with_x();
    let ask = |keys: &str| {
        let mut terminal = env.machine(&["rm", "x"]).pty();
        terminal.expect("Are you sure? (y/n): ", SOON);
        terminal.send(keys);
        terminal.wait()
    };
    ask("n\r").success();
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "x\n");
    // Ctrl-C at a question ends it there and then.
    assert_eq!(ask("\x03").code, 130);
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "x\n");
    ask("y\r").success();
    assert_eq!(env.run(&["ls", "-q"]).success().stdout, "");
}

#[test]
fn a_terminal_gets_the_live_view_unless_it_cannot() {
    let env = Env::new();
    // By `env`, because the harness gives its terminals a TERM of its own.
    let create = |name: &str, variable: &str| {
        let args = [variable, "machine", "create", name, "-d", "none", "--url", "tcp://127.0.0.1:9"];
        env.command("env", &args).pty().wait().success().stdout
    };
    let live = create("a", "TERM=xterm");
    assert!(live.contains('✔') && live.contains("\x1b["), "{live:?}");
    let plain = create("b", "TERM=dumb");
    assert!(plain.contains("b: create-machine … done") && !plain.contains('\x1b'), "{plain:?}");
    let bare = create("c", "NO_COLOR=1");
    assert!(bare.contains("✔ c: "), "no colour around the mark: {bare:?}");
}

#[test]
fn commands_that_only_read_start_no_thread() {
    let env = with_x();
    let strace = std::path::Path::new("/usr/bin/strace");
    if !strace.exists() {
        machine_tests::skipped("strace is not installed");
        return;
    }
    for args in [&["env", "x", "--shell", "sh"][..], &["ip", "x"], &["url", "x"], &["config", "x"], &["ls", "-q"]] {
        let program = env.program().display().to_string();
        let words = [&["-f", "-e", "trace=clone,clone3,fork,vfork", program.as_str()], args].concat();
        let seen = env.command(strace, &words).run().success();
        assert!(!seen.stderr.contains("clone"), "{args:?}:\n{}", seen.stderr);
    }
}
