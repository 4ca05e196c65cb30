//! The driver: one stage, which asks nothing of the network.

use std::path::Path;

use machine_driver::{Abilities, Context, Driver, EngineEndpoint, HostKeySupport, Origin, Power, Result, Status};
use serde::{Deserialize, Serialize};

use crate::Settings;
use crate::settings::check_key;

/// The driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Generic;

/// What is remembered besides the settings: nothing. The host is the user's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {}

/// The one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Take note of the host.
    Register,
}

impl Driver for Generic {
    type Settings = Settings;
    type Machine = Registered;
    type Stage = Stage;

    const NAME: &'static str = "generic";
    const ABOUT: &'static str = "An existing host, reached over SSH";
    const STAGES: &'static [Stage] = &[Stage::Register];
    const ORIGIN: Origin = Origin::Existing;
    const HOST_KEY: HostKeySupport = HostKeySupport::FirstUse;
    const HOST_KEY_FLAG: Option<&'static str> = Some("ssh-host-key");
    const KEY_FLAG: Option<&'static str> = Some("ssh-key");
    const ABILITIES: Abilities<Self> = Abilities::NONE.change();

    fn normalize(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.normalized(working_dir)
    }

    /// Looks at the key file only: whether the host answers, and to whom, is found out over SSH.
    async fn check(&self, _: &Context, s: &Settings) -> Result<()> {
        s.address()?;
        s.ssh_key.as_deref().map_or(Ok(()), |key| check_key(Path::new(key)))
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, _: &mut Registered) -> Result<()> {
        match stage {
            Stage::Register => {
                cx.say(&format!("using the existing host {}", s.address()?.as_str()));
                Ok(())
            }
        }
    }

    /// Always there as far as this driver can tell; SSH knows better.
    async fn inspect(&self, _: &Context, s: &Settings, _: &Registered) -> Result<Status> {
        let ssh = s.ssh()?;
        let engine =
            EngineEndpoint { host: ssh.host.clone(), port: s.engine_port, host_port: s.engine_port, url: None };
        Ok(Status { power: Power::Unknown, ssh: Some(ssh), engine: Some(engine), detail: None })
    }

    async fn remove(&self, _: &Context, _: &Settings, _: &Registered) -> Result<()> {
        Ok(())
    }
}
