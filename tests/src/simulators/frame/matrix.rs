//! The fault matrix: every call of a machine's whole life, answered by everything that can come back. Main type: [`Matrix`].

use futures_util::{StreamExt as _, stream};
use machine_driver::{Diagnostic, Kind, Result, Stop};

use super::{Fault, Provider, SimulatedCore, Simulator, Trouble, shown};

/// A call of the driver's to its provider.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Which verb sends it: `create`, `stop`, `start`, `restart`, `inspect` or `remove`.
    pub verb: &'static str,
    /// Its method.
    pub method: &'static str,
    /// Its path, as a pattern.
    pub path: &'static str,
    /// The right it needs, which the error for a lack of it names.
    pub right: &'static str,
    /// The verb can do without its answer.
    pub optional: bool,
    /// A refusal with this status is waited for.
    pub awaited: Option<u16>,
    /// Where the right to it is missing, the verb does without.
    pub spared: bool,
}

impl Call {
    /// A call that the verb needs.
    pub const fn needed(verb: &'static str, method: &'static str, path: &'static str, right: &'static str) -> Self {
        Self { verb, method, path, right, optional: false, awaited: None, spared: false }
    }

    /// The same where the verb can do without its answer.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The same where a refusal with this status is waited for.
    #[must_use]
    pub const fn awaiting(mut self, status: u16) -> Self {
        self.awaited = Some(status);
        self
    }

    /// The same where the verb does without its answer if the right to it is missing.
    #[must_use]
    pub const fn spared(mut self) -> Self {
        self.spared = true;
        self
    }

    fn met(&self, what: &str) -> String {
        format!("{}: {} {} met {what}", self.verb, self.method, self.path)
    }
}

/// An answer that will be the same the next time.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// Its status.
    pub status: u16,
    /// The vendor's word.
    pub code: &'static str,
    /// The vendor's message.
    pub message: &'static str,
    /// What kind of error it becomes.
    pub kind: Kind,
}

/// A driver's calls, and what is true of all of them.
pub struct Matrix<P: Provider> {
    /// As its errors name it.
    pub provider: &'static str,
    /// Told from everything else that could be in a text.
    pub secret: &'static str,
    /// A new machine at a new provider.
    pub core: fn() -> SimulatedCore<P>,
    /// Every call.
    pub calls: &'static [Call],
    /// What will not change.
    pub refusals: &'static [Refusal],
    /// What passes, but for too many requests: the gateway's and the network's troubles come by themselves.
    pub passing: &'static [(u16, &'static str, &'static str)],
    /// Too many requests: come again in so many seconds.
    pub limited: fn(seconds: &str) -> Trouble,
    /// Paths of a read and of a change that are met by lasting silence, which takes a time-out for every repetition.
    pub silent: &'static [&'static str],
    /// How many things a machine is made of, and of which kinds there must be one.
    pub made: (usize, &'static [&'static str]),
    /// Panics where an exchange is against the vendor's document.
    pub contract: fn(&Simulator<P>),
}

/// Cases that are waited for together: most of their time is the silence of the simulator.
const TOGETHER: usize = 8;

/// Those of them that leave open whether the request was carried out.
const UNHEARD: [&str; 4] = ["a lost answer", "broken JSON", "a truncated answer", "no answer"];

impl<P: Provider> Matrix<P> {
    /// What will not change is asked once, named, and costs nothing.
    pub async fn assert_refusals_are_final(&self) {
        for call in self.calls {
            for refusal in self.refusals.iter().filter(|refusal| call.awaited != Some(refusal.status)) {
                self.refused(call, refusal).await;
            }
        }
    }

    async fn refused(&self, call: &Call, refusal: &Refusal) {
        let about = call.met(&refusal.status.to_string());
        let mut core = self.prepared(call.verb).await;
        let before = core.sent(call.method, call.path);
        let trouble = Trouble::status(refusal.status, refusal.code, refusal.message);
        core.simulator.arrange(Fault::next(call.method, call.path, trouble).always());
        let result = run(&mut core, call.verb).await;
        let does_without = call.optional && (refusal.status == 403 || call.verb == "remove");
        if does_without || (call.spared && refusal.status == 403) {
            result.unwrap_or_else(|error| panic!("{about}: {}", shown(&error)));
            return;
        }
        let error = result.expect_err(&about);
        assert_eq!(error.kind, refusal.kind, "{about}: {}", shown(&error));
        self.assert_presentable(&error, &about);
        assert_eq!(core.sent(call.method, call.path), before + 1, "{about}: asked again in vain");
        if refusal.status == 403 {
            assert!(error.hint.as_ref().is_some_and(|hint| hint.contains(call.right)), "{about}: {}", shown(&error));
        }
        core.simulator.calm();
        self.assert_nothing_lost(&mut core, call.verb, &about).await;
    }

    /// What happens once, nobody notices. A second's rest is not worth repeating for every call.
    pub async fn assert_passing_is_got_over(&self) {
        let troubles = self.troubles("0");
        let cases = self.calls.iter().flat_map(|call| troubles.iter().map(move |trouble| (call, trouble)));
        let got_over = async |(call, (name, trouble)): (&Call, &(&str, Trouble))| {
            let about = call.met(name);
            let mut core = self.prepared(call.verb).await;
            core.simulator.arrange(Fault::next(call.method, call.path, trouble.clone()));
            run(&mut core, call.verb).await.unwrap_or_else(|error| panic!("{about}: {}", shown(&error)));
            assert_eq!(core.simulator.outstanding(), 0, "{about}: it never happened");
            self.assert_nothing_lost(&mut core, call.verb, &about).await;
        };
        stream::iter(cases).for_each_concurrent(TOGETHER, got_over).await;
    }

    /// What does not pass is given up, and nothing is lost.
    pub async fn assert_lasting_is_given_up(&self) {
        let troubles = self.troubles("3600");
        let needed = self.calls.iter().filter(|call| !call.optional);
        let cases = needed.flat_map(|call| troubles.iter().map(move |trouble| (call, trouble)));
        let cases = cases.filter(|(call, (name, _))| *name != "no answer" || self.silent.contains(&call.path));
        let given_up = async |(call, (name, trouble)): (&Call, &(&str, Trouble))| {
            let about = call.met(name);
            let mut core = self.prepared(call.verb).await;
            core.simulator.arrange(Fault::next(call.method, call.path, trouble.clone()).always());
            match run(&mut core, call.verb).await {
                Ok(()) => assert!(UNHEARD.contains(name), "{about}: done?"),
                Err(error) => {
                    let kind = if *name == "no answer" { Kind::Timeout } else { Kind::Transient };
                    assert_eq!(error.kind, kind, "{about}: {}", shown(&error));
                    self.assert_presentable(&error, &about);
                }
            }
            core.simulator.calm();
            self.assert_nothing_lost(&mut core, call.verb, &about).await;
        };
        stream::iter(cases).for_each_concurrent(TOGETHER, given_up).await;
    }

    fn troubles(&self, seconds: &str) -> Vec<(&'static str, Trouble)> {
        let answered =
            self.passing.iter().map(|&(status, code, message)| (code, Trouble::status(status, code, message)));
        let everywhere = [
            ("too many requests", (self.limited)(seconds)),
            ("a gateway's page", Trouble::Page(502)),
            ("no answer", Trouble::Silent),
            ("a lost answer", Trouble::Lost),
            ("a dropped request", Trouble::Dropped),
            ("broken JSON", Trouble::Broken),
            ("a truncated answer", Trouble::Truncated),
        ];
        answered.chain(everywhere).collect()
    }

    /// Everything up to the verb.
    async fn prepared(&self, verb: &str) -> SimulatedCore<P> {
        let mut core = (self.core)();
        if verb != "create" {
            core.create().await.unwrap_or_else(|error| panic!("before {verb}: {}", shown(&error)));
        }
        if verb == "start" {
            core.stop(Stop::AtOnce).await.unwrap_or_else(|error| panic!("before {verb}: {}", shown(&error)));
        }
        core
    }

    /// After the trouble is over: going on ends with one of everything, and removing leaves nothing.
    async fn assert_nothing_lost(&self, core: &mut SimulatedCore<P>, verb: &str, about: &str) {
        core.resumed = verb == "create";
        run(core, verb).await.unwrap_or_else(|error| panic!("{about}, going on: {}", shown(&error)));
        if verb != "remove" {
            let things = core.things();
            let (all, kinds) = self.made;
            assert_eq!(things.len(), all, "{about}: {things:?}");
            for kind in kinds {
                assert_eq!(core.count(kind), 1, "{about}: {kind}");
            }
            core.resumed = false;
            core.remove().await.unwrap_or_else(|error| panic!("{about}, removing: {}", shown(&error)));
        }
        assert_eq!(core.things(), Vec::<String>::new(), "{about}");
        (self.contract)(&core.simulator);
    }

    fn assert_presentable(&self, error: &Diagnostic, about: &str) {
        let text = shown(error);
        assert!(!text.contains(self.secret), "{about}: the secret is shown");
        assert!(error.hint.is_some() || error.kind == Kind::NotFound, "{about}: no hint in {text}");
        let starts = text.starts_with(|c: char| c.is_lowercase()) || text.starts_with(self.provider);
        assert!(starts, "{about}: {text}");
    }
}

async fn run<P: Provider>(core: &mut SimulatedCore<P>, verb: &str) -> Result<()> {
    match verb {
        "create" => core.create().await,
        "stop" => core.stop(Stop::AtOnce).await,
        "start" => core.start().await,
        "restart" => core.restart().await,
        "inspect" => core.inspect().await.map(|_| ()),
        _ => core.remove().await,
    }
}
