//! What must be true of every driver that makes machines, whatever else it can or cannot.

use machine_driver::Arch;
use machine_host::journal::{Event, Journal, StepId};
use machine_host::spec::Foreign;

use super::{Computer, FAULTS, Fault};
use crate::operations::CreateRequest;

/// A driver that makes machines and cannot inject their host keys.
#[tokio::test]
async fn other_flags_never_make_a_second_machine_nor_forget_the_first() {
    // No engine of ours has to be got ready for it.
    let plain = |request: &mut CreateRequest| request.spec.engine.foreign = Some(Foreign::Adopt);
    let larger = |request: &mut CreateRequest| {
        plain(request);
        request.spec.driver.settings["size"] = "large".into();
        request.typed = true;
    };
    for (stage, fault) in ["order", "boot"].into_iter().flat_map(|stage| FAULTS.map(|fault| (stage, fault))) {
        let computer = Computer::with::<true>();
        let refused = async |when: &str| {
            let (before, things) = (computer.record(), computer.things.lock().unwrap().clone());
            let refused = computer.create_with(larger).await.expect("it lives").unwrap_err();
            assert_eq!(refused.kind(), crate::Kind::Usage, "{stage} {fault:?}, {when}: {refused:?}");
            assert!(refused.diagnostic.message.contains("already exists, with other settings"), "{refused:?}");
            assert!(refused.before_anything, "{refused:?}");
            assert_eq!(computer.record(), before, "{stage} {fault:?}, {when}");
            assert_eq!(*computer.things.lock().unwrap(), things, "{stage} {fault:?}, {when}");
        };
        let one = |when: &str| {
            let record = computer.record();
            assert_eq!(record.driver.machine["thing"], record.id, "{stage} {fault:?}, {when}: its id is known");
            assert_eq!(*computer.things.lock().unwrap(), [record.id], "{stage} {fault:?}, {when}");
        };
        computer.script.set(stage, fault);
        assert!(!matches!(computer.create_with(plain).await, Some(Ok(_))));
        let id = computer.record().id;
        refused("half made").await;
        if stage == "boot" {
            one("half made");
        }
        // The same flags go on with that machine, to where its SSH would have to answer.
        computer.script.set("address", Fault::DiesAfter);
        assert!(computer.create_with(plain).await.is_none());
        one("before the claim");
        refused("before the claim").await;
        let mut journal = Journal::open(computer.journal()).unwrap();
        journal.append(Event::Begin { operation: "create".into() }).unwrap();
        journal.append(Event::Started { step: StepId::new("claim-host"), stage: None }).unwrap();
        refused("after the claim").await;
        one("after the claim");
        assert_eq!(computer.record().id, id, "{stage} {fault:?}: one machine from the first try on");
    }
}

/// The processor of a machine that is still to be made is what its settings lead to, not this computer's.
#[tokio::test]
async fn the_first_create_gets_the_engine_of_the_processor_asked_for() {
    let Some(here) = Arch::here() else { return };
    let other = if here == Arch::Amd64 { Arch::Arm64 } else { Arch::Amd64 };
    let computer = Computer::with::<true>();
    // An engine of this computer's processor, as far as that can be told from outside.
    let engine = computer.home.path().join("engine");
    std::fs::create_dir(&engine).unwrap();
    for program in ["dockerd", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "docker-init"] {
        std::fs::copy("/bin/true", engine.join(program)).unwrap();
    }
    let asked = |arch: Option<Arch>| {
        let bundle = format!("dir:{}", engine.display());
        move |request: &mut CreateRequest| {
            request.spec.engine.bundle = Some(bundle);
            request.spec.driver.settings["arch"] = serde_json::to_value(arch).unwrap();
        }
    };
    let refused = computer.create_with(asked(Some(other))).await.expect("it lives").unwrap_err();
    assert_eq!(refused.step, Some("prepare-engine"), "{refused:?}");
    let said = format!("{} {}", refused.diagnostic.message, refused.diagnostic.causes.join(" "));
    assert!(said.contains(here.debian()) && said.contains(other.debian()), "{said}");
    assert_eq!(*computer.things.lock().unwrap(), Vec::<String>::new(), "nothing is made");
}
