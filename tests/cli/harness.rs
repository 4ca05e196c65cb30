//! The harness judged: what a test relies on when it judges the program.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use machine_tests::{DelayedLink, Env};

#[test]
fn the_environment_is_cleared() {
    let env = Env::new();
    let seen = env.command("env", &[]).run().success().stdout;
    let names = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect::<Vec<_>>();
    for name in names {
        let ours = ["HOME", "PATH", "TMPDIR", "LANG", "MACHINE_STORAGE_PATH", "RUST_BACKTRACE"].contains(&name);
        assert!(ours || name.starts_with("XDG_"), "{name} came in from outside");
    }
    assert!(seen.contains(&format!("HOME={}\n", env.home().display())), "{seen}");
}

#[test]
fn the_program_is_on_the_path() {
    let env = Env::new();
    let found = env.sh("command -v machine").success();
    assert_eq!(found.stdout.trim(), env.program().to_str().unwrap());
}

#[test]
fn streams_and_code_are_told_apart() {
    let env = Env::new();
    let output = env.sh("echo data; echo talk >&2; exit 7").failure(7).says(&["talk"]);
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("data\n", "talk\n"));
}

#[test]
fn stdin_is_what_is_given_or_empty() {
    let env = Env::new();
    assert_eq!(env.command("cat", &[]).run().success().stdout, "");
    assert_eq!(env.command("cat", &[]).stdin("typed\n").run().success().stdout, "typed\n");
}

#[test]
fn a_terminal_asks_and_is_answered() {
    let env = Env::new();
    let script = "test -t 0 && test -t 2 && test -e /dev/tty && read -p 'Sure? ' answer </dev/tty && echo got $answer";
    let mut terminal = env.command("bash", &["-c", script]).pty();
    terminal.expect("Sure? ", Duration::from_secs(10));
    terminal.send("yes\r");
    terminal.expect("got yes", Duration::from_secs(10));
    terminal.wait().success();
}

#[test]
fn a_terminal_delivers_ctrl_c() {
    let env = Env::new();
    let mut terminal =
        env.command("sh", &["-c", "trap 'exit 130' INT; echo ready; while :; do sleep 0.05; done"]).pty();
    terminal.expect("ready", Duration::from_secs(10));
    terminal.send("\x03");
    assert_eq!(terminal.wait().code, 130);
}

#[test]
fn a_program_is_killed_at_what_it_says() {
    let env = Env::new();
    let output = env.command("sh", &["-c", "echo one >&2; echo two >&2; exec sleep 60"]).run_killed_at("two");
    assert_eq!((output.code, output.signal), (137, Some(9)));
    assert!(output.took < Duration::from_secs(30), "{output}");
}

#[test]
fn a_program_is_killed_after_a_while() {
    let env = Env::new();
    let output = env.command("sleep", &["60"]).run_killed_after(Duration::from_millis(50));
    assert_eq!(output.signal, Some(9));
    let output = env.command("true", &[]).run_killed_after(Duration::from_secs(30));
    assert_eq!((output.code, output.signal), (0, None));
}

#[test]
#[should_panic(expected = "holds its output open")]
fn a_child_that_keeps_stdout_is_noticed() {
    let _ = Env::new().sh("sleep 5 &");
}

#[test]
fn another_name_is_argv0() {
    let env = Env::new();
    let output = env.command("sh", &["-c", "tr '\\0' ' ' </proc/$$/cmdline"]).arg0("docker-machine").run().success();
    assert!(output.stdout.starts_with("docker-machine -c "), "{output}");
}

#[test]
fn a_delayed_link_takes_its_round_trip_and_holds_many_bytes_at_once() {
    let host = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let link = DelayedLink::to(host.local_addr().unwrap(), Duration::from_millis(100));
    // The far end echoes until the near one is done.
    let far = std::thread::spawn(move || {
        let (mut stream, _) = host.accept().unwrap();
        let mut copy = stream.try_clone().unwrap();
        std::io::copy(&mut stream, &mut copy).unwrap()
    });
    let mut near = TcpStream::connect(link.address()).unwrap();
    let start = Instant::now();
    near.write_all(b"ping").unwrap();
    near.read_exact(&mut [0; 4]).unwrap();
    let once = start.elapsed();
    assert!(once >= Duration::from_millis(100), "a round trip took {once:?}");

    let start = Instant::now();
    near.write_all(&[7; 640 * 1024]).unwrap();
    near.shutdown(std::net::Shutdown::Write).unwrap();
    let mut back = Vec::new();
    near.read_to_end(&mut back).unwrap();
    // Chunk after chunk, each waiting for the one before, would be 40 round trips.
    let many = start.elapsed();
    assert!(many < Duration::from_secs(2), "640 KiB took {many:?}");
    assert_eq!((back.len(), far.join().unwrap()), (640 * 1024, 640 * 1024 + 4));
}
