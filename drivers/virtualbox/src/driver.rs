//! The driver: its stages, and what is remembered of a VM.

use std::path::Path;

use machine_driver::{Abilities, Arch, Context, Driver, Finding, HostKeySupport, Origin, Power, Result, Status};
use machine_guest::base_disk;
use machine_guest::reach::reach;
use serde::{Deserialize, Serialize};

use crate::files::Files;
use crate::manage::Manage;
use crate::settings::Settings;
use crate::timing::Timing;
use crate::vbox::{State, Vbox, Vm};
use crate::{adapters, check, disk, examine, identity, machine, remove, run};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct VirtualBox {
    pub(crate) timing: Timing,
}

impl VirtualBox {
    /// For real guests.
    pub const fn new() -> Self {
        Self::with_pace(Timing::VIRTUALBOX)
    }

    /// With other times, for tests.
    pub const fn with_pace(timing: Timing) -> Self {
        Self { timing }
    }

    pub(crate) fn vbox(&self, s: &Settings) -> Vbox {
        Vbox::new(Manage::new(s.program.as_deref(), &self.timing))
    }
}

impl Default for VirtualBox {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered. Everything else VirtualBox knows, or it has a fixed name in the machine's folder.
// None is left out when stored: a field that is cleared must be seen to be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Machine {
    /// The image its disk was made from, for people. The disk does not need it any more.
    pub image: Option<String>,
    /// The VM in VirtualBox, from before it was asked for.
    pub uuid: Option<String>,
    /// Port of 127.0.0.1 that leads to its sshd.
    pub ssh_port: Option<u16>,
    /// Port of 127.0.0.1 that leads to its engine.
    pub engine_port: Option<u16>,
}

impl Machine {
    pub(crate) fn ports(&self) -> Option<(u16, u16)> {
        self.ssh_port.zip(self.engine_port)
    }
}

/// The stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The machine has a disk, and what the guest is told at its first boot is written.
    Disk,
    /// VirtualBox has the VM, with both in it.
    Vm,
    /// It has a network card, and ports of this computer lead to it.
    Adapters,
    /// It runs.
    Boot,
    /// VirtualBox really has its ports.
    Address,
}

impl Driver for VirtualBox {
    type Settings = Settings;
    type Machine = Machine;
    type Stage = Stage;

    const NAME: &'static str = "virtualbox";
    const ABOUT: &'static str = "A VM on this computer, run by VirtualBox";
    const STAGES: &'static [Stage] = &[Stage::Disk, Stage::Vm, Stage::Adapters, Stage::Boot, Stage::Address];
    const ORIGIN: Origin = Origin::Made;
    const HOST_KEY: HostKeySupport = HostKeySupport::Injected;
    const ABILITIES: Abilities<Self> = Abilities::NONE.power();

    fn normalize(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.normalized(working_dir)
    }

    fn arch(&self, _: &Settings) -> Option<Arch> {
        Settings::arch()
    }

    async fn check(&self, cx: &Context, s: &Settings) -> Result<()> {
        check::check(self, cx, s).await
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        match stage {
            Stage::Disk => disk::ensure(cx, s, m).await,
            Stage::Vm => machine::ensure(&self.vbox(s), cx, s, m).await,
            Stage::Adapters => adapters::ensure(&self.vbox(s), cx, s, m).await,
            Stage::Boot => run::ensure(self, cx, s, m).await,
            Stage::Address => run::reached(self, cx, s, m).await,
        }
    }

    async fn inspect(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<Status> {
        // Saved before VirtualBox is asked for a VM.
        let vm = match &m.uuid {
            Some(uuid) => self.vbox(s).vm(uuid).await?,
            None => None,
        };
        let Some(vm) = vm else { return Ok(Status::gone()) };
        let (power, detail) = power(&vm, &Files::new(cx));
        let (ssh, engine) = reach(None, m.ports(), &s.vm.ssh_user).unzip();
        Ok(Status { power, ssh, engine, detail })
    }

    async fn remove(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<()> {
        remove::remove(self, cx, s, m).await
    }

    async fn examine(&self, cache_dir: &Path) -> Vec<Finding> {
        examine::examine(cache_dir, &self.timing).await
    }
}

/// What a VM's state is in the core's words.
fn power(vm: &Vm, files: &Files) -> (Power, Option<String>) {
    let detail = |text: &str| Some(text.to_owned());
    match &vm.state {
        State::Running => (Power::Running, None),
        State::Starting => (Power::Starting, None),
        State::Paused => (Power::Paused, None),
        State::Saved => (Power::Saved, None),
        State::Off => match base_disk::present(&files.disk()) {
            Ok(()) => (Power::Stopped, None),
            Err(e) => (Power::Error, Some(e.message)),
        },
        State::Stopping => (Power::Stopping, None),
        State::Stuck => {
            (Power::Error, detail("the guest has crashed (guru meditation): `machine restart` powers it off and on"))
        }
        State::Inaccessible => (Power::Error, detail("VirtualBox cannot read the VM's settings")),
        State::Other(word) => (Power::Error, detail(&format!("VirtualBox says {word}"))),
    }
}

impl VirtualBox {
    /// The machine's VM once nothing of it is on its way: starting, stopping, being let go of.
    pub(crate) async fn settled(&self, vbox: &Vbox, cx: &Context, m: &Machine) -> Result<Option<Vm>> {
        use machine_base::Wait;
        use machine_driver::Diagnostic;
        let wait = Wait::new("VirtualBox to let go of the VM", self.timing.settle).every(self.timing.poll);
        let wait = wait.no_later_than(Some(cx.deadline));
        loop {
            let vm = identity::ours(vbox, cx, m).await?;
            let passing = match &vm {
                Some(vm) => match vm.state {
                    State::Starting | State::Stopping => true,
                    State::Off | State::Saved => vm.session,
                    _ => false,
                },
                None => false,
            };
            if !passing {
                return Ok(vm);
            }
            wait.not_yet(Diagnostic::failure(format!("it is {:?}", vm.map(|vm| vm.state)))).await?;
        }
    }
}
