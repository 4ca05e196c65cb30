//! A scripted provider and its driver.

use std::sync::{Arc, Mutex};

use machine_driver::{
    Abilities, Arch, Change, Changing, Diagnostic, Driver, EngineEndpoint, HostKeySupport, Kind, Origin, Power,
    PowerSwitch, SshAccess, SshClient, SshIdentity, Status, Stop,
};
use serde::{Deserialize, Serialize};

use super::Script;

/// A provider with one list of things, each with the id of whose it is, and a driver for it. What it makes is only a URL
/// or, `WITH_HOST`, a host whose key nobody can inject.
#[derive(Debug, Default)]
pub(super) struct Cloud<const WITH_HOST: bool = false> {
    pub(super) things: Arc<Mutex<Vec<String>>>,
    /// Stages that were told that they may have run before.
    pub(super) resumed: Arc<Mutex<Vec<String>>>,
    pub(super) script: Arc<Script>,
    /// Machines that are switched off.
    pub(super) off: Arc<Mutex<Vec<String>>>,
    /// The memory with which the machine was switched on last.
    pub(super) runs_with: Arc<Mutex<Option<u32>>>,
}

#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub(super) struct Size {
    #[arg(long)]
    size: Option<String>,
    /// Decides the processor.
    #[arg(long)]
    #[serde(default)]
    arch: Option<Arch>,
    /// Counts from each start on.
    #[arg(long)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<u32>,
}

/// More than the provider has.
pub(super) const TOO_MUCH: u32 = 1000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Remembered {
    #[serde(default)]
    thing: Option<String>,
    #[serde(default)]
    address: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Stage {
    Order,
    Boot,
    Address,
}

impl<const WITH_HOST: bool> Driver for Cloud<WITH_HOST> {
    type Settings = Size;
    type Machine = Remembered;
    type Stage = Stage;
    const NAME: &'static str = "cloud";
    const ABOUT: &'static str = "A provider of the tests' own";
    const STAGES: &'static [Stage] = &[Stage::Order, Stage::Boot, Stage::Address];
    const ORIGIN: Origin = if WITH_HOST { Origin::Made } else { Origin::UrlOnly };
    const HOST_KEY: HostKeySupport = HostKeySupport::FirstUse;
    const ABILITIES: Abilities<Self> = Abilities::NONE.power().change();

    fn arch(&self, s: &Size) -> Option<Arch> {
        s.arch
    }

    async fn check(&self, _: &machine_driver::Context, _: &Size) -> machine_driver::Result<()> {
        Ok(())
    }

    async fn advance(
        &self,
        stage: Stage,
        cx: &machine_driver::Context,
        s: &Size,
        m: &mut Remembered,
    ) -> machine_driver::Result<()> {
        let things = Arc::clone(&self.things);
        if cx.resumed {
            self.resumed.lock().unwrap().push(format!("{stage:?}").to_lowercase());
        }
        let done = match stage {
            Stage::Order => {
                let act = || {
                    let mut things = things.lock().unwrap();
                    if !things.contains(&cx.machine_id) {
                        things.push(cx.machine_id.clone());
                    }
                    Ok(())
                };
                let done = self.script.at("order", act).await;
                if done.is_ok() {
                    m.thing = Some(cx.machine_id.clone());
                    cx.save(m)?;
                }
                done
            }
            Stage::Boot => self.script.at("boot", || self.power_on(s)).await,
            Stage::Address => {
                let done = self.script.at("address", || Ok(())).await;
                m.address = done.is_ok().then(|| "192.0.2.7".to_owned());
                done
            }
        };
        done.map_err(|e| Diagnostic::new(Kind::Failure, e.message))
    }

    async fn inspect(&self, _: &machine_driver::Context, _: &Size, m: &Remembered) -> machine_driver::Result<Status> {
        let there = m.thing.as_ref().is_some_and(|thing| self.things.lock().unwrap().contains(thing));
        let off = |thing: &String| self.off.lock().unwrap().contains(thing);
        let url = m.address.as_ref().map(|address| format!("tcp://{address}:2376"));
        let ssh = m.address.as_ref().filter(|_| WITH_HOST).map(|address| SshAccess {
            host: address.clone(),
            port: 22,
            user: "root".into(),
            identity: SshIdentity::Machine,
            jump_host: None,
            use_ssh_config: false,
            host_key: None,
            client: SshClient::Fitting,
        });
        Ok(Status {
            power: match &m.thing {
                Some(thing) if there && off(thing) => Power::Stopped,
                _ if there => Power::Running,
                _ => Power::Gone,
            },
            ssh,
            detail: None,
            engine: url.map(|url| EngineEndpoint {
                host: "192.0.2.7".into(),
                port: 2376,
                host_port: 2376,
                url: Some(url).filter(|_| !WITH_HOST),
            }),
        })
    }

    async fn remove(&self, cx: &machine_driver::Context, _: &Size, _: &Remembered) -> machine_driver::Result<()> {
        let act = || {
            self.things.lock().unwrap().retain(|thing| *thing != cx.machine_id);
            Ok(())
        };
        let done = self.script.at("remove", act).await;
        done.map_err(|e| Diagnostic::new(Kind::Failure, e.message))
    }
}

impl<const WITH_HOST: bool> Cloud<WITH_HOST> {
    fn power_on(&self, s: &Size) -> machine_driver::Result<()> {
        if s.memory.is_some_and(|memory| memory > TOO_MUCH) {
            return Err(Diagnostic::new(Kind::Quota, "there is not so much memory"));
        }
        *self.runs_with.lock().unwrap() = s.memory;
        Ok(())
    }

    fn switch(&self, cx: &machine_driver::Context, on: bool) {
        let mut off = self.off.lock().unwrap();
        off.retain(|id| *id != cx.machine_id);
        if !on {
            off.push(cx.machine_id.clone());
        }
    }
}

impl<const WITH_HOST: bool> PowerSwitch for Cloud<WITH_HOST> {
    async fn start(&self, cx: &machine_driver::Context, s: &Size, _: &mut Remembered) -> machine_driver::Result<()> {
        self.power_on(s)?;
        self.switch(cx, true);
        Ok(())
    }

    async fn stop(
        &self,
        _: Stop,
        cx: &machine_driver::Context,
        _: &Size,
        _: &mut Remembered,
    ) -> machine_driver::Result<()> {
        self.switch(cx, false);
        Ok(())
    }

    async fn restart(&self, cx: &machine_driver::Context, s: &Size, m: &mut Remembered) -> machine_driver::Result<()> {
        self.switch(cx, false);
        self.start(cx, s, m).await
    }
}

impl<const WITH_HOST: bool> Changing for Cloud<WITH_HOST> {
    async fn change(
        &self,
        cx: &machine_driver::Context,
        from: &Size,
        to: &Size,
        m: &Remembered,
    ) -> machine_driver::Result<Change> {
        // An order may have been sent whose answer was lost.
        let ordered = cx.resumed || m.thing.is_some();
        let size = if ordered && (&from.size, from.arch) != (&to.size, to.arch) {
            Change::fixed("size", "it was ordered so")
        } else {
            Change::Unused
        };
        let runs = self.inspect(cx, from, m).await?.power == Power::Running && self.runs_with.lock().unwrap().is_some();
        let differs = runs && from.memory != to.memory;
        Ok(size.and(if differs { Change::InPlace { restart: true } } else { Change::Unused }))
    }
}
