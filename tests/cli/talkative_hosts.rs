//! Hosts that say more than anybody reads.

use machine_tests::{Env, Sshd};

use crate::ssh_login::{TRANSPORTS, key, user};

/// Says much more than is ever read, on the stream that is named.
const FLOOD: &str =
    "#!/bin/sh\ntr '\\0' x </dev/zero | head -c 100000000 >&STREAM\necho >&2\necho the end >&2\nexit 3\n";

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
        let flood = |folder: &std::path::Path, _: std::net::Ipv4Addr| {
            std::fs::File::create(folder.join("flood"))
                .and_then(|mut file| std::io::Write::write_all(&mut file, FLOOD.replace("STREAM", stream).as_bytes()))
                .expect("a file of our own");
        };
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
