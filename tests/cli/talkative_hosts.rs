//! Hosts that say more than anybody reads.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use machine_tests::{Env, Sshd};

use crate::ssh_login::{TRANSPORTS, key, user};

/// Says much more than is ever read, on the stream that is named.
const FLOOD: &str =
    "#!/bin/sh\ntr '\\0' x </dev/zero | head -c 100000000 >&STREAM\necho >&2\necho the end >&2\nexit 3\n";

fn put(path: &Path, text: &str) {
    let written = File::create(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.expect("a file of our own");
}

/// `create` up to the host; the most memory that it had, in kB, and what it said.
fn memory_of(env: &Env, sshd: &Sshd, transport: &str) -> (u64, String) {
    let ip = sshd.ip();
    let to = ["create", "web-1", "-d", "generic", "--generic-ip-address", &ip, "--generic-ssh-transport", transport];
    let mut running = env.machine(&to).spawn();
    let most = running.peak_memory();
    let output = running.wait();
    assert_ne!(output.code, 0);
    env.run(&["rm", "-y", "-f", "web-1"]).success();
    (most, output.stderr)
}

#[test]
fn a3_a_host_that_does_not_stop_talking_takes_no_memory() {
    let Some(quiet) = Sshd::start("") else { return };
    let env = user(&quiet);
    let own = key(&env, ".ssh/id_ed25519", "ed25519");
    quiet.take(&own);
    for (stream, words) in [("1", "does not stop talking"), ("2", "the end")] {
        let flood = |folder: &Path, _: Ipv4Addr| put(&folder.join("flood"), &FLOOD.replace("STREAM", stream));
        let Some(loud) = Sshd::start_with(22, "ForceCommand /bin/sh DIR/flood", flood) else { return };
        loud.take(&own);
        env.write(".ssh/known_hosts", &[quiet.known(), loud.known()].concat());
        for transport in TRANSPORTS {
            let (usual, _) = memory_of(&env, &quiet, transport);
            let (most, said) = memory_of(&env, &loud, transport);
            assert!(said.contains(words), "{transport}, stream {stream}: {said}");
            assert!(most < usual + 32_000, "{transport}, stream {stream}: {most} kB, else {usual} kB");
        }
    }
}

/// Reads all that is sent, says one thing after another meanwhile, and in the end how much it was.
const CHATTER: &str = "#!/bin/sh\nwhile echo . >&2; do :; done &\nwc -c\nkill $!\n";

/// An answer that comes while the question is still being sent, by the built-in client: neither side waits for the other.
/// Straight, and through a host in between.
#[test]
fn a_command_that_answers_while_it_reads_is_heard_meanwhile() {
    let chatter = |folder: &Path, _: Ipv4Addr| put(&folder.join("chatter"), CHATTER);
    let Some(host) = Sshd::start_with(22, "ForceCommand /bin/sh DIR/chatter", chatter) else { return };
    let Some(gate) = Sshd::start("") else { return };
    let env = user(&host);
    let own = key(&env, ".ssh/id_ed25519", "ed25519");
    host.take(&own);
    gate.take(&own);
    env.write(".ssh/known_hosts", &[host.known(), gate.known()].concat());
    // Many windows of SSH's.
    let said = vec![b'x'; 16 << 20];
    let through = format!("root@{}", gate.ip());
    for more in [&[][..], &["--generic-jump-host", &through]] {
        let to = ["create", "web-1", "-d", "generic", "--generic-ip-address", &host.ip()];
        assert_ne!(env.run(&[&to, more].concat()).code, 0, "there is no shell");
        let ssh = env.command("sh", &["-c", "PATH=/nowhere exec \"$(command -v machine)\" ssh web-1 wc 2>/dev/null"]);
        let counted = ssh.stdin(&said).deadline(Duration::from_secs(120)).run();
        assert_eq!(counted.success().stdout.trim(), said.len().to_string(), "{more:?}");
        env.run(&["rm", "-y", "-f", "web-1"]).success();
    }
}
