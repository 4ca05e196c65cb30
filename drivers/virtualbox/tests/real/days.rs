//! Good days and bad ones of one VM.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use machine_driver::{Kind, Power, Stop};
use machine_driver_virtualbox::Timing;

use crate::core::{BOOT, Core};
use crate::world::{CRASHING, Computer, DEAF, FAST, POLITE, put};

/// A computer whose guests are this one, and a machine of it.
pub(crate) fn machine(guest: &[u8]) -> Option<Core> {
    Some(Core::new(&Arc::new(Computer::new(guest)?), 1))
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// VirtualBox lets go of a VM a moment before its process has ended.
async fn no_process(core: &Core) {
    let begun = std::time::Instant::now();
    while core.computer.vm_processes() != 0 {
        assert!(begun.elapsed() < FAST.settle, "a process is left: {:?}", core.computer.programs());
        tokio::time::sleep(FAST.poll).await;
    }
}

#[tokio::test]
async fn a_whole_life() {
    let Some(mut core) = machine(POLITE) else { return };
    let before = core.computer.things();
    core.create().await.unwrap();
    let status = core.inspect().await.unwrap();
    let [ssh, engine] = core.ports();
    assert_eq!((status.power, status.detail), (Power::Running, None));
    assert_eq!((status.ssh.unwrap().port, status.engine.unwrap().port), (ssh, engine));
    assert!(listens(ssh) && listens(engine), "{:?}", core.ports());

    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.power().await, Power::Stopped);
    assert!(!core.said().contains("powering it off"), "by the button alone: {}", core.said());
    core.start().await.unwrap();
    core.restart().await.unwrap();
    assert_eq!((core.power().await, core.ports()), (Power::Running, [ssh, engine]));
    core.stop(Stop::AtOnce).await.unwrap();
    assert_eq!(core.power().await, Power::Stopped);
    no_process(&core).await;

    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), before);
    assert_eq!(core.power().await, Power::Gone);
}

#[tokio::test]
async fn paused_saved_and_aborted_it_is_said_so_and_start_goes_on() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    let (computer, id) = (Arc::clone(&core.computer), core.id.clone());
    let by_hand = |what: &str| computer.by_hand(&format!("controlvm {id} {what}"));

    by_hand("pause");
    assert_eq!(core.power().await, Power::Paused);
    core.start().await.unwrap();
    assert_eq!(core.power().await, Power::Running);
    by_hand("pause");
    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.power().await, Power::Stopped, "a paused guest is asked, too");

    core.start().await.unwrap();
    by_hand("savestate");
    core.wait_for(Power::Saved).await;
    for how in [Stop::Politely, Stop::AtOnce] {
        core.stop(how).await.unwrap();
        assert_eq!(core.power().await, Power::Saved, "what is saved is off, and stays saved");
    }
    // Its ports are taken meanwhile: rules of a saved VM cannot be changed before it runs.
    let [ssh, _] = core.ports();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ssh)).unwrap();
    core.start().await.unwrap();
    assert_eq!(core.power().await, Power::Running);
    assert!(!core.ports().contains(&ssh) && core.ports().map(listens) == [true, true], "{:?}", core.ports());
    drop(taken);

    assert_eq!(core.computer.kill("VBoxHeadless"), 1);
    core.wait_for(Power::Stopped).await;
    core.start().await.unwrap();
    assert_eq!(core.power().await, Power::Running);
    // All of VirtualBox at once: what is left when the computer was off.
    core.computer.kill("");
    assert_eq!(core.power().await, Power::Stopped);
    core.start().await.unwrap();
    by_hand("savestate");
    core.wait_for(Power::Saved).await;
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deaf_guest_is_powered_off_after_its_time() {
    let Some(mut core) = machine(DEAF) else { return };
    // Longer than one call may hang: see `Timing::read`.
    core.timing = Timing { shutdown: Duration::from_secs(12), ..FAST };
    core.create().await.unwrap();
    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.power().await, Power::Stopped);
    assert!(core.said().ends_with("\nthe guest did not shut down within 12 s: powering it off"), "{}", core.said());
    let presses = core.computer.calls().iter().filter(|call| call.ends_with(" acpipowerbutton")).count();
    assert!((2..=61).contains(&presses), "{presses}");
}

#[tokio::test]
async fn a_guest_that_crashed_is_said_to_and_can_be_started_stopped_and_removed() {
    let Some(mut core) = machine(CRASHING) else { return };
    core.create().await.ok();
    core.wait_for(Power::Error).await;
    assert!(core.inspect().await.unwrap().detail.unwrap().starts_with("the guest has crashed"));
    core.stop(Stop::Politely).await.unwrap();
    assert_eq!(core.power().await, Power::Stopped);
    core.start().await.ok();
    core.wait_for(Power::Error).await;
    core.start().await.ok();
    assert!(core.said().contains("the guest has crashed: powering it off first"), "{}", core.said());
    core.wait_for(Power::Error).await;
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

/// VirtualBox starts a VM whose port somebody else has, and says nothing.
#[tokio::test]
async fn ports_that_are_taken_at_the_last_moment_are_exchanged() {
    let Some(mut core) = machine(POLITE) else { return };
    core.stages(0..BOOT).await.unwrap();
    let [ssh, engine] = core.ports();
    let (steal, stealing) = (core.computer.path("steal"), core.computer.path("stealing"));
    put(&steal, "");
    let thief = tokio::task::spawn_blocking(move || {
        let begun = std::time::Instant::now();
        while !stealing.exists() {
            assert!(begun.elapsed() < FAST.settle, "nothing was started");
            std::thread::yield_now();
        }
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, ssh)).unwrap();
        std::fs::remove_file(stealing).unwrap();
        taken
    });
    core.stages(BOOT..BOOT + 1).await.unwrap();
    let taken = thief.await.unwrap();
    core.stages(BOOT + 1..BOOT + 2).await.unwrap();
    let [new_ssh, new_engine] = core.ports();
    assert!(new_ssh != ssh && new_engine != engine && listens(new_ssh) && listens(new_engine), "{:?}", core.ports());
    assert!(core.said().contains("is taken by another program"), "{}", core.said());
    // For good: also after the VM was off.
    drop(taken);
    core.restart().await.unwrap();
    assert_eq!(core.ports(), [new_ssh, new_engine]);
    let rules = core.computer.by_hand(&format!("showvminfo {} --machinereadable", core.id));
    assert_eq!(rules.lines().filter(|line| line.starts_with("Forwarding(")).count(), 2, "{rules}");
}

#[tokio::test]
async fn two_commands_at_once_start_one_vm() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    no_process(&core).await;
    let mut other = Core::new(&core.computer, 1);
    other.machine = core.machine.clone();
    let (one, two) = tokio::join!(core.start(), other.start());
    one.unwrap();
    two.unwrap();
    assert_eq!((core.power().await, core.computer.vm_processes()), (Power::Running, 1));
}

#[tokio::test]
async fn without_a_disk_it_does_not_start_and_says_which() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    std::fs::remove_file(core.dir().join("disk.vdi")).unwrap();
    assert_eq!(core.power().await, Power::Error);
    let error = core.start().await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.message.ends_with("m-1/disk.vdi"), "{error}");
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

/// VirtualBox's service keeps what the first call had open: a script's lock, for one.
#[tokio::test]
async fn no_open_file_of_ours_is_kept_by_virtualbox() {
    use std::os::fd::AsRawFd as _;
    let Some(core) = machine(POLITE) else { return };
    let lock = core.computer.path("lock");
    let file = std::fs::File::create(&lock).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    core.check().await.unwrap();
    assert!(file.as_raw_fd() > 2);
    let service = core.computer.programs().into_iter().find(|(_, name)| name == "VBoxSVC").expect("a service").0;
    let held = std::fs::read_dir(format!("/proc/{service}/fd")).unwrap().flatten();
    let held: Vec<_> = held.filter_map(|entry| std::fs::read_link(entry.path()).ok()).collect();
    assert!(!held.is_empty() && !held.contains(&lock), "{held:?}");
}
