//! VMs on this computer: driver `qemu`, under emulation wherever nothing better works.
//!
//! What needs no guest to be up uses one of 27 bytes; a whole Debian is booted as seldom as can be. Each test that boots
//! one holds as few boots as the others, so that none is what all the rest has been waiting for.

mod rows;
pub(crate) mod vms;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use machine_tests::{KillTimes, screen, until};
use rustix::process::Signal;

use vms::{GUEST, STAGES, Vms, ended, kill, page};

#[test]
fn a_vm_from_create_to_rm() {
    let Some(vms) = Vms::new() else { return };
    // No -d: a VM on this computer is what one gets.
    let shared = vms.env.write("src/hello", "from this computer\n");
    let share = format!("{}:/src", shared.parent().unwrap().display());
    let created = vms.machine(&["create", "dev", "--qemu-share", &share]).pty().wait().success();
    l4_people_see_what_is_done_and_what_is_to_be_known(&screen(&created.stdout));
    assert_eq!(vms.status("dev"), "Running");
    let first = vms.one_qemu();
    let secret = std::fs::read_to_string(vms.env.store().join("machines/dev/id_ed25519")).unwrap();
    for file in ["cmdline", "environ"] {
        let text = String::from_utf8_lossy(&std::fs::read(format!("/proc/{first}/{file}")).unwrap()).into_owned();
        assert!(!text.contains("PRIVATE KEY") && !text.contains(secret.lines().nth(1).unwrap()), "{file}");
    }
    let mode = std::fs::metadata(vms.env.store().join("machines/dev/seed.iso")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    l17_a_first_day_as_the_readme_has_it(&vms);

    // A published port is a port of this computer, without another command.
    let port = vms.web("dev");

    // A shared folder is the same on both sides.
    let script = "cat /src/hello && echo from the VM >/src/answer";
    let said = vms.machine(&["ssh", "dev", script]).run().success().stdout;
    assert_eq!(said, "from this computer\n");
    assert_eq!(std::fs::read_to_string(shared.with_file_name("answer")).unwrap(), "from the VM\n");

    // One more, later: for that the VM is restarted, and nobody is asked here.
    let _ = vms.env.write("later/note", "read only\n");
    vms.machine(&["share", "dev", "later:/srv/later on:ro"]).run().failure(2).says(&["restarted", "add -y"]);
    let later = format!("{}:/srv/later on:ro\n", vms.env.home().join("later").display());
    let sharing = ["share", "-y", "dev", "later:/srv/later on:ro"];
    let killed = vms.machine(&sharing).run_killed_at("dev: switch-off-and-on: ");
    assert_eq!(killed.signal, Some(9), "{killed}");
    vms.machine(&sharing).run().success().says(&["dev: shared\n"]);
    let shares = vms.env.run(&["share", "dev"]).success().stdout;
    assert_eq!(shares, format!("{share}\n{later}"));
    let script = "cat '/srv/later on/note' /src/answer; ! touch '/srv/later on/other' 2>/dev/null";
    assert_eq!(vms.machine(&["ssh", "dev", script]).run().success().stdout, "read only\nfrom the VM\n");
    let again = vms.machine(&["share", "dev", later.trim_end()]).run().success();
    assert!(again.stderr.contains("dev: shared already"), "{again}");
    let _ = until("the published port after a restart", Duration::from_secs(120), || page(port));

    vms.machine(&["share", "dev", "--remove", "/src"]).run().success().says(&["dev: no longer shared"]);
    assert_eq!(vms.env.run(&["share", "dev"]).success().stdout, later);
    let left = vms.machine(&["ssh", "dev", "grep -c 9p /proc/mounts; ls /srv; cat '/srv/later on/note'"]);
    assert_eq!(left.run().success().stdout, "1\nlater on\nread only\n");

    vms.machine(&["rm", "-y", "dev"]).run().success();
    vms.nothing_left();
}

/// The screen after a `create`.
fn l4_people_see_what_is_done_and_what_is_to_be_known(screen: &[String]) {
    let has = |words: &str| assert!(screen.iter().any(|line| line.contains(words)), "{words:?} is not in {screen:#?}");
    for words in ["✔ dev: creating the machine (", "✔ dev: starting the engine (", "dev: the VM boots", "console.log"]
    {
        has(words);
    }
    if !std::path::Path::new("/dev/kvm").exists() {
        has("dev: no hardware acceleration: the VM is emulated, some ten times slower");
        has("about a minute under emulation");
    }
    for id in ["create-machine", "upload-engine", "rotate-host-key"] {
        assert!(!screen.iter().any(|line| line.contains(id)), "{id} is no word for people: {screen:#?}");
    }
    assert!(!screen.iter().any(|line| line.contains(" · ")), "nothing that moves is left: {screen:#?}");
    assert_eq!(screen.last().map(String::as_str), Some("dev: ready: eval $(machine env dev)"), "{screen:#?}");
}

/// Every line of the README's first day, up to its evening, in one shell.
fn l17_a_first_day_as_the_readme_has_it(vms: &Vms) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    let day = text.split("### A first day").nth(1).and_then(|day| day.split("Every evening").next()).unwrap();
    let lines: Vec<&str> = day.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(lines.len() > 6, "{lines:?}");
    // Another port, as this one may be somebody's; and the page is there when the port has come here.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let patient = "curl -sS --retry 60 --retry-all-errors --retry-delay 1 localhost";
    let script = lines.join("\n").replace("8080", &port).replace("curl localhost", patient);
    let done = vms.env.command("sh", &["-ec", &script]).env("SHELL", "/bin/sh").deadline(GUEST).run().success();
    assert!(done.stdout.contains("\nfrom this computer\n"), "the page:\n{done}");
    assert!(done.stdout.contains("Loaded image: box:latest"), "{done}");
    vms.env.sh("eval $(machine env --shell sh dev) && docker rm -f web && docker rmi box").success();
}

/// `create` killed on the way to an engine, with a whole guest: as it boots, and as the engine comes. Then the VM
/// itself is stopped, started, killed and started.
#[test]
fn a_vm_whose_create_is_killed_twice_is_one_vm_with_one_engine() {
    let Some(vms) = Vms::new() else { return };
    let mut times = KillTimes::new("a_vm_whose_create_is_killed_twice_is_one_vm_with_one_engine");
    let shared = vms.env.write("shared/hello", "from this computer\n");
    let share = format!("{}:/srv/shared", shared.parent().unwrap().display());
    let create = ["create", "dev", "--qemu-share", &share];
    let mut qemus = Vec::new();
    let mut told = String::new();
    for (step, span) in [("await-ssh", 5), ("upload-engine", 30)] {
        let mut running = vms.machine(&create).spawn();
        assert!(running.wait_for_or_end(&format!("dev: {step}: "), GUEST), "it ended before {step}");
        running.wait_at_most(times.next(Duration::from_secs(span)));
        let killed = running.kill();
        assert_eq!(killed.signal, Some(9), "{killed}");
        qemus.push(vms.one_qemu());
        told += &killed.stderr;
    }
    let created = vms.machine(&create).run().success().says(&["dev: ready"]);
    told += &created.stderr;
    // P4: the disk carries the engine, and nothing is sent.
    assert!(told.contains("dev: upload-engine … already so ("), "{told}");
    assert!(!told.contains("dev: upload-engine … done ("), "{told}");
    qemus.push(vms.one_qemu());
    assert!(qemus.iter().all(|pid| *pid == qemus[0]), "the first QEMU is the only one there ever was: {qemus:?}");
    assert_eq!(vms.processes().len(), 2, "QEMU and one watcher: {:?}", vms.processes());
    let files = vms.env.store_files();
    assert_eq!(files.iter().filter(|file| file.contains("qcow2")).count(), 1, "{files:?}");
    let asked = vms.env.sh("eval $(machine env --shell sh dev) && docker version -f '{{.Server.Os}}'").success();
    assert_eq!(asked.stdout, "linux\n");

    let port = vms.web("dev");
    let first = vms.one_qemu();
    vms.machine(&["stop", "dev"]).run().success().says(&["dev: stopped"]);
    // L8: what is shared can be changed while it is off, too.
    let off = "it is off: it sees the change when it is started";
    vms.machine(&["share", "dev", "--remove", "/srv/shared"]).run().success().says(&[off]);
    vms.machine(&["share", "dev", &share]).run().success().says(&[off]);
    rows::l7_memory_is_changed_while_it_is_off(&vms);
    assert_eq!((vms.status("dev").as_str(), vms.processes().len()), ("Stopped", 0));
    vms.env.run(&["env", "--shell", "sh", "dev"]).failure(1).says(&["machine start dev"]);
    vms.machine(&["start", "dev"]).run().success();
    assert_ne!(first, vms.one_qemu());
    // The same ports, the same certificates, the container and the shared folder back.
    let _ = until("the published port after a start", Duration::from_secs(120), || page(port));
    assert_eq!(vms.machine(&["ssh", "dev", "cat /srv/shared/hello"]).run().success().stdout, "from this computer\n");
    rows::l7_the_guest_has_the_memory(&vms);
    rows::l13_what_runs_is_started_already(&vms);
    rows::l11_host_gateway_is_this_computer(&vms);
    rows::l10_a_datagram_comes_and_goes(&vms);
    rows::l9_a_clock_that_is_off_is_put_right(&vms);

    let second = vms.one_qemu();
    kill(second);
    until("the end of QEMU", Duration::from_secs(30), || ended(second));
    assert_eq!(vms.status("dev"), "Stopped");
    vms.machine(&["start", "dev"]).run().success();
    assert_eq!(vms.status("dev"), "Running");
    let _ = until("the published port after a repair", Duration::from_secs(120), || page(port));
    vms.machine(&["rm", "-y", "dev"]).run().success();
    vms.nothing_left();
}

/// Kills `create` when the journal has this many finished stages; where it is quicker than we are, later.
#[test]
fn create_killed_before_the_guest_is_up_leaves_one_vm() {
    let Some(vms) = Vms::new() else { return };
    for round in 0..STAGES.len() + 4 {
        let mut running = vms.create_tiny(&["dev"]).spawn();
        if round < STAGES.len() {
            // At each boundary between two stages.
            until("a stage's end", Duration::from_secs(120), || {
                if vms.stages("dev").len() > round || !running.is_running() {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            });
        } else {
            // And at four moments of the short time that all of them take.
            until("the folder", Duration::from_secs(120), || {
                if vms.env.store().join("machines/dev").exists() { Ok(()) } else { Err("not there".to_owned()) }
            });
            running.wait_at_most(Duration::from_millis(60 * (round as u64 + 1 - STAGES.len() as u64)));
        }
        let killed = running.kill();
        assert_eq!(killed.signal, Some(9), "{killed}");
        // Going on comes to where only the guest itself is missing.
        let mut again = vms.machine(&["create", "dev"]).spawn();
        until("SSH to be waited for", Duration::from_secs(120), || {
            if vms.stages("dev").len() == STAGES.len() { Ok(()) } else { Err(format!("{:?}", vms.stages("dev"))) }
        });
        assert!(again.is_running(), "it waits for SSH");
        let _ = again.kill();
        vms.one_qemu();
        let files = vms.env.store_files();
        let disks = files.iter().filter(|file| file.contains("qcow2")).count();
        assert_eq!(disks, 1, "{files:?}");
        vms.env.run(&["rm", "-y", "dev"]).success();
        vms.nothing_left();
    }
}

/// The ports of a VM that is off stay its own, whatever becomes of the cache.
#[test]
fn cleared_caches_give_no_vm_the_ports_of_another() {
    let Some(mut vms) = Vms::new() else { return };
    vms.env.leave_cache();
    // It never comes to an engine: these look like one.
    let engine = "mkdir engine; for name in dockerd containerd containerd-shim-runc-v2 runc docker-proxy docker-init; do \
                  cp /bin/true engine/$name; done";
    vms.env.sh(engine).success();
    let engine = format!("dir:{}", vms.env.home().join("engine").display());
    let first = four_free_ports();
    let create = |name: &str, ports: u16| {
        let range = format!("{first}-{}", first + ports - 1);
        vms.create_tiny(&[name, "--engine-bundle", &engine, "--qemu-port-range", &range])
    };
    let ports = |name: &str| -> Vec<u64> {
        let text = std::fs::read_to_string(vms.env.store().join("machines").join(name).join("machine.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        let machine = &record["driver"]["machine"];
        [&machine["ssh-port"], &machine["engine-port"]].map(|port| port.as_u64().expect("a port")).into()
    };
    let on = |running: machine_tests::Running, name: &str| {
        until(&format!("{name} to be on"), Duration::from_secs(120), || {
            if vms.stages(name).len() == STAGES.len() { Ok(()) } else { Err(running.stderr()) }
        });
        assert_eq!(running.kill().signal, Some(9));
        ports(name)
    };
    let clear = || vms.env.sh("rm -r \"$XDG_CACHE_HOME\"").success();
    let a = on(create("a", 2).spawn(), "a");
    vms.env.run(&["kill", "a"]).success();
    clear();
    // Nothing listens at them, and they are nobody else's.
    create("b", 2).run().failure(6).says(&["no two ports in", "are free"]);
    clear();
    let c = on(create("c", 4).spawn(), "c");
    assert!(c.iter().all(|port| !a.contains(port)), "{a:?} {c:?}");
    // The other way round: all off and cleared, and each finds its own again.
    vms.env.run(&["kill", "c"]).success();
    clear();
    for (name, had) in [("c", &c), ("a", &a)] {
        let starting = vms.machine(&["start", name]).spawn();
        until(&format!("{name} to be on"), Duration::from_secs(120), || {
            let found = vms.qemus();
            if found.iter().any(|(_, vm)| *vm == format!("machine-{name}")) { Ok(()) } else { Err(starting.stderr()) }
        });
        let _ = starting.kill();
        assert_eq!(ports(name), *had);
    }
    vms.env.run(&["rm", "-y", "a", "b", "c"]).success();
    vms.nothing_left();
}

/// The first of them.
fn four_free_ports() -> u16 {
    let free = |port: &u16| (0..4).all(|n| std::net::TcpListener::bind(("127.0.0.1", port + n)).is_ok());
    let from = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (from..from + 2_000).find(free).expect("four ports side by side")
}

#[test]
fn power_of_a_vm_that_never_came_up() {
    let Some(vms) = Vms::new() else { return };
    let mut running = vms.create_tiny(&["a", "b", "c"]).spawn();
    until("three VMs", Duration::from_secs(120), || {
        if vms.qemus().len() == 3 { Ok(()) } else { Err(format!("{:?}", vms.qemus())) }
    });
    // Ctrl-C ends the command in seconds and no VM.
    running.signal(Signal::INT);
    assert!(running.wait_at_most(Duration::from_secs(15)), "it ends in seconds");
    let stopped = running.wait();
    assert_eq!(stopped.code, 130, "{stopped}");
    assert_eq!(vms.qemus().len(), 3);
    vms.env.run(&["stop", "a"]).success();
    vms.env.run(&["kill", "b"]).success();
    assert_eq!(vms.qemus().iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["machine-c"]);
    vms.env.run(&["rm", "-y", "a", "b", "c"]).success();
    vms.nothing_left();
}

#[test]
#[ignore = "long: two guests at once, and one whose disk is another's"]
fn long_two_vms_at_once() {
    let Some(vms) = Vms::new() else { return };
    vms.machine(&["create", "dev", "two"]).run().success();
    assert_eq!(vms.qemus().len(), 2);
    let id = |name: &str| {
        let script = format!("eval \"$(machine env --shell sh {name})\" && docker info -f '{{{{.Name}}}}'");
        vms.env.command("sh", &["-c", &script]).deadline(GUEST).run().success().stdout
    };
    assert_eq!((id("dev").trim(), id("two").trim()), ("dev", "two"));
    // Another program has one of its ports when it starts again: it is at others, and everybody is told.
    let port = || vms.env.run(&["inspect", "dev", "--format", "{{.ssh.port}}"]).success().stdout.trim().to_owned();
    let before = port();
    vms.env.run(&["kill", "dev"]).success();
    let taken = std::net::TcpListener::bind(("127.0.0.1", before.parse::<u16>().unwrap())).unwrap();
    let started = vms.machine(&["start", "dev"]).run().success();
    assert!(started.stderr.contains(&format!("port {before} or ")), "{started}");
    assert_ne!(port(), before);
    assert_eq!(id("dev").trim(), "dev");
    vms.machine(&["ssh", "dev", "true"]).run().success();
    drop(taken);
    // A disk that was swapped under a machine has another host key, and is refused.
    for name in ["dev", "two"] {
        vms.env.run(&["kill", name]).success();
    }
    let machines = vms.env.store().join("machines");
    std::fs::rename(machines.join("dev/disk.qcow2"), machines.join("aside")).unwrap();
    std::fs::rename(machines.join("two/disk.qcow2"), machines.join("dev/disk.qcow2")).unwrap();
    let refused = vms.machine(&["start", "dev"]).run().failure(5);
    refused.says(&["the host key of 127.0.0.1:", "has changed"]);
    std::fs::remove_file(machines.join("aside")).unwrap();
    vms.machine(&["rm", "-y", "dev", "two"]).run().success();
    vms.nothing_left();
}
