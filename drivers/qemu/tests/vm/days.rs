//! Good days and bad ones of one VM: what is said of it, what repairs it, what is refused.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use machine_driver::{Kind, Power, Stop};
use rustix::process::{Pid, Signal, kill_process};

use crate::tiny::{Computer, FAST, SimulatedCore, put, qemu, shown};

macro_rules! needs_qemu {
    () => {
        if !qemu() {
            return;
        }
    };
}

fn computer() -> Arc<Computer> {
    Arc::new(Computer::new())
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn wait_for_power(core: &SimulatedCore, power: Power) {
    let begun = std::time::Instant::now();
    while core.inspect().await.unwrap().power != power {
        assert!(begun.elapsed() < FAST.end, "not {power:?} within {:?}: {:?}", FAST.end, core.inspect().await);
        tokio::time::sleep(FAST.poll).await;
    }
}

#[tokio::test]
async fn killed_it_is_stopped_and_start_repairs_it() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    let first = core.pid();
    // A session of its own: neither our terminal's Ctrl-C nor its end is for it.
    let session = rustix::process::getsid(Pid::from_raw(first)).unwrap();
    assert_eq!(session.as_raw_nonzero().get(), first);
    let before = core.inspect().await.unwrap();
    signal(first, Signal::KILL);
    wait_for_power(&core, Power::Stopped).await;
    core.start().await.unwrap();
    let after = core.inspect().await.unwrap();
    assert_eq!((after.power, &after.ssh, &after.engine), (Power::Running, &before.ssh, &before.engine));
    assert_ne!(core.pid(), first);
    // After the computer was off: no runtime folder, and a socket that nobody listens on.
    signal(core.pid(), Signal::KILL);
    wait_for_power(&core, Power::Stopped).await;
    std::fs::remove_file(core.dir().join("qemu.sock")).unwrap();
    core.start().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

#[tokio::test]
async fn one_that_hangs_is_killed_and_one_that_lost_its_socket_too() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    // Stopped by a signal it answers nobody; it is there all the same.
    let pid = core.pid();
    signal(pid, Signal::STOP);
    let status = core.inspect().await.unwrap();
    assert_eq!(status.power, Power::Running, "{status:?}");
    assert_eq!(status.detail.as_deref(), Some("QEMU does not answer on its control socket"));
    core.stop(Stop::AtOnce).await.unwrap();
    assert!(core.said().contains("QEMU does not answer on its control socket: killing it"), "{}", core.said());
    assert_eq!(core.inspect().await.unwrap().power, Power::Stopped);
    core.start().await.unwrap();
    std::fs::remove_file(core.dir().join("qemu.sock")).unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
    core.stop(Stop::Politely).await.unwrap();
    assert!(core.said().contains("nobody answers on QEMU's control socket"), "{}", core.said());
    assert_eq!(core.inspect().await.unwrap().power, Power::Stopped);
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_switched_off() {
    needs_qemu!();
    let computer = computer();
    // An endless loop.
    let mut disk = vec![0; 1 << 20];
    disk[..2].copy_from_slice(&[0xeb, 0xfe]);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    put(&computer.path("tiny.img"), disk);
    let mut core = SimulatedCore::new(&computer, 1, "");
    core.timing.shutdown = std::time::Duration::from_millis(400);
    core.create().await.unwrap();
    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Stopped);
    assert!(core.said().contains("the guest did not shut down within 0 s: switching it off"), "{}", core.said());
}

#[tokio::test]
async fn a_paused_vm_goes_on() {
    needs_qemu!();
    let computer = computer();
    // -S: QEMU waits to be told.
    let mut core = SimulatedCore::new(&computer, 1, "--qemu-arg -S");
    core.create().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Starting);
    core.stop(Stop::AtOnce).await.unwrap();
    let mut core = SimulatedCore::new(&computer, 2, "");
    core.create().await.unwrap();
    let mut qmp = std::os::unix::net::UnixStream::connect(core.dir().join("qemu.sock")).unwrap();
    let mut said = String::new();
    std::io::Write::write_all(&mut qmp, b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\"}\n").unwrap();
    let mut lines = std::io::BufReader::new(qmp);
    while !said.contains("\"STOP\"") {
        assert_ne!(std::io::BufRead::read_line(&mut lines, &mut said).unwrap(), 0, "{said}");
    }
    drop(lines);
    assert_eq!(core.inspect().await.unwrap().power, Power::Paused);
    core.start().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
}

#[tokio::test]
async fn ports_are_kept_unless_taken() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    let port = |core: &SimulatedCore| {
        let status = core.machine.clone();
        (status["ssh-port"].as_u64().unwrap() as u16, status["engine-port"].as_u64().unwrap() as u16)
    };
    let first = port(&core);
    let status = core.inspect().await.unwrap();
    assert_eq!(status.ssh.unwrap().port, first.0);
    let engine = status.engine.unwrap();
    assert_eq!((engine.host.as_str(), engine.port, engine.host_port), ("127.0.0.1", first.1, 2376));
    core.stop(Stop::AtOnce).await.unwrap();
    core.start().await.unwrap();
    assert_eq!(port(&core), first);
    core.stop(Stop::AtOnce).await.unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.0)).unwrap();
    core.start().await.unwrap();
    assert_ne!(port(&core).0, first.0);
    assert!(core.said().contains("is taken by another program: the VM is at"), "{}", core.said());
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
    drop(taken);
}

#[tokio::test]
async fn a_range_of_ports_ends() {
    needs_qemu!();
    let computer = computer();
    // Two ports in a row, in our hands.
    let (a, b) = (0..100)
        .find_map(|_| {
            let a = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
            let b = TcpListener::bind((Ipv4Addr::LOCALHOST, a.local_addr().ok()?.port().checked_add(1)?)).ok()?;
            Some((a, b))
        })
        .unwrap();
    let first = a.local_addr().unwrap().port();
    let mut core = SimulatedCore::new(&computer, 1, &format!("--qemu-port-range {first}-{}", first + 1));
    let refused = core.create().await.unwrap_err();
    assert_eq!(refused.kind, Kind::Quota);
    insta::assert_snapshot!(shown(&refused).replace(&format!("{first}-{}", first + 1), "FIRST-LAST"));
    drop((a, b));
    core.create().await.unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Running);
    core.remove().await.unwrap();
}

#[tokio::test]
async fn a_cleared_cache_breaks_no_machine_and_a_lost_disk_is_named() {
    needs_qemu!();
    let computer = computer();
    let mut core = SimulatedCore::new(&computer, 1, "");
    core.create().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    std::fs::remove_dir_all(computer.path("cache")).unwrap();
    core.start().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    let dir = core.dir();
    std::fs::rename(dir.join("disk.base"), dir.join("aside")).unwrap();
    let status = core.inspect().await.unwrap();
    assert_eq!(status.power, Power::Error);
    let refused = core.start().await.unwrap_err();
    assert_eq!(Some(&refused.message), status.detail.as_ref());
    assert!(refused.message.starts_with("the base image of the VM's disk no longer exists: "), "{}", shown(&refused));
    assert!(refused.hint.is_some());
    std::fs::rename(dir.join("aside"), dir.join("disk.base")).unwrap();
    std::fs::rename(dir.join("disk.qcow2"), dir.join("aside")).unwrap();
    assert_eq!(core.inspect().await.unwrap().power, Power::Gone);
    let refused = core.start().await.unwrap_err();
    assert_eq!(refused.kind, Kind::NotFound);
    assert!(refused.message.starts_with("the VM's disk no longer exists: "), "{}", shown(&refused));
    std::fs::rename(dir.join("aside"), dir.join("disk.qcow2")).unwrap();
    core.start().await.unwrap();
}

#[tokio::test]
async fn the_base_is_the_cache_s_own_file() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    let meta = std::fs::metadata(core.dir().join("disk.base")).unwrap();
    assert!(meta.nlink() > 1, "a link, not a copy");
    // The seed holds the host key, and what QEMU and the guest say is nobody else's affair.
    for name in ["seed.iso", "qemu.log", "qemu.lock"] {
        let mode = std::fs::metadata(core.dir().join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}: {mode:o}");
    }
}

#[tokio::test]
async fn a_disk_in_use_elsewhere_is_left_alone() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    // As if the lock's file had been deleted: the disk's own lock still says no.
    std::fs::remove_file(core.dir().join("qemu.lock")).unwrap();
    let refused = core.start().await.unwrap_err();
    assert_eq!(refused.kind, Kind::Denied, "{}", shown(&refused));
    assert_eq!(refused.message, "the VM's disk is used by another process");
    assert_eq!(core.computer.vms().len(), 1);
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_exists() {
    needs_qemu!();
    let computer = computer();
    put(&computer.path("not-a-program"), "");
    computer.script("says-nothing", "exit 3");
    computer.script("says-hello", "echo hello 1.0");
    let mut seen = String::new();
    for flags in [
        "--qemu-program /nowhere/qemu-system-x86_64",
        "--qemu-program no-such-qemu",
        "--qemu-program ./says-hello",
        "--qemu-program ./says-nothing",
        "--qemu-program ./not-a-program",
        "--qemu-memory 900T",
        "--qemu-share nowhere:/srv",
        "--qemu-network tap=none0 --qemu-address 10.0.0.5/24",
        "--qemu-arch aarch64 --qemu-accel kvm --qemu-program qemu-system-x86_64",
        "--qemu-accel hvf",
    ] {
        let core = SimulatedCore::new(&computer, 1, flags);
        let refused = core.check().await.expect_err(flags);
        let root = computer.root.path().display().to_string();
        let text = shown(&refused).replace('\n', "\n  ").replace(&root, "ROOT");
        // How much this computer has is its own affair.
        let text = match text.split_once(" MiB of memory") {
            Some((_, rest)) => format!("this computer has N MiB of memory{rest}"),
            None => text,
        };
        seen.extend([flags, "\n  ", &text, "\n"]);
        assert_eq!(computer.things(), Vec::<String>::new());
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn settings_that_contradict_themselves() {
    let computer = computer();
    let mut seen = String::new();
    for flags in [
        "--qemu-network tap=tap0",
        "--qemu-address 10.0.0.5/24",
        "--qemu-gateway 10.0.0.1",
        "--qemu-network bridge=br0 --qemu-address 10.0.0.5/24 --qemu-port-range 4000-4001",
        "--qemu-ssh-user Bob!",
        "--qemu-share a:/srv --qemu-share b:/srv",
        "--qemu-share ~/a:/srv",
        "--qemu-image https://images.example/disk.qcow2",
    ] {
        let Err(refused) = SimulatedCore::try_new(&computer, 1, flags) else { panic!("{flags} is taken") };
        assert_eq!(refused.kind, Kind::Usage);
        seen.extend([flags, "\n  ", &shown(&refused).replace('\n', "\n  "), "\n"]);
    }
    insta::assert_snapshot!(seen);
}

#[tokio::test]
async fn qemu_says_why_it_does_not_start() {
    needs_qemu!();
    let computer = computer();
    let mut core = SimulatedCore::new(&computer, 1, "--qemu-arg -device --qemu-arg no-such-device");
    let failed = core.create().await.unwrap_err();
    insta::assert_snapshot!(shown(&failed));
    assert_eq!(computer.vms().len(), 0);
    assert_eq!(core.inspect().await.unwrap().power, Power::Stopped);
    core.remove().await.unwrap();
    assert_eq!(computer.things(), Vec::<String>::new());
}

#[tokio::test]
async fn images_that_will_not_do() {
    needs_qemu!();
    let computer = computer();
    put(&computer.path("letter.txt"), "Dear reader,\n".repeat(100));
    put(&computer.path("short.qcow2"), b"QFI\xfb\0\0\0\x03");
    let mut seen = String::new();
    for (number, flags) in [
        "--qemu-image ./nowhere.qcow2",
        "--qemu-image ./letter.txt",
        "--qemu-image ./short.qcow2",
        "--qemu-image no-such-name",
        "--qemu-image ./tiny.img --qemu-image-checksum sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "--qemu-image ./tiny.img --qemu-image-checksum sha256:e3b0",
    ]
    .into_iter()
    .enumerate()
    {
        let refused = match SimulatedCore::try_new(&computer, number, flags) {
            Err(refused) => refused,
            Ok(mut core) => {
                let refused = core.create().await.expect_err(flags);
                core.remove().await.unwrap();
                refused
            }
        };
        let root = computer.root.path().display().to_string();
        let text = shown(&refused).replace('\n', "\n  ").replace(&root, "ROOT");
        seen.extend([flags, "\n  ", &text, "\n"]);
        assert_eq!(computer.things(), Vec::<String>::new());
    }
    insta::assert_snapshot!(seen);
    // Nothing half-made is kept.
    let mut left: Vec<String> = files_below(&computer.path("cache/disks"));
    left.retain(|name| !name.contains("lock"));
    assert_eq!(left, Vec::<String>::new());
}

/// Every file below a folder.
fn files_below(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path.display().to_string()] }).collect()
}

#[tokio::test]
async fn ten_at_once_share_a_disk_and_no_port() {
    needs_qemu!();
    let computer = computer();
    let base = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let flags = format!("--qemu-port-range {base}-{}", base + 60);
    let mut all = tokio::task::JoinSet::new();
    for number in 0..10 {
        let (computer, flags) = (Arc::clone(&computer), flags.clone());
        all.spawn(async move {
            let mut core = SimulatedCore::new(&computer, number, &flags);
            core.create().await.map_err(|e| shown(&e)).unwrap();
            core.machine
        });
    }
    let machines = all.join_all().await;
    let mut ports: Vec<u64> =
        machines.iter().flat_map(|m| [m["ssh-port"].as_u64().unwrap(), m["engine-port"].as_u64().unwrap()]).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), computer.vms().len()), (20, 10));
}

/// Row L7, and a start that is killed before the disk has grown: the next one goes on.
#[tokio::test]
async fn l7_memory_a_larger_disk_and_other_ports_come_with_the_next_start() {
    needs_qemu!();
    let mut core = SimulatedCore::new(&computer(), 1, "");
    core.create().await.unwrap();
    let disk = |core: &SimulatedCore| {
        let head = std::fs::read(core.dir().join("disk.qcow2")).unwrap();
        u64::from_be_bytes(head[24..32].try_into().unwrap()) >> 20
    };
    assert_eq!(disk(&core), 16);
    let range = { TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port().min(65_000) };
    core.reconfigure(&format!("--qemu-memory=48 --qemu-disk-size=32M --qemu-port-range={range}-{}", range + 200)).await;
    core.stop(Stop::AtOnce).await.unwrap();
    core.start().await.unwrap();
    let words = std::fs::read_to_string(format!("/proc/{}/cmdline", core.pid())).unwrap();
    assert!(words.contains("-m\x0048M\x00"), "{words}");
    assert_eq!((disk(&core), core.inspect().await.unwrap().power), (32, Power::Running));
    let port = core.inspect().await.unwrap().ssh.unwrap().port;
    assert!((range..=range + 200).contains(&port), "{port} is not in {range}-{}", range + 200);
    core.stop(Stop::AtOnce).await.unwrap();
    core.reconfigure("--qemu-disk-size=64M").await;
    let computer = Arc::clone(&core.computer);
    let runs = async {
        while computer.vms().is_empty() {
            tokio::time::sleep(FAST.poll).await;
        }
    };
    tokio::select! {
        ended = core.start() => ended.unwrap(),
        () = runs => {}
    }
    core.start().await.unwrap();
    assert_eq!((disk(&core), core.inspect().await.unwrap().power), (64, Power::Running));
}
