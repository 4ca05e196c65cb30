//! What is only so on a terminal: questions, and lines that move.

use std::time::Duration;

use machine_tests::simulators::frame::Nothing;
use machine_tests::{Cloud, Env, screen};

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
    // Steps are called by their words, and nothing that moved is left.
    let shown = screen(&live);
    assert!(shown.iter().any(|line| line.starts_with("✔ a: creating the machine (0.")), "{shown:#?}");
    assert!(!shown.iter().any(|line| line.contains("create-machine") || line.contains('·')), "{shown:#?}");
    assert_eq!(shown.last().map(String::as_str), Some("a: ready: eval $(machine env a)"), "{shown:#?}");
    let plain = create("b", "TERM=dumb");
    assert!(plain.contains("b: create-machine … done") && !plain.contains('\x1b'), "{plain:?}");
    let bare = create("c", "NO_COLOR=1");
    assert!(bare.contains("✔ c: "), "no colour around the mark: {bare:?}");
}

#[test]
fn l3_what_is_to_be_known_stays_on_the_screen() {
    let cloud = Cloud::new(Nothing);
    cloud.env().write("empty/none", "");
    let args =
        ["create", "w", "-d", "digitalocean", "--digitalocean-private-networking", "--engine-bundle", "dir:empty"];
    let failed = cloud.env().machine(&args).pty().wait();
    let shown = screen(&failed.stdout);
    let note = "w: --digitalocean-private-networking has no effect: every droplet is in a private network";
    assert!(shown.iter().any(|line| line == note), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("✘ w: preparing the engine bundle failed (")), "{shown:#?}");

    // What a signal is answered with, too.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of our own");
    let port = silent.local_addr().expect("its address").port().to_string();
    let env = Env::new();
    let args = ["create", "x", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port];
    let mut terminal = env.machine(&args).pty();
    terminal.expect("x: connecting by SSH · 1s", SOON);
    terminal.send("\x03");
    let shown = screen(&terminal.wait().failure(130).stdout);
    let said = "stopping: saving the state (interrupt again to stop at once)";
    assert!(shown.iter().any(|line| line == said), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("✘ x: connecting by SSH failed (1.")), "{shown:#?}");
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
