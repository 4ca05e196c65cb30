//! Killed after every call to Azure, polls included: going on ends with one machine, and removing leaves nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::cloud::{Core, assert_contract, driver, new_core};
use crate::frame::shown;

/// What is done after the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Remove,
}

/// Kills `create` after its `n`-th call; `false`: there are fewer.
async fn killed(core: &mut Core, n: usize) -> bool {
    let (count, killed) = (AtomicUsize::new(0), Arc::new(Notify::new()));
    let dead = Arc::clone(&killed);
    core.simulator.kill_point(move |_| {
        let at = count.fetch_add(1, Ordering::SeqCst) + 1;
        if at == n {
            dead.notify_one();
        }
        // Nothing that was asked later is answered either.
        at >= n
    });
    let created = tokio::select! {
        created = core.create() => Some(created),
        () = killed.notified() => None,
    };
    core.simulator.kill_point(|_| false);
    if let Some(created) = created {
        created.unwrap_or_else(|error| panic!("call {n}: {}", shown(&error)));
        return false;
    }
    core.restarted(driver());
    true
}

async fn killed_everywhere(flags: &str, then: Then, things: usize) {
    for n in 1..200 {
        let mut core = new_core(flags);
        core.simulator.behaves(|b| b.operation = 2);
        let was_killed = killed(&mut core, n).await;
        if was_killed && then == Then::GoOn {
            core.create().await.unwrap_or_else(|error| panic!("killed after call {n}, going on: {}", shown(&error)));
        }
        if !was_killed || then == Then::GoOn {
            assert_eq!(
                (core.count("virtualMachines"), core.things().len()),
                (1, things),
                "killed after call {n}: {:?}",
                core.things()
            );
        }
        core.remove().await.unwrap_or_else(|error| panic!("killed after call {n}, removing: {}", shown(&error)));
        assert_eq!(core.things(), Vec::<String>::new(), "killed after call {n}");
        assert_contract(&core.simulator);
        if !was_killed {
            assert!(n > 25, "only {n} calls were seen");
            return;
        }
    }
    panic!("it never came to an end");
}

#[tokio::test]
async fn killed_after_every_call_it_goes_on() {
    killed_everywhere("", Then::GoOn, 7).await;
}

#[tokio::test]
async fn killed_after_every_call_it_is_removed() {
    killed_everywhere("", Then::Remove, 7).await;
}

#[tokio::test]
async fn killed_after_every_call_in_a_named_group() {
    killed_everywhere("--azure-resource-group shared", Then::GoOn, 7).await;
    killed_everywhere("--azure-resource-group shared", Then::Remove, 7).await;
}

#[tokio::test]
async fn a_kill_while_it_waits_is_gone_on_from_without_asking_again() {
    let mut core = new_core("");
    core.simulator.behaves(|b| b.operation = 3);
    let mut n = 0;
    loop {
        n += 1;
        core = new_core("");
        core.simulator.behaves(|b| b.operation = 3);
        assert!(killed(&mut core, n).await, "it never asked for a machine");
        if core.machine["vm"]["operation"].is_object() {
            break;
        }
    }
    let puts = core.sent("PUT", "/**");
    core.create().await.unwrap();
    assert_eq!(core.sent("PUT", "/**"), puts, "nothing was asked for again");
    core.remove().await.unwrap();
}
