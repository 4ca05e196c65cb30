//! Ctrl-C and its likes: the run ends in seconds, with the state saved and the way on told.

use std::net::TcpListener;
use std::time::Duration;

use machine_tests::Env;
use rustix::process::Signal;

/// Ends within this after a signal: whoever pressed Ctrl-C waits.
const SECONDS: Duration = Duration::from_secs(8);

#[test]
fn a_signal_ends_create_with_its_own_code_and_the_next_goes_on() {
    // Answers TCP, never SSH: `create` waits for it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port of our own");
    let port = silent.local_addr().expect("its address").port().to_string();
    let env = Env::new();
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let args = ["create", "w", "-d", "generic", "--generic-ip-address", "127.0.0.1", "--generic-ssh-port", &port];
        let mut running = env.machine(&args).spawn();
        running.wait_for("w: await-ssh: ", Duration::from_secs(30));
        running.signal(signal);
        assert!(running.wait_at_most(SECONDS), "{signal:?} ends it in seconds");
        running.wait().failure(code).says(&["stopping: saving the state", "machine rm w"]);
    }
    let listed = env.run(&["ls", "--no-probe", "-f", "{{.Name}} {{.State}}"]).success();
    assert_eq!(listed.stdout, "w Incomplete (await-ssh)\n");
    env.run(&["rm", "-y", "w"]).success();
}
