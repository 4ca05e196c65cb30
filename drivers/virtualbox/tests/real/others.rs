//! What is not this machine's stays as it is; what is refused, is refused before anything exists.

use std::sync::Arc;

use machine_driver::{Kind, Power, Stop};

use crate::core::{Core, shown};
use crate::days::machine;
use crate::world::{Computer, POLITE, put};

/// A VM of a person's own.
fn theirs(computer: &Computer, name: &str) {
    computer.by_hand(&format!("createvm --name {name} --basefolder {} --register", computer.path("theirs").display()));
}

fn settings(computer: &Computer, name: &str) -> Vec<u8> {
    std::fs::read(computer.path(&format!("theirs/{name}/{name}.vbox"))).unwrap()
}

#[tokio::test]
async fn a_name_that_another_vm_has_is_refused_and_that_vm_left_alone() {
    let Some(mut core) = machine(POLITE) else { return };
    theirs(&core.computer, "m-1");
    theirs(&core.computer, "größe");
    let (before, things) = (settings(&core.computer, "m-1"), core.computer.things());
    for error in [core.check().await.unwrap_err(), core.stages(0..5).await.unwrap_err()] {
        assert_eq!(error.kind, Kind::Usage);
        let text = shown(&error);
        assert!(text.starts_with("VirtualBox has a VM \"m-1\" already, which is not this machine's: "), "{text}");
    }
    assert_eq!(core.power().await, Power::Gone);
    core.remove().await.unwrap();
    assert_eq!((settings(&core.computer, "m-1"), core.computer.things()), (before, things));
    // Names that are not English are no trouble, before and behind ours.
    let mut other = Core::new(&core.computer, 2);
    other.create().await.unwrap();
    other.remove().await.unwrap();
    assert!(core.computer.by_hand("list vms").contains("größe"));
}

#[tokio::test]
async fn a_vm_with_our_id_that_says_it_is_another_machine_is_never_touched() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    core.computer.by_hand(&format!("setextradata {} machine-id somebody-else", core.id));
    let calls = core.computer.calls().len();
    let errors = [
        core.stop(Stop::Politely).await.unwrap_err(),
        core.stop(Stop::AtOnce).await.unwrap_err(),
        core.start().await.unwrap_err(),
        core.restart().await.unwrap_err(),
        core.stages(0..5).await.unwrap_err(),
        core.remove().await.unwrap_err(),
    ];
    for error in errors {
        assert!(shown(&error).contains("in VirtualBox is not this machine's"), "{}", shown(&error));
    }
    let changes = |call: &&String| !["list", "showvminfo", "getextradata"].iter().any(|word| call.starts_with(word));
    let calls = core.computer.calls().split_off(calls);
    assert_eq!(calls.iter().find(changes), None, "only looks");
    assert_eq!(core.power().await, Power::Running);
}

/// `unregistervm --delete-all` deletes whatever disk is in a VM.
#[tokio::test]
async fn a_disk_of_the_users_own_in_our_vm_outlives_it() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    let disk = core.computer.path("data.vdi");
    core.computer.by_hand(&format!("createmedium disk --filename {} --size 4", disk.display()));
    core.computer.by_hand(&format!("storagectl {} --name SATA --portcount 3", core.id));
    let at = "--storagectl SATA --port 2 --device 0 --type hdd";
    core.computer.by_hand(&format!("storageattach {} {at} --medium {}", core.id, disk.display()));
    core.start().await.unwrap();
    core.remove().await.unwrap();
    assert!(disk.exists(), "it was deleted with the VM");
    assert_eq!(core.computer.things(), [format!("hdds: Location:       {}", disk.display())]);
}

#[tokio::test]
async fn one_whose_settings_cannot_be_read_is_said_to_and_can_be_removed() {
    let Some(mut core) = machine(POLITE) else { return };
    core.create().await.unwrap();
    core.stop(Stop::AtOnce).await.unwrap();
    core.computer.kill("");
    put(&core.dir().join("m-1/m-1.vbox"), "<not any more>");
    let status = core.inspect().await.unwrap();
    assert_eq!(
        (status.power, status.detail.as_deref()),
        (Power::Error, Some("VirtualBox cannot read the VM's settings"))
    );
    let error = core.start().await.unwrap_err();
    assert!(shown(&error).starts_with("VirtualBox cannot read the VM's settings\nhint: "), "{}", shown(&error));
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

#[tokio::test]
async fn settings_that_virtualbox_wrote_and_did_not_note_are_taken_in() {
    let Some(mut core) = machine(POLITE) else { return };
    core.stages(0..1).await.unwrap();
    let (id, dir) = (core.id.clone(), core.dir());
    core.computer.by_hand(&format!("createvm --name m-1 --uuid {id} --basefolder {}", dir.display()));
    assert!(dir.join("m-1/m-1.vbox").exists() && core.computer.by_hand("list vms").is_empty());
    core.create().await.unwrap();
    assert_eq!(core.power().await, Power::Running);
    core.remove().await.unwrap();
    assert_eq!(core.computer.things(), Vec::<String>::new());
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_exists() {
    let Some(core) = machine(POLITE) else { return };
    let things = core.computer.things();
    let refused = async |number: usize, flags: &str| {
        let mut core = Core::new(&core.computer, number);
        core.set(flags);
        let error = core.check().await.unwrap_err();
        assert_eq!(error.kind, Kind::Usage, "{error}");
        shown(&error)
    };
    let text = refused(2, "memory 9000000").await;
    assert!(
        text.starts_with("this computer has ") && text.ends_with("hint: choose a smaller --virtualbox-memory"),
        "{text}"
    );
    let text = refused(3, "program /bin/true").await;
    assert!(text.starts_with("/bin/true is not VirtualBox's VBoxManage"), "{text}");
    let text = refused(4, "program /nowhere/VBoxManage").await;
    assert!(text.starts_with("cannot run /nowhere/VBoxManage: "), "{text}");
    let mut missing = Core::new(&core.computer, 5);
    missing.set("image /nowhere/disk.qcow2");
    let error = missing.check().await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::NotFound, "cannot open /nowhere/disk.qcow2"));
    assert_eq!(core.computer.things(), things);
    let mut small = Core::new(&core.computer, 6);
    small.set("disk-size 0");
    let error = small.stages(0..1).await.unwrap_err();
    assert!(error.message.starts_with("a disk of 0M is too small for the image tiny.img"), "{error}");
}

#[tokio::test]
async fn a_virtualbox_that_answers_nothing_is_given_up_on() {
    let Some(core) = machine(POLITE) else { return };
    let mut core = Core::new(&core.computer, 1);
    core.timing.call = std::time::Duration::from_millis(300);
    let silent = core.computer.path("silent");
    put(&silent, "#!/bin/sh\nexec sleep 60\n");
    std::fs::set_permissions(&silent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    core.set(&format!("program {}", silent.display()));
    let error = core.check().await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error}");
}

#[tokio::test]
async fn four_at_once_are_four_machines() {
    let Some(computer) = Computer::new(POLITE).map(Arc::new) else { return };
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(|number| Core::new(&computer, number));
    let (a1, b1, c1, d1) = tokio::join!(a.create(), b.create(), c.create(), d.create());
    for made in [a1, b1, c1, d1] {
        made.unwrap();
    }
    assert_eq!(computer.by_hand("list runningvms").lines().count(), 4);
    let mut ports: Vec<u16> = [&a, &b, &c, &d].iter().flat_map(|core| core.ports()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 8);
    let (a1, b1, c1, d1) = tokio::join!(a.remove(), b.remove(), c.remove(), d.remove());
    for gone in [a1, b1, c1, d1] {
        gone.unwrap();
    }
    assert_eq!(computer.things(), Vec::<String>::new());
}
