//! A scripted provider and its driver.

use std::sync::{Arc, Mutex};

use machine_driver::{
    Abilities, Arch, Diagnostic, Driver, EngineEndpoint, HostKeySupport, Kind, Origin, Power, PowerSwitch, SshAccess,
    SshClient, SshIdentity, Status, Stop,
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
}

#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub(super) struct Size {
    #[arg(long)]
    size: Option<String>,
    /// Decides the processor.
    #[arg(long)]
    #[serde(default)]
    arch: Option<Arch>,
}

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
    const ABILITIES: Abilities<Self> = Abilities::NONE.power();

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
        _: &Size,
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
            Stage::Boot => self.script.at("boot", || Ok(())).await,
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
    fn switch(&self, cx: &machine_driver::Context, on: bool) {
        let mut off = self.off.lock().unwrap();
        off.retain(|id| *id != cx.machine_id);
        if !on {
            off.push(cx.machine_id.clone());
        }
    }
}

impl<const WITH_HOST: bool> PowerSwitch for Cloud<WITH_HOST> {
    async fn start(&self, cx: &machine_driver::Context, _: &Size, _: &mut Remembered) -> machine_driver::Result<()> {
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

    async fn restart(&self, cx: &machine_driver::Context, _: &Size, _: &mut Remembered) -> machine_driver::Result<()> {
        self.switch(cx, true);
        Ok(())
    }
}
