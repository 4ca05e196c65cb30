//! Every call and every answer as text and back, which is what a pipe does to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Trouble, World};
use crate::{Answer, AnyDriver, BoxFuture, Call, Context, Description, Diagnostic, Outcome, Reply, Request, Result};

/// A world whose driver is behind a pipe.
pub(super) struct Piped<W>(pub(super) W);

/// The driver there.
struct Far {
    driver: Box<dyn AnyDriver>,
    description: Description,
}

/// To one line of text and back.
fn over<T: Serialize + DeserializeOwned>(value: &T) -> Result<T> {
    let lost = |e: serde_json::Error| Diagnostic::failure("it does not cross a pipe").caused_by(&e);
    let line = serde_json::to_string(value).map_err(lost)?;
    if line.contains('\n') {
        return Err(Diagnostic::failure("it takes more than one line"));
    }
    serde_json::from_str(&line).map_err(lost)
}

impl AnyDriver for Far {
    fn description(&self) -> &Description {
        &self.description
    }

    fn call<'a>(&'a self, cx: &'a Context, call: Call, machine: &'a mut Value) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move {
            let request = Request { call, context: cx.data(), machine: machine.clone() };
            let Request { call, context, machine: mut there } = over(&request)?;
            let (noting, saving, keeping) = (cx.clone(), cx.clone(), cx.clone());
            let context = Context::from(context)
                .on_progress(Arc::clone(cx.progress()))
                .on_note(Arc::new(move |line| noting.note(line)))
                .on_save(Arc::new(move |machine| saving.save(&over(machine)?)))
                .on_keep_secret(Arc::new(move |name, value| {
                    let (cx, name) = (keeping.clone(), name.to_owned());
                    Box::pin(async move { cx.keep_secret(&name, value).await })
                }));
            let outcome = match self.driver.call(&context, call, &mut there).await {
                Ok(reply) => Outcome::Reply(reply),
                Err(error) => Outcome::Error(error),
            };
            let answer = over(&Answer { outcome, machine: there })?;
            *machine = answer.machine;
            match answer.outcome {
                Outcome::Reply(reply) => Ok(reply),
                Outcome::Error(error) => Err(error),
            }
        })
    }
}

#[expect(clippy::expect_used, reason = "this is for tests")]
impl<W: World> World for Piped<W> {
    fn driver(&self) -> Box<dyn AnyDriver> {
        let driver = self.0.driver();
        let description = over(driver.description()).expect("a description crosses a pipe");
        assert_eq!(description, *driver.description(), "a description is the same on both sides of a pipe");
        Box::new(Far { driver, description })
    }
    fn arguments(&self) -> Vec<String> {
        self.0.arguments()
    }
    fn folder(&self) -> PathBuf {
        self.0.folder()
    }
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        self.0.things()
    }
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize> {
        self.0.machines(machine_id)
    }
    fn secrets(&self) -> BTreeMap<String, String> {
        self.0.secrets()
    }
    fn texts(&self) -> Vec<String> {
        self.0.texts()
    }
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        self.0.arrange(call, trouble)
    }
    fn struck(&self) -> bool {
        self.0.struck()
    }
    fn lag(&self, lists: usize) -> bool {
        self.0.lag(lists)
    }
    fn changes(&self) -> Vec<String> {
        self.0.changes()
    }
    fn fixed(&self) -> Vec<String> {
        self.0.fixed()
    }
    fn patience(&self) -> Duration {
        self.0.patience()
    }
}
