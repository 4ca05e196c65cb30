//! What goes on after an answer, and how it is looked at. Main type: [`Operation`].

use serde_json::{Value, json};

use super::super::frame::{Answer, Request};
use super::routes::base;
use super::{Azure, SUBSCRIPTION, Style};

/// Something that goes on with a thing.
#[derive(Debug)]
pub(super) struct Operation {
    /// The thing, by its id in lower case.
    pub(super) of: String,
    pub(super) effect: Effect,
    /// Looks until it is done; `None`: a host is at work on it.
    pub(super) left: Option<u32>,
    pub(super) over: bool,
    /// Given up, with this word and message.
    pub(super) fails: Option<(String, String)>,
}

/// What there is when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Made,
    Gone,
    Power(&'static str),
}

impl Azure {
    /// Begins one, and says so in the answer.
    pub(super) fn begin(
        &mut self,
        of: &str,
        effect: Effect,
        by: By,
        request: &Request,
        mut answer: Answer,
    ) -> (u64, Answer) {
        let number = self.subscription.number();
        let left = Some(self.behaviour.operation);
        let operation = Operation { of: of.to_owned(), effect, left, over: false, fails: None };
        let _ = self.subscription.operations.insert(number, operation);
        let url = |word: &str| {
            format!("{}/subscriptions/{SUBSCRIPTION}{word}/{number}?api-version=2024-07-01&t=638&c=MII", base(request))
        };
        let part = |word: &str| {
            let part = if of.contains("/microsoft.network/") { "Microsoft.Network" } else { "Microsoft.Compute" };
            url(&format!("/providers/{part}/locations/westus/{word}"))
        };
        let mut header = |name: &str, value: String| answer.headers.push((name.to_owned(), value));
        match (self.behaviour.style, by) {
            (Style::Silent, _) if effect != Effect::Gone => {}
            (_, By::Group) => header("location", url("/operationresults")),
            (Style::Usual, By::Status) => header("azure-asyncoperation", part("operations")),
            _ => header("location", part("operationResults")),
        }
        let rest = self.behaviour.rest();
        header("retry-after", rest.to_string());
        (number, answer)
    }

    /// Looked at once more.
    fn look(&mut self, number: u64) {
        let Some(operation) = self.subscription.operations.get_mut(&number).filter(|operation| !operation.over) else {
            return;
        };
        match &mut operation.left {
            None => {}
            Some(0) => self.end(number),
            Some(left) => *left -= 1,
        }
    }

    fn end(&mut self, number: u64) {
        let Some(operation) = self.subscription.operations.get_mut(&number) else { return };
        operation.over = true;
        let (of, effect, failed) = (operation.of.clone(), operation.effect, operation.fails.is_some());
        match effect {
            Effect::Gone => self.vanish(&of),
            Effect::Made | Effect::Power(_) => {
                let Some(thing) = self.subscription.things.get_mut(&of) else { return };
                thing.set_state(if failed { "Failed" } else { "Succeeded" });
                if let (Effect::Power(power), false) = (effect, failed) {
                    thing.power = power;
                }
            }
        }
    }
}

/// By what it is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Status,
    Location,
    Group,
}

/// Whoever looks at a thing sees what goes on with it come to its end.
pub(super) fn look_at(state: &mut Azure, key: &str) {
    let of = |(_, operation): &(&u64, &Operation)| operation.of == key && !operation.over;
    let numbers: Vec<u64> = state.subscription.operations.iter().filter(of).map(|(number, _)| *number).collect();
    for number in numbers {
        state.look(number);
    }
}

pub(super) fn status(state: &mut Azure, id: &str) -> Answer {
    let Some(number) = id.parse::<u64>().ok().filter(|number| state.subscription.operations.contains_key(number))
    else {
        return unknown();
    };
    state.look(number);
    let word = state.behaviour.words.first().cloned().unwrap_or_default();
    if state.behaviour.words.len() > 1 {
        state.behaviour.words.rotate_left(1);
    }
    let rest = state.behaviour.rest();
    let operation = &state.subscription.operations[&number];
    let mut body = json!({ "name": id, "startTime": "2026-11-28T12:00:00Z" });
    match (&operation.fails, operation.over) {
        (_, false) => body["status"] = json!(word),
        (None, true) => body["status"] = json!("Succeeded"),
        (Some((code, message)), true) => {
            body["status"] = json!("Failed");
            // As Compute does it: JSON inside a message.
            let inner = json!({ "error": { "code": code, "message": message } }).to_string();
            body["error"] = json!({ "code": "VMStartTimedOut", "message": "see the details", "details": [{ "code": code, "message": inner }] });
        }
    }
    let mut answer = Answer::new(200, body);
    if !operation.over {
        answer.headers.push(("retry-after".to_owned(), rest.to_string()));
    }
    answer
}

pub(super) fn result(state: &mut Azure, id: &str) -> Answer {
    let Some(number) = id.parse::<u64>().ok().filter(|number| state.subscription.operations.contains_key(number))
    else {
        return unknown();
    };
    state.look(number);
    let rest = state.behaviour.rest();
    let operation = &state.subscription.operations[&number];
    match (&operation.fails, operation.over) {
        (_, false) => {
            let mut answer = Answer::new(202, Value::Null);
            answer.headers.push(("retry-after".to_owned(), rest.to_string()));
            answer
        }
        (None, true) => Answer::new(204, Value::Null),
        (Some((code, message)), true) => Answer::new(409, json!({ "error": { "code": code, "message": message } })),
    }
}

fn unknown() -> Answer {
    Answer::new(404, json!({ "error": { "code": "NotFound", "message": "The operation is not known." } }))
}
