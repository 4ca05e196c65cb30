//! Other settings of a machine: of one that is there, and of one whose `create` did not come to where they are used.

use std::sync::Arc;

use machine_driver::Typed;
use machine_host::spec::Foreign;
use serde_json::json;

use super::cloud::TOO_MUCH;
use super::verbs::{At, deadly, ssh};
use super::{CLOUD, Computer, Fault};
use crate::operations::{self, CreateRequest, SetOptions};
use crate::{Failed, Kind, Outcome, World};

/// `machine set --cloud-…`.
fn options(flags: &str, restart: bool) -> SetOptions {
    let args = flags.split_whitespace().map(str::to_owned).collect();
    let typed = Typed { args, dir: "/".into(), ..Typed::default() };
    SetOptions { change: Arc::new(|_| ()), driver: Some((CLOUD.to_owned(), typed)), ssh_host_key: None, restart }
}

async fn set(world: &World, flags: &str, restart: bool) -> Result<Outcome, Failed> {
    operations::set(world, &Computer::name(), options(flags, restart)).await
}

/// A host that is made and runs with memory of 1, and has no engine yet: nobody has to log in.
fn running() -> Computer {
    let computer = Computer::with::<true>();
    computer.empty_machine();
    let mut record = computer.record();
    record.driver.settings = json!({"size": null, "arch": null, "memory": 1, "of-another-version": true});
    record.driver.machine = json!({"thing": record.id, "address": "192.0.2.7"});
    record.ssh = Some(ssh());
    computer.things.lock().unwrap().push(record.id.clone());
    *computer.runs_with.lock().unwrap() = Some(1);
    computer.world.store.save(&record).unwrap();
    computer.say_created();
    computer
}

#[tokio::test]
async fn l7_what_the_driver_can_is_changed_in_place_and_the_rest_refused_by_name() {
    let computer = running();
    let before = computer.record();
    for (flags, restart, message, cause) in [
        ("--cloud-memory=2", false, "\"web-1\" has to be restarted for this, and its containers with it", None),
        ("--cloud-size=large", true, "this cannot be changed of machine \"web-1\"", Some("size: it was ordered so")),
    ] {
        let refused = set(&computer.world, flags, restart).await.unwrap_err();
        assert_eq!((refused.kind(), refused.diagnostic.message.as_str()), (Kind::Usage, message));
        assert_eq!(refused.diagnostic.causes.first().map(String::as_str), cause, "{flags}");
        assert!(refused.diagnostic.hint.is_some(), "{flags}");
        assert_eq!(computer.record(), before, "{flags}");
    }
    let name = Computer::name();
    assert!(operations::set_restarts(&computer.world, &name, &options("--cloud-memory=2", false)).await.unwrap());
    assert_eq!(set(&computer.world, "--cloud-memory=2", true).await.unwrap(), Outcome::Done);
    assert_eq!(*computer.runs_with.lock().unwrap(), Some(2));
    let expected = json!({"size": null, "arch": null, "memory": 2, "of-another-version": true});
    assert_eq!(computer.record().driver.settings, expected);
    assert_eq!(set(&computer.world, "--cloud-memory=2", false).await.unwrap(), Outcome::AlreadySo);
    // One that does not start with it is as it was, and on.
    let refused = set(&computer.world, &format!("--cloud-memory={}", TOO_MUCH + 1), true).await.unwrap_err();
    assert_eq!(refused.diagnostic.message, "there is not so much memory");
    assert_eq!(computer.record().driver.settings, expected);
    assert_eq!((*computer.runs_with.lock().unwrap(), computer.off.lock().unwrap().len()), (Some(2), 0));
    // One that is off has it when it is switched on.
    operations::stop(&computer.world, &name).await.unwrap();
    *computer.runs_with.lock().unwrap() = None;
    assert_eq!(set(&computer.world, "--cloud-memory=3", false).await.unwrap(), Outcome::Done);
    assert_eq!(computer.record().driver.settings["memory"], 3);
    assert_eq!((*computer.runs_with.lock().unwrap(), computer.off.lock().unwrap().len()), (None, 1));
}

#[tokio::test]
async fn l7_a_set_that_was_killed_goes_on() {
    let undisturbed = running();
    set(&undisturbed.world, "--cloud-memory=2", true).await.unwrap();
    for step in ["record-settings", "switch-off-and-on"] {
        for at in [At::Begin, At::End] {
            let computer = running();
            let world = deadly(&computer, step, at);
            let run = tokio::spawn(async move { set(&world, "--cloud-memory=2", true).await });
            assert!(run.await.unwrap_err().is_panic(), "it was to be killed at {step} {at:?}");
            set(&computer.world, "--cloud-memory=2", true).await.unwrap();
            assert_eq!(*computer.runs_with.lock().unwrap(), Some(2), "{step} {at:?}");
            assert_eq!(computer.end_state(), undisturbed.end_state(), "{step} {at:?}");
            computer.is_complete();
        }
    }
}

#[tokio::test]
async fn l18_what_nothing_was_made_of_may_be_said_anew() {
    let computer = Computer::with::<true>();
    let wants = |memory: u32, typed: bool| {
        move |request: &mut CreateRequest| {
            // No engine of ours has to be got ready for it.
            request.spec.engine.foreign = Some(Foreign::Adopt);
            request.spec.driver.settings["memory"] = memory.into();
            request.typed = typed;
        }
    };
    // A bundle without an engine: an option that nothing was made of.
    let empty = computer.home.path().join("engine");
    std::fs::create_dir(&empty).unwrap();
    let from = format!("dir:{}", empty.display());
    let failed = computer.create_with(|r| r.spec.engine.bundle = Some(from)).await.expect("it lives").unwrap_err();
    assert_eq!(failed.step, Some("prepare-engine"), "{failed:?}");
    let failed = computer.create_with(wants(TOO_MUCH + 1, true)).await.expect("it lives").unwrap_err();
    assert_eq!(failed.diagnostic.message, "there is not so much memory");
    let id = computer.record().id;
    computer.script.set("address", Fault::FailsBefore);
    let failed = computer.create_with(wants(2, true)).await.expect("it lives").unwrap_err();
    assert_eq!(failed.diagnostic.message, "address is out of order", "memory that nothing was made of");
    assert_eq!((computer.record().id, *computer.runs_with.lock().unwrap()), (id.clone(), Some(2)));
    assert_eq!(*computer.things.lock().unwrap(), [id], "one machine");
    // Now it runs with that.
    let refused = computer.create_with(wants(3, true)).await.expect("it lives").unwrap_err();
    assert!(refused.diagnostic.message.contains("already exists, with other settings"), "{refused:?}");
    assert_eq!(refused.diagnostic.causes, ["memory: it is 2, you ask for 3"]);
}
