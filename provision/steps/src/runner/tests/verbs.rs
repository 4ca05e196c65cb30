//! The verbs that follow `create`, killed at each step: `ls` says so, the same again ends as if nothing had happened.

use std::panic::resume_unwind;
use std::sync::Arc;

use machine_host::Spec;
use machine_host::journal::Journal;
use machine_host::record::{Identity, Installed, Ssh};
use serde_json::{Map, Value};

use super::{Computer, STAGES};
use crate::operations::{self, Created, RemoveOptions, SetOptions, Verb};
use crate::{Diagnostic, Event, Failed, World};

/// What a run that was killed ends with.
struct Killed;

/// Where a run is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Begin,
    End,
}

/// A world in which a run is killed when this step begins, or when it has ended.
pub(super) fn deadly(computer: &Computer, step: &'static str, at: At) -> World {
    let mut world = computer.world.clone();
    world.events = Arc::new(move |event| match (at, event) {
        (At::Begin, Event::Started { step: id, .. }) | (At::End, Event::Finished { step: id, .. }) if id == step => {
            resume_unwind(Box::new(Killed));
        }
        _ => {}
    });
    world
}

/// Runs a verb in a process of its own, which is killed there.
async fn killed(computer: &Computer, verb: Verb, step: &'static str, at: At) {
    let world = deadly(computer, step, at);
    let run = tokio::spawn(async move { run(&world, verb).await });
    assert!(run.await.unwrap_err().is_panic(), "{verb:?} was to be killed at {step}");
}

async fn run(world: &World, verb: Verb) -> Result<(), Failed> {
    let name = Computer::name();
    match verb {
        Verb::Stop => operations::stop(world, &name).await.map(drop),
        Verb::Kill => operations::kill(world, &name).await.map(drop),
        Verb::Remove => operations::remove(world, &name, RemoveOptions::default()).await.map(drop),
        Verb::Set => {
            let change = Arc::new(|spec: &mut Spec| spec.engine.labels = vec!["wanted=1".to_owned()]);
            operations::set(world, &name, SetOptions { change, driver: None, ssh_host_key: None, restart: false })
                .await
                .map(drop)
        }
        other => Err(Diagnostic::failure(format!("{other:?} has no part in this")).into()),
    }
}

/// The steps that a verb says it goes through.
async fn steps(computer: &Computer, verb: Verb) -> Vec<String> {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut world = computer.world.clone();
    let sink = Arc::clone(&seen);
    world.events = Arc::new(move |event| {
        if let Event::Finished { step, .. } = event {
            sink.lock().unwrap().push(step);
        }
    });
    run(&world, verb).await.unwrap();
    let seen = seen.lock().unwrap();
    seen.clone()
}

async fn made() -> Computer {
    let computer = Computer::new();
    assert_eq!(computer.create().await.expect("it lives").unwrap(), Created::Done);
    computer
}

fn state(computer: &Computer) -> String {
    operations::recorded_state(&computer.world.store, &computer.record()).to_string()
}

const REMOVE: [&str; 5] = ["check-credentials", "mark-removing", "stop-watcher", "forget-host", "delete-record"];

#[tokio::test]
async fn stop_killed_at_each_step_says_so_and_goes_on() {
    for (verb, undisturbed) in [(Verb::Stop, made().await), (Verb::Kill, made().await)] {
        assert_eq!(state(&undisturbed), "Running");
        assert_eq!(steps(&undisturbed, verb).await, ["stop-watcher", "switch-off"]);
        assert_eq!(state(&undisturbed), "Stopped");
        for step in ["stop-watcher", "switch-off"] {
            for at in [At::Begin, At::End] {
                let computer = made().await;
                killed(&computer, verb, step, at).await;
                let expected = if at == At::Begin { format!("Stopping ({step})") } else { "Stopping".to_owned() };
                assert_eq!(state(&computer), expected, "{at:?}");
                assert_eq!(computer.create().await.expect("it lives").unwrap(), Created::AlreadySo, "it was made");
                run(&computer.world, verb).await.unwrap();
                assert_eq!(computer.end_state(), undisturbed.end_state(), "{step} {at:?}");
                assert_eq!(state(&computer), "Stopped");
                let journal = Journal::open(computer.journal()).unwrap();
                assert!(journal.state().has_completed("create") && journal.state().complete());
            }
        }
    }
}

#[tokio::test]
async fn rm_killed_at_each_step_says_so_and_goes_on() {
    for step in REMOVE {
        for at in [At::Begin, At::End] {
            let computer = made().await;
            killed(&computer, Verb::Remove, step, at).await;
            let forgotten = step == "delete-record" && at == At::End;
            if !forgotten {
                let expected = if at == At::Begin { format!("Removing ({step})") } else { "Removing".to_owned() };
                assert_eq!(state(&computer), expected, "{step} {at:?}");
                let removing = computer.record().removing;
                assert_eq!(removing, (step, at) != ("mark-removing", At::Begin) && step != "check-credentials");
                if removing {
                    let error = operations::stop(&computer.world, &Computer::name()).await.unwrap_err();
                    assert_eq!(error.diagnostic.message, "machine \"web-1\" is being removed");
                    assert_eq!(error.diagnostic.hint.as_deref(), Some("finish it: machine rm web-1"));
                }
                run(&computer.world, Verb::Remove).await.unwrap();
            }
            assert_eq!(*computer.things.lock().unwrap(), Vec::<String>::new(), "{step} {at:?}");
            let left = computer.files().into_iter().filter(|file| file.contains("web-1/")).collect::<Vec<_>>();
            assert_eq!(left, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_create_that_was_stopped_in_between_goes_on_where_it_was() {
    let undisturbed = made().await;
    for stage in STAGES {
        let computer = Computer::new();
        computer.script.set(stage, super::Fault::DiesAfter);
        assert!(computer.create().await.is_none());
        run(&computer.world, Verb::Stop).await.unwrap();
        assert_eq!(state(&computer), "Incomplete (create-machine)", "stopped, and still half-made");
        killed(&computer, Verb::Stop, "switch-off", At::Begin).await;
        assert_eq!(state(&computer), "Incomplete (create-machine)");
        // Somebody switched it on again.
        computer.off.lock().unwrap().clear();
        computer.script.ran();
        assert_eq!(computer.create().await.expect("it lives").unwrap(), Created::Done);
        assert_eq!(computer.script.ran().first(), Some(&stage), "what was finished is not done again");
        assert_eq!(*computer.resumed.lock().unwrap(), [stage], "told that it may have asked before");
        assert_eq!(computer.things.lock().unwrap().len(), 1);
        assert_eq!(computer.end_state(), undisturbed.end_state(), "{stage}");
        computer.is_complete();
    }
}

#[tokio::test]
async fn rm_that_failed_is_still_to_be_finished() {
    let computer = made().await;
    computer.script.set("remove", super::Fault::FailsBefore);
    let failed = operations::remove(&computer.world, &Computer::name(), RemoveOptions::default()).await.unwrap_err();
    assert_eq!(failed.step, Some("forget-host"), "{failed:?}");
    assert!(failed.diagnostic.hint.is_some(), "{failed:?}");
    assert_eq!(state(&computer), "Removing (forget-host)", "rm alone is to be finished whatever happened");
    run(&computer.world, Verb::Remove).await.unwrap();
}

/// How the machine is reached.
pub(super) fn ssh() -> Ssh {
    Ssh {
        host: "192.0.2.7".to_owned(),
        port: 22,
        user: "root".to_owned(),
        identity: Identity::Machine,
        jump_host: None,
        jump: None,
        use_ssh_config: false,
        host_key: None,
        host_key_injected: false,
        host_key_pending: None,
        identity_files: Vec::new(),
        identities_only: false,
        openssh: None,
        unknown: Map::new(),
    }
}

/// A `set` that was killed has written down what it wants. Where its repetition is refused, the record says again what the
/// engine runs with.
#[tokio::test]
async fn set_killed_and_then_refused_goes_back_to_the_settings_before_it() {
    let computer = Computer::with::<true>();
    computer.empty_machine();
    let mut record = computer.record();
    record.engine.labels = vec!["before=1".to_owned()];
    record.installed = Some(Installed {
        bundle: None,
        bundle_name: None,
        version: "26.1.5".to_owned(),
        daemon_json: Value::Null,
        storage_driver: None,
        previous: None,
        certificate_expires: None,
        layout: Some(machine_engine::layout::Layout::NEWEST),
        unknown: Map::new(),
    });
    // Whoever connects reads this first, and it is no key.
    record.ssh = Some(Ssh { host_key_pending: Some("damaged".to_owned()), ..ssh() });
    computer.world.store.save(&record).unwrap();
    computer.say_created();

    killed(&computer, Verb::Set, "record-settings", At::End).await;
    assert_eq!(computer.record().engine.labels, ["wanted=1"]);
    for time in ["first", "second"] {
        let refused = run(&computer.world, Verb::Set).await.unwrap_err();
        assert_eq!(refused.step, Some("await-ssh"), "{time}: {refused:?}");
        assert_eq!(computer.record(), record, "{time}");
    }
}
