//! Rows about local VMs that only a whole guest shows. Each is seen in a VM that is up for another test.

use std::net::UdpSocket;
use std::time::Duration;

use machine_tests::until;

use super::vms::{GUEST, Vms};

fn ssh(vms: &Vms, script: &str) -> String {
    vms.machine(&["ssh", "dev", script]).run().success().stdout
}

/// Memory of a VM that is off is changed at once, and there when it is started.
pub(super) fn l7_memory_is_changed_while_it_is_off(vms: &Vms) {
    vms.machine(&["set", "dev", "--qemu-memory", "1280M"]).run().success().says(&["dev: "]);
    let wanted = vms.env.run(&["inspect", "dev", "-f", "{{json .driver.settings}}"]).success().stdout;
    assert!(wanted.contains("1280"), "{wanted}");
}

/// And the guest has it.
pub(super) fn l7_the_guest_has_the_memory(vms: &Vms) {
    let kilobytes = ssh(vms, "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo");
    let kilobytes: u64 = kilobytes.trim().parse().expect("kilobytes");
    assert!((1100 << 10..1280 << 10).contains(&kilobytes), "{kilobytes} kB");
}

/// What runs is started already: nothing is brought, and nothing is begun.
pub(super) fn l13_what_runs_is_started_already(vms: &Vms) {
    let again = vms.machine(&["start", "dev"]).run().success();
    let again = again.says(&["already"]);
    for words in ["bringing the engine", "upload", "starting the engine"] {
        assert!(!again.stderr.contains(words), "{words}: {again}");
    }
}

/// A guest whose clock is off, as after its computer slept, is put right by the watcher.
pub(super) fn l9_a_clock_that_is_off_is_put_right(vms: &Vms) {
    let off = ssh(vms, "sudo -n date -s '-300 seconds' +%s");
    let off: i64 = off.trim().parse().expect("seconds");
    until("the guest's clock to be right", Duration::from_secs(120), || {
        let guest = ssh(vms, "date +%s");
        let guest: i64 = guest.trim().parse().expect("seconds");
        // By itself it would be as far behind as it was put.
        let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let behind = i64::try_from(here.as_secs()).expect("seconds") - guest;
        if behind < 60 { Ok(()) } else { Err(format!("{behind} s behind, put to {off}")) }
    });
}

/// What Docker Desktop's users write leads to this computer.
pub(super) fn l11_host_gateway_is_this_computer(vms: &Vms) {
    let hosts = docker(vms, "run --rm --add-host host.docker.internal:host-gateway web /bin/busybox cat /etc/hosts");
    assert!(hosts.lines().any(|line| line == "10.0.2.2\thost.docker.internal"), "{hosts}");
}

/// A published UDP port is a port of this computer as well.
pub(super) fn l10_a_datagram_comes_and_goes(vms: &Vms) {
    let here = UdpSocket::bind("127.0.0.1:0").expect("a port");
    // Free just now, and high enough for anybody.
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    // The guest's own perl: busybox speaks no UDP.
    let echo = "use IO::Socket::INET; my $s = IO::Socket::INET->new(Proto => q(udp), LocalPort => 7) or die; \
                while (1) { $s->recv(my $said, 1500); $s->send(qq(heard $said)); }";
    let run = format!(
        "run -d --init --name echo -v /:/guest:ro -p {port}:7/udp web /bin/busybox chroot /guest perl -e '{echo}'"
    );
    docker(vms, &run);
    here.set_read_timeout(Some(Duration::from_secs(2))).expect("a time");
    until("an answer by UDP", Duration::from_secs(120), || {
        here.send_to(b"hello", ("127.0.0.1", port)).map_err(|e| e.to_string())?;
        let mut answer = [0; 64];
        let count = here.recv(&mut answer).map_err(|e| e.to_string())?;
        assert_eq!(&answer[..count], b"heard hello");
        Ok(())
    });
    docker(vms, "rm -f echo");
}

/// The docker client, set to the machine.
fn docker(vms: &Vms, args: &str) -> String {
    let script = format!("eval \"$(machine env --shell sh dev)\" && docker {args}");
    vms.env.command("sh", &["-c", &script]).deadline(GUEST).run().success().stdout
}
