//! A driver as the core sees it, in this process or behind a pipe. Main type: [`AnyDriver`].

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use serde_json::Value;

use crate::{
    Ability, Arch, Call, Change, Context, Description, Diagnostic, Finding, Folders, Holding, ListCall, Mount, Plan,
    PowerAction, RefusedPort, Reply, Resource, Result, Share, ShareCall, StageId, Status, Stop, Stores, Typed,
};

/// A boxed future that borrows from its caller.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A driver with its types rubbed out: what it is, and one way to ask it for anything. Exactly this crosses a pipe.
///
/// Callers use the helpers below, which read as the contract does. What not every driver can do is only called where the
/// description lists it.
pub trait AnyDriver: Send + Sync {
    /// What it is. Made once.
    fn description(&self) -> &Description;

    /// Asks it. `machine` is what is remembered of the machine, `{}` or `null` where there is none; it is changed by the
    /// calls that say so, also where they fail.
    fn call<'a>(&'a self, cx: &'a Context, call: Call, machine: &'a mut Value) -> BoxFuture<'a, Result<Reply>>;
}

/// The answer of the kind asked for.
macro_rules! answer {
    ($driver:expr, $reply:expr, $kind:pat => $value:expr) => {
        match $reply {
            $kind => Ok($value),
            other => Err($driver.beside_the_point(&other)),
        }
    };
}

impl dyn AnyDriver + '_ {
    /// As typed after `-d`.
    pub fn name(&self) -> &str {
        &self.description().name
    }

    /// Whether it can do this.
    pub fn can(&self, ability: Ability) -> bool {
        self.description().can(ability)
    }

    /// See [`Call::ReadFlags`].
    pub async fn read_flags(&self, typed: Typed) -> Result<()> {
        answer!(self, self.about_no_machine(Call::ReadFlags(typed)).await?, Reply::Done => ())
    }

    /// See [`Call::Configure`].
    pub async fn configure(&self, typed: Typed) -> Result<Value> {
        answer!(self, self.about_no_machine(Call::Configure(typed)).await?, Reply::Settings(settings) => settings)
    }

    /// See [`Call::Reconfigure`].
    pub async fn reconfigure(&self, typed: Typed, settings: &Value) -> Result<Value> {
        let call = Call::Reconfigure { typed, settings: settings.clone() };
        answer!(self, self.about_no_machine(call).await?, Reply::Settings(settings) => settings)
    }

    /// See [`Call::Arch`].
    pub async fn arch(&self, settings: &Value) -> Result<Option<Arch>> {
        let call = Call::Arch { settings: settings.clone() };
        answer!(self, self.about_no_machine(call).await?, Reply::Arch(arch) => arch)
    }

    /// See [`Call::Examine`].
    pub async fn examine(&self, cache_dir: &Path) -> Result<Vec<Finding>> {
        let folders = Folders { cache_dir: cache_dir.to_owned(), ..Folders::default() };
        let cx = Context::about_no_machine("").folders(folders);
        let reply = self.call(&cx, Call::Examine, &mut Value::Null).await?;
        answer!(self, reply, Reply::Findings(findings) => findings)
    }

    /// See [`Call::Check`].
    pub async fn check(&self, cx: &Context, settings: &Value) -> Result<()> {
        let call = Call::Check { settings: settings.clone() };
        answer!(self, self.call(cx, call, &mut Value::Null).await?, Reply::Done => ())
    }

    /// See [`Call::Advance`].
    pub async fn advance(&self, stage: &StageId, cx: &Context, settings: &Value, machine: &mut Value) -> Result<()> {
        let call = Call::Advance { stage: stage.clone(), settings: settings.clone() };
        answer!(self, self.call(cx, call, machine).await?, Reply::Done => ())
    }

    /// See [`Call::Inspect`].
    pub async fn inspect(&self, cx: &Context, settings: &Value, machine: &Value) -> Result<Status> {
        let call = Call::Inspect { settings: settings.clone() };
        answer!(self, self.call(cx, call, &mut machine.clone()).await?, Reply::Status(status) => status)
    }

    /// See [`Call::Remove`].
    pub async fn remove(&self, cx: &Context, settings: &Value, machine: &Value) -> Result<()> {
        let call = Call::Remove { settings: settings.clone() };
        answer!(self, self.call(cx, call, &mut machine.clone()).await?, Reply::Done => ())
    }

    /// See [`Call::Holdings`].
    pub async fn holdings(&self, settings: &Value, machine: &Value) -> Result<Vec<Holding>> {
        let call = Call::Holdings { settings: settings.clone() };
        let reply = self.call(&Context::about_no_machine(""), call, &mut machine.clone()).await?;
        answer!(self, reply, Reply::Holdings(holdings) => holdings)
    }

    /// See [`Call::Power`].
    pub async fn power(&self, action: PowerAction, cx: &Context, settings: &Value, machine: &mut Value) -> Result<()> {
        let call = Call::Power { action, settings: settings.clone() };
        answer!(self, self.call(cx, call, machine).await?, Reply::Done => ())
    }

    /// See [`PowerAction::Start`].
    pub async fn start(&self, cx: &Context, settings: &Value, machine: &mut Value) -> Result<()> {
        self.power(PowerAction::Start, cx, settings, machine).await
    }

    /// See [`PowerAction::Stop`].
    pub async fn stop(&self, how: Stop, cx: &Context, settings: &Value, machine: &mut Value) -> Result<()> {
        self.power(PowerAction::Stop(how), cx, settings, machine).await
    }

    /// See [`PowerAction::Restart`].
    pub async fn restart(&self, cx: &Context, settings: &Value, machine: &mut Value) -> Result<()> {
        self.power(PowerAction::Restart, cx, settings, machine).await
    }

    /// See [`Call::Change`].
    pub async fn change(&self, cx: &Context, from: &Value, to: &Value, machine: &Value) -> Result<Change> {
        let call = Call::Change { from: from.clone(), to: to.clone() };
        answer!(self, self.call(cx, call, &mut machine.clone()).await?, Reply::Change(change) => change)
    }

    /// See [`Call::Plan`]. `None`: this driver cannot tell.
    pub async fn plan(&self, cx: &Context, settings: &Value) -> Result<Option<Plan>> {
        if !self.can(Ability::Plan) {
            return Ok(None);
        }
        let call = Call::Plan { settings: settings.clone() };
        answer!(self, self.call(cx, call, &mut Value::Null).await?, Reply::Plan(plan) => Some(plan))
    }

    /// See [`ListCall::CanAsk`].
    pub async fn can_ask(&self, cx: &Context, settings: &Value) -> Result<bool> {
        answer!(self, self.list(cx, ListCall::CanAsk, settings).await?, Reply::Yes(yes) => yes)
    }

    /// See [`ListCall::Account`].
    pub async fn account(&self, settings: &Value) -> Result<String> {
        let cx = Context::about_no_machine("");
        answer!(self, self.list(&cx, ListCall::Account, settings).await?, Reply::Account(name) => name)
    }

    /// See [`ListCall::Machines`].
    pub async fn machines(&self, cx: &Context, settings: &Value) -> Result<Vec<Resource>> {
        answer!(self, self.list(cx, ListCall::Machines, settings).await?, Reply::Resources(resources) => resources)
    }

    /// See [`ListCall::Resources`].
    pub async fn resources(&self, cx: &Context, settings: &Value, of: Stores) -> Result<Vec<Resource>> {
        answer!(self, self.list(cx, ListCall::Resources(of), settings).await?, Reply::Resources(resources) => resources)
    }

    /// See [`ListCall::Delete`].
    pub async fn delete(&self, cx: &Context, settings: &Value, resource: &Resource) -> Result<()> {
        answer!(self, self.list(cx, ListCall::Delete(resource.clone()), settings).await?, Reply::Done => ())
    }

    /// See [`Call::Udp`].
    pub async fn udp(
        &self,
        cx: &Context,
        ports: &[u16],
        settings: &Value,
        machine: &Value,
    ) -> Result<Vec<RefusedPort>> {
        let call = Call::Udp { ports: ports.to_vec(), settings: settings.clone() };
        answer!(self, self.call(cx, call, &mut machine.clone()).await?, Reply::Refused(refused) => refused)
    }

    /// See [`ShareCall::Shares`].
    pub async fn shares(&self, settings: &Value) -> Result<Vec<Share>> {
        answer!(self, self.share(ShareCall::Shares, settings).await?, Reply::Shares(shares) => shares)
    }

    /// See [`ShareCall::SetShares`].
    pub async fn with_shares(&self, settings: &Value, shares: Vec<Share>) -> Result<Value> {
        answer!(self, self.share(ShareCall::SetShares(shares), settings).await?, Reply::Settings(settings) => settings)
    }

    /// See [`ShareCall::Mounts`].
    pub async fn mounts(&self, settings: &Value, shares: &[Share]) -> Result<Vec<Mount>> {
        answer!(self, self.share(ShareCall::Mounts(shares.to_vec()), settings).await?, Reply::Mounts(mounts) => mounts)
    }

    async fn list(&self, cx: &Context, what: ListCall, settings: &Value) -> Result<Reply> {
        self.call(cx, Call::List { what, settings: settings.clone() }, &mut Value::Null).await
    }

    async fn share(&self, what: ShareCall, settings: &Value) -> Result<Reply> {
        self.about_no_machine(Call::Share { what, settings: settings.clone() }).await
    }

    async fn about_no_machine(&self, call: Call) -> Result<Reply> {
        self.call(&Context::about_no_machine(""), call, &mut Value::Null).await
    }

    fn beside_the_point(&self, reply: &Reply) -> Diagnostic {
        Diagnostic::failure(format!("driver {} answered what was not asked: {reply:?}", self.name()))
    }
}
