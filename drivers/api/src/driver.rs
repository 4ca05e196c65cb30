//! The contract every driver writes to.

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::list_all::{ListAll, NoList};
use crate::plan::{NoPlanner, Planner};
use crate::sharing::{NoSharing, Sharing};
use crate::{Context, Finding, Result, Secret, Status};

/// A kind of place a host can live.
///
/// Order of calls: `check`, then `advance` once per stage in the order of [`Driver::STAGES`], with any stage repeated
/// after a crash; `inspect` and `remove` at any time. Futures may be dropped at any await: what was posted to a
/// provider must be found again by the repeated stage.
pub trait Driver: Send + Sync + 'static {
    /// What the user may set. Doc comments are the help; defaults and variables stand here, once.
    type Settings: clap::Args + Serialize + DeserializeOwned + Send + Sync;
    /// What we must remember to find the machine again. Grows stage by stage.
    type Machine: Serialize + DeserializeOwned + Default + Send + Sync;
    /// The stages of making one, in the words users will see.
    type Stage: Serialize + DeserializeOwned + Copy + Debug + Send + Sync + 'static;
    /// The power switch; [`NoPower`] where there is none.
    type Power: PowerSwitch<Self>;

    /// As typed after `-d`.
    const NAME: &'static str;
    /// One sentence for `create --help`.
    const ABOUT: &'static str;
    /// In order.
    const STAGES: &'static [Self::Stage];
    /// Whether a host key made here is injected (all drivers but those for existing hosts).
    const INJECTS_HOST_KEY: bool;
    /// Whether there is a host to log in to; without one no engine is installed.
    const HAS_SSH: bool = true;
    /// The processor of what it makes, in Debian's words (`amd64`, `arm64`), where that is not this computer's own: the engine
    /// is got ready for it before anything is made.
    const ARCH: Option<&'static str> = None;
    /// Its secret settings. They are no fields of `Settings`: the core adds their flags, keeps a reference, resolves it
    /// and lends the value in [`Context::secrets`] (DESIGN §7).
    const SECRETS: &'static [Secret] = &[];

    /// Settles what the user typed into what is stored: refuses what is missing or contradicts itself (kind
    /// [`crate::ErrorKind::Settings`]), makes the user's file names absolute. Looks at nothing but its arguments.
    ///
    /// A required setting is an `Option` with a refusal here, so that the driver's own words and hint are shown.
    fn settle(&self, s: Self::Settings, working_dir: &Path) -> Result<Self::Settings> {
        let _ = working_dir;
        Ok(s)
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

    /// What it needs of this computer and what of that is there, for `machine doctor`. Changes nothing but caches.
    /// A driver that only talks to others needs nothing.
    fn examine(&self, cache_dir: &Path) -> impl Future<Output = Vec<Finding>> + Send {
        let _ = cache_dir;
        std::future::ready(Vec::new())
    }

    /// The switch, for drivers that have one.
    fn power(&self) -> Option<&Self::Power>;

    /// The list of everything of ours in an account, for drivers whose provider has one.
    fn list_all(&self) -> Option<&impl ListAll<Self>> {
        None::<&NoList>
    }

    /// What creating would make and cost, for drivers that can tell.
    fn planner(&self) -> Option<&impl Planner<Self>> {
        None::<&NoPlanner>
    }

    /// Folders of this computer in the machine, for drivers that can.
    fn sharing(&self) -> Option<&impl Sharing<Self>> {
        None::<&NoSharing>
    }
}

/// How to switch off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// Ask the guest, then insist after a while.
    Politely,
    /// Pull the plug.
    AtOnce,
}

/// A machine that can be switched on and off. Every call may be repeated; a machine already so is left alone.
pub trait PowerSwitch<D: Driver + ?Sized>: Send + Sync {
    /// Switches on.
    fn start(&self, cx: &Context, s: &D::Settings, m: &mut D::Machine) -> impl Future<Output = Result<()>> + Send;
    /// Switches off.
    fn stop(
        &self,
        how: Stop,
        cx: &Context,
        s: &D::Settings,
        m: &mut D::Machine,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Off and on again.
    fn restart(&self, cx: &Context, s: &D::Settings, m: &mut D::Machine) -> impl Future<Output = Result<()>> + Send;
}

/// The switch that is not there; cannot be made.
#[derive(Debug, Clone, Copy)]
pub enum NoPower {}

impl<D: Driver> PowerSwitch<D> for NoPower {
    async fn start(&self, _: &Context, _: &D::Settings, _: &mut D::Machine) -> Result<()> {
        match *self {}
    }
    async fn stop(&self, _: Stop, _: &Context, _: &D::Settings, _: &mut D::Machine) -> Result<()> {
        match *self {}
    }
    async fn restart(&self, _: &Context, _: &D::Settings, _: &mut D::Machine) -> Result<()> {
        match *self {}
    }
}
