//! The contract every driver writes to.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Abilities, Arch, Context, Finding, Holding, HostKeySupport, Origin, Result, SecretFlag, Status};

/// A kind of place a host can live.
///
/// Order, repetition and what may run beside what stand with each [`crate::Call`]. Futures may be dropped at any await:
/// what was posted to a provider must be found again by the repeated call.
pub trait Driver: Sized + Send + Sync + 'static {
    /// What the user may set. Doc comments are the help, and defaults stand here, once. A field `memory` with
    /// `#[arg(long, env)]` is the flag `--PREFIX-memory` and the variable `PREFIX_MEMORY`.
    type Settings: clap::Args + Serialize + DeserializeOwned + Send + Sync;
    /// What we must remember to find the machine again. Grows stage by stage.
    type Machine: Serialize + DeserializeOwned + Default + Send + Sync;
    /// The stages of making one, in the words users will see.
    type Stage: Serialize + DeserializeOwned + Copy + Debug + Send + Sync + 'static;

    /// As typed after `-d`.
    const NAME: &'static str;
    /// One sentence for `create --help`.
    const ABOUT: &'static str;
    /// In order.
    const STAGES: &'static [Self::Stage];
    /// Where its machines come from.
    const ORIGIN: Origin;
    /// How the first connection to one is verified; without meaning where there is no host.
    const HOST_KEY: HostKeySupport;
    /// Stands in front of its flags, and in capitals in front of its variables; `""` for none.
    const PREFIX: &'static str = Self::NAME;
    /// Its machines run on this computer: they stand still while it sleeps, and reach it by a way of their own.
    const RUNS_HERE: bool = false;
    /// The address by which those of them that have none of their own reach this computer.
    const HOST_GATEWAY: Option<&'static str> = None;
    /// The flag, without prefix and dashes, by which the user says what host key is right.
    const HOST_KEY_FLAG: Option<&'static str> = None;
    /// The flag, without prefix and dashes, by which the user names the private key to log in with.
    const KEY_FLAG: Option<&'static str> = None;
    /// Flags, without prefix, and the variables of other programs that they are read from where their own is not set.
    const OTHER_VARIABLES: &'static [(&'static str, &'static [&'static str])] = &[];
    /// Its secret settings. They are no fields of `Settings`: the core adds their flags, keeps a reference, resolves it
    /// and lends the value in [`Context::secrets`].
    const SECRETS: &'static [SecretFlag] = &[];
    /// What else it can do.
    const ABILITIES: Abilities<Self> = Abilities::NONE;

    /// Turns what the user typed into what is stored: refuses what is missing or contradicts itself (kind
    /// [`crate::Kind::Usage`]), makes the user's file names absolute. Looks at nothing but its arguments.
    ///
    /// A required setting is an `Option` with a refusal here, so that the driver's own words and hint are shown.
    fn normalize(&self, s: Self::Settings, working_dir: &Path) -> Result<Self::Settings> {
        let _ = working_dir;
        Ok(s)
    }

    /// The processor of the machine that these settings lead to, where that can be told beforehand: the engine is got ready
    /// for it before anything is made. `None`: this computer's own, or that of a host which is there and can be asked.
    fn arch(&self, s: &Self::Settings) -> Option<Arch> {
        let _ = s;
        None
    }

    /// Refuses what cannot work, before anything exists. Changes nothing.
    fn check(&self, cx: &Context, s: &Self::Settings) -> impl Future<Output = Result<()>> + Send;

    /// Brings the machine through one stage: find-or-create, repeatable. Returns as soon as an id is saved; waiting is
    /// the next stage. What `m` holds is kept after a failure as well; only [`Context::save`] outlives a kill.
    fn advance(
        &self,
        stage: Self::Stage,
        cx: &Context,
        s: &Self::Settings,
        m: &mut Self::Machine,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Says what is there now. Gone is an answer, not an error. Changes nothing.
    fn inspect(
        &self,
        cx: &Context,
        s: &Self::Settings,
        m: &Self::Machine,
    ) -> impl Future<Output = Result<Status>> + Send;

    /// Removes whatever exists of it, from any stage, any number of times.
    fn remove(&self, cx: &Context, s: &Self::Settings, m: &Self::Machine) -> impl Future<Output = Result<()>> + Send;

    /// What exists of it at the provider, as far as what is remembered tells, the costly first; for the user, when something
    /// fails. Asks nobody. Empty: nothing, or it cannot tell.
    fn holdings(&self, s: &Self::Settings, m: &Self::Machine) -> Vec<Holding> {
        let _ = (s, m);
        Vec::new()
    }

    /// What it needs of this computer and what of that is there, for `machine doctor`. Changes nothing but caches.
    /// A driver that only talks to others needs nothing.
    fn examine(&self, cache_dir: &Path) -> impl Future<Output = Vec<Finding>> + Send {
        let _ = cache_dir;
        std::future::ready(Vec::new())
    }
}
