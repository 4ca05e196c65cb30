//! Find or make at Azure: several things at once, each by a PUT that may be repeated. Main item: [`make`].

use std::borrow::Borrow;

use futures_util::future::join_all;
use machine_cloud::{Fault, How, What, null_as_default};
use machine_driver::{Diagnostic, Kind, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::arm::{Arm, ThingKind};
use crate::operation::{Operation, not_in_time};
use crate::provider::{AZURE, gave_up};
use crate::wire::Tagged;
use crate::{Machine, Thing};

/// What is to be there.
pub(crate) struct Wanted {
    pub(crate) kind: &'static ThingKind,
    pub(crate) id: String,
    pub(crate) body: Value,
    /// Where it is remembered.
    pub(crate) slot: fn(&mut Machine) -> &mut Thing,
}

/// Whether what was asked for is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Wait,
    Return,
}

/// Has all of them made at once, in the time of the slowest. What is there is left as it is; what an earlier run asked for is
/// waited for.
pub(crate) async fn make(arm: Arm<'_>, m: &mut Machine, all: &[Wanted], then: Then) -> Result<()> {
    let all: Vec<&Wanted> = all.iter().filter(|wanted| !(wanted.slot)(m).ready).collect();
    if all.is_empty() {
        return Ok(());
    }
    for wanted in &all {
        (wanted.slot)(m).id = Some(wanted.id.clone());
    }
    arm.api.cx.save(m)?;
    let begun = join_all(
        all.iter()
            .filter(|wanted| (wanted.slot)(m).operation.is_none())
            .map(|wanted| async move { (wanted.slot, begin(arm, wanted).await) }),
    )
    .await;
    let mut failed = None;
    for (slot, outcome) in begun {
        match outcome {
            Ok(Begun { ready, operation }) => {
                let thing = slot(m);
                (thing.made, thing.ready, thing.operation) = (true, ready, operation);
            }
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    arm.api.cx.save(m)?;
    if let Some(error) = failed {
        return Err(error);
    }
    if then == Then::Return {
        return Ok(());
    }
    await_all(arm, m, &all).await
}

/// Waits for all of them.
pub(crate) async fn await_all<W: Borrow<Wanted>>(arm: Arm<'_>, m: &mut Machine, all: &[W]) -> Result<()> {
    let all: Vec<&Wanted> = all.iter().map(Borrow::borrow).filter(|wanted| !(wanted.slot)(m).ready).collect();
    let ended = join_all(all.iter().map(|wanted| {
        let operation = (wanted.slot)(m).operation.clone();
        async move { (wanted.slot, finish(arm, wanted.kind, &wanted.id, operation.as_ref()).await) }
    }))
    .await;
    let mut failed = None;
    for (slot, outcome) in ended {
        let thing = slot(m);
        match outcome {
            Ok(()) => (thing.ready, thing.operation) = (true, None),
            Err(fault) => {
                // What has failed is not waited for again; what could not be looked at is.
                if matches!(fault.how, How::Refused(_)) && !fault.is_transient() {
                    thing.operation = None;
                }
                failed = failed.or(Some(fault));
            }
        }
    }
    arm.api.cx.save(m)?;
    match failed {
        None => Ok(()),
        Some(fault) => Err(fault.into()),
    }
}

struct Begun {
    ready: bool,
    operation: Option<Operation>,
}

/// `{"tags": {…}, "properties": {"provisioningState": "Succeeded"}}`
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct State {
    #[serde(deserialize_with = "null_as_default")]
    provisioning_state: String,
}

impl State {
    /// `None`: not yet.
    fn ready(&self) -> Option<bool> {
        match self.provisioning_state.as_str() {
            // What has no state has nothing to wait for.
            "Succeeded" | "" => Some(true),
            "Failed" | "Canceled" => Some(false),
            _ => None,
        }
    }
}

async fn begin(arm: Arm<'_>, wanted: &Wanted) -> Result<Begun> {
    let found: Option<Tagged<State>> = arm.find(wanted.kind, &wanted.id).await?;
    match found {
        Some(found) if !arm.is_ours(&found.tags) => return Err(foreign(wanted.kind, &wanted.id)),
        Some(found) => match found.properties.ready() {
            Some(true) => return Ok(Begun { ready: true, operation: None }),
            None => return Ok(Begun { ready: false, operation: None }),
            Some(false) => {}
        },
        None => {}
    }
    let answer = put(arm, wanted).await?;
    let operation = Operation::of(&answer);
    let state = answer.body.get("properties").cloned().unwrap_or_default();
    let state: State = serde_json::from_value(state).unwrap_or_default();
    Ok(Begun { ready: operation.is_none() && state.ready() == Some(true), operation })
}

/// The PUT, as soon as nothing else goes on.
async fn put(arm: Arm<'_>, wanted: &Wanted) -> Result<machine_cloud::Answer<Value>> {
    let wait = arm.api.wait(format!("Azure to take the {}", wanted.kind.word), arm.api.timing.action);
    loop {
        match arm.put(wanted.kind, &wanted.id, &wanted.body).await {
            Err(fault) if fault.is_busy() => {
                let code = fault.code().unwrap_or_default().to_owned();
                if wait.not_yet(code).await.is_err() {
                    return Err(fault.into());
                }
            }
            other => return Ok(other?),
        }
    }
}

/// Waits until it is there as it should be.
async fn finish(arm: Arm<'_>, kind: &'static ThingKind, id: &str, operation: Option<&Operation>) -> Result<(), Fault> {
    let doing = format!("make the {} of {}", kind.word, arm.api.cx.host_name);
    let what: What<'_> = (&doing, kind.read);
    if let Some(operation) = operation {
        operation.ended(arm, what, arm.api.timing.boot).await?;
    }
    let wait = arm.api.wait(format!("the {} to be ready", kind.word), arm.api.timing.boot);
    loop {
        let found: Option<Tagged<Value>> = arm.find(kind, id).await?;
        let reason = match found {
            None if wait.elapsed() > arm.api.timing.unknown => {
                let mut refusal = gave_up(&Value::Null);
                (refusal.kind, refusal.message) = (Kind::NotFound, "it is not there".to_owned());
                return Err(Fault { provider: &AZURE, doing, how: How::Refused(refusal) });
            }
            None => "Azure does not know it yet".to_owned(),
            Some(found) => {
                let state: State = serde_json::from_value(found.properties.clone()).unwrap_or_default();
                match state.ready() {
                    Some(true) => return Ok(()),
                    Some(false) => {
                        let mut refusal = gave_up(&found.properties);
                        refusal.code = state.provisioning_state;
                        return Err(Fault { provider: &AZURE, doing, how: How::Refused(refusal) });
                    }
                    None => format!("it is {}", state.provisioning_state),
                }
            }
        };
        wait.not_yet(reason).await.map_err(|late| not_in_time(what, late))?;
    }
}

pub(crate) fn foreign(kind: &ThingKind, id: &str) -> Diagnostic {
    Diagnostic::new(Kind::Usage, format!("there is a {} {id} that is not ours", kind.word))
        .hint("remove it at Azure, or choose another --azure-resource-group")
}
