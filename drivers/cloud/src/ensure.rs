//! Find or make: nothing is made twice, whatever happens to an answer. Main item: [`ensure`].

use std::time::{Duration, Instant};

use machine_base::Result;
use serde::Serialize;
use serde_json::Value;

use crate::{Api, Fault, Waiting};

/// How it came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made<T> {
    /// It was there: made by an earlier run, or by a request whose answer was lost.
    Found(T),
    /// It was made now.
    Posted(T),
}

impl<T> Made<T> {
    /// The thing, however it came to be there.
    pub fn into_inner(self) -> T {
        let (Self::Found(thing) | Self::Posted(thing)) = self;
        thing
    }
}

/// What a second request for the same thing would do.
pub enum Duplicates<M> {
    /// Be refused, as its name is taken: so posting again does no harm. `known`: it is remembered to be there.
    Refused {
        /// The record has its id.
        known: bool,
    },
    /// Make a second one. So before the first is posted it is noted in what is remembered of the machine, here.
    Possible {
        /// Where that is noted.
        noted: fn(&mut M) -> &mut bool,
    },
}

/// What is to be there.
pub struct Intent<'m, M> {
    /// What people call it: "the droplet".
    pub what: &'m str,
    /// What is remembered of the machine.
    pub machine: &'m mut M,
    /// What a second request would do.
    pub duplicates: Duplicates<M>,
    /// An earlier run may have made it.
    pub resumed: bool,
    /// Whether something else that is going on is waited for; else it is an error.
    pub waits: bool,
}

/// The only find-or-make: *intent saved → post → answer lost → look → adopt → once more*.
///
/// Where it may have been made already it is looked for first. It is posted at most twice, and a second time only where it
/// may not have been made and was not found. `find` is given the number of looks before it; `body` is made only for what is
/// posted, before anything is noted. The caller saves what it learns; what was noted stays noted for as long as it may be
/// there.
///
/// # Errors
/// It is refused; or it may have been made, is not found, and making it again fails in the same way.
pub async fn ensure<M: Serialize, T, F, P>(
    api: Api<'_>,
    intent: Intent<'_, M>,
    find: impl Fn(usize) -> F,
    body: impl Future<Output = Result<Value>>,
    post: impl Fn(Value) -> P,
) -> Result<Made<T>>
where
    F: Future<Output = Result<Option<T>, Fault>>,
    P: Future<Output = Result<T, Fault>>,
{
    let Intent { what, machine, duplicates, resumed, waits } = intent;
    let (maybe_there, lag) = match &duplicates {
        Duplicates::Refused { known } => (*known, None),
        Duplicates::Possible { noted } => (*noted(machine), Some(api.timing.lag)),
    };
    if maybe_there || resumed {
        // What was posted was noted before; where nothing is noted, there is nothing to wait for.
        let lag = lag.filter(|_| maybe_there);
        if lag.is_some() {
            api.cx.say(&format!("looking whether {what} was asked for already"));
        }
        if let Some(found) = look(api, what, lag, &find).await? {
            return Ok(Made::Found(found));
        }
    }
    let body = body.await?;
    if let Duplicates::Possible { noted } = &duplicates {
        *noted(machine) = true;
        api.cx.save(machine)?;
    }
    let busy = api.wait(format!("{} to be ready for {what}", api.cloud.provider.name), api.timing.action);
    let mut again = true;
    loop {
        let fault = match post(body.clone()).await {
            Ok(made) => return Ok(Made::Posted(made)),
            Err(fault) => fault,
        };
        if waits && fault.is_busy() {
            busy.not_yet("another event is pending").await?;
            continue;
        }
        let maybe_there = match &duplicates {
            Duplicates::Refused { .. } => fault.may_exist(),
            Duplicates::Possible { noted } => {
                *noted(machine) = fault.maybe_done();
                fault.maybe_done()
            }
        };
        if !maybe_there {
            return Err(fault.into());
        }
        if fault.maybe_done() {
            api.cx.say(&format!("the answer was lost: looking whether {what} was made"));
        }
        if let Some(found) = look(api, what, lag, &find).await? {
            return Ok(Made::Found(found));
        }
        // A refusal of what is not there has another reason, which will be the same.
        if !fault.maybe_done() || !std::mem::take(&mut again) {
            return Err(fault.into());
        }
    }
}

/// Looks for something. With `lag`, "nothing" is believed only after so long, and not before the third look: where answers
/// are slow, time alone says little.
///
/// # Errors
/// It cannot be looked for, or there is no time to.
pub async fn look<T, F>(api: Api<'_>, what: &str, lag: Option<Duration>, find: impl Fn(usize) -> F) -> Result<Option<T>>
where
    F: Future<Output = Result<Option<T>, Fault>>,
{
    let begun = Instant::now();
    // Only the call's deadline ends it before.
    let wait = Waiting::until_deadline(api.cx, format!("signs of {what}"), api.timing.poll);
    for looks in 0.. {
        if let Some(found) = find(looks).await? {
            return Ok(Some(found));
        }
        if lag.is_none_or(|lag| begun.elapsed() >= lag && looks > 1) {
            break;
        }
        wait.not_yet("it is in no list yet").await?;
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
