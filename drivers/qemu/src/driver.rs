//! The driver: its stages, and what is remembered of a VM.

use std::path::Path;
use std::time::Duration;

use machine_driver::{
    Abilities, Arch, Context, Diagnostic, Driver, Finding, HostKeySupport, Kind, Origin, Power, Result, Status,
};
use machine_guest::base_disk::Base;
use machine_guest::reach::reach;
use machine_guest::{Interface, Network, Seed, ports};
use serde::{Deserialize, Serialize};

use crate::arguments::mac;
use crate::files::Files;
use crate::settings::Settings;
use crate::share::in_guest;
use crate::timing::Timing;
use crate::{check, disk, examine, process, remove, run};

/// The driver.
#[derive(Debug, Clone, Copy)]
pub struct Qemu {
    pub(crate) timing: Timing,
}

impl Qemu {
    /// For real guests.
    pub const fn new() -> Self {
        Self::with_pace(Timing::QEMU)
    }

    /// With other times, for tests.
    pub const fn with_pace(timing: Timing) -> Self {
        Self { timing }
    }
}

impl Default for Qemu {
    fn default() -> Self {
        Self::new()
    }
}

/// What is remembered. Everything else has a fixed name in the machine's folder.
// None is left out when stored: a field that is cleared must be seen to be cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Machine {
    /// What its disk stands on.
    pub base: Option<Base>,
    /// Port of 127.0.0.1 that leads to its sshd; on the user network.
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
    /// The guest's disk is here, and the machine has its own on top of it.
    Disk,
    /// What the guest is told at its first boot is written.
    Seed,
    /// The ports of this computer that lead to it are chosen.
    Ports,
    /// QEMU runs, and answers.
    Start,
}

impl Driver for Qemu {
    type Settings = Settings;
    type Machine = Machine;
    type Stage = Stage;

    const NAME: &'static str = "qemu";
    const ABOUT: &'static str = "A VM on this computer, run by QEMU";
    const STAGES: &'static [Stage] = &[Stage::Disk, Stage::Seed, Stage::Ports, Stage::Start];
    const ORIGIN: Origin = Origin::Made;
    const HOST_KEY: HostKeySupport = HostKeySupport::Injected;
    const RUNS_HERE: bool = true;
    // The user network's own, always: QEMU's manual, "Using the user mode network stack".
    const HOST_GATEWAY: Option<&'static str> = Some("10.0.2.2");
    const ABILITIES: Abilities<Self> = Abilities::NONE.power().share().change().udp();

    fn normalize(&self, s: Settings, working_dir: &Path) -> Result<Settings> {
        s.normalized(working_dir)
    }

    fn arch(&self, s: &Settings) -> Option<Arch> {
        Some(s.arch())
    }

    async fn check(&self, cx: &Context, s: &Settings) -> Result<()> {
        check::check(self, cx, s).await
    }

    async fn advance(&self, stage: Stage, cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
        match stage {
            Stage::Disk => disk::ensure(cx, s, m).await,
            Stage::Seed => seed(cx, s, &Files::new(cx)),
            // Those of a VM that runs are taken: by itself.
            Stage::Ports if m.ports().is_some() => Ok(()),
            Stage::Ports => choose_ports(cx, s, m).await,
            Stage::Start => run::ensure(cx, s, m, &self.timing).await,
        }
    }

    async fn inspect(&self, cx: &Context, s: &Settings, m: &Machine) -> Result<Status> {
        let files = Files::new(cx);
        let running = if process::alive(&files)? { Some(self.running(cx, &files).await) } else { None };
        let (power, detail) = match running {
            // One that does not answer may be dying.
            Some((Power::Running, Some(_))) if self.ends(&files).await? => off(cx, m, &files),
            Some(running) => running,
            None => off(cx, m, &files),
        };
        if power == Power::Gone {
            return Ok(Status::gone());
        }
        let (ssh, engine) = reach(s.vm.address, m.ports(), &s.vm.ssh_user).unzip();
        Ok(Status { power, ssh, engine, detail })
    }

    async fn remove(&self, cx: &Context, _: &Settings, _: &Machine) -> Result<()> {
        remove::remove(cx, &self.timing).await
    }

    async fn examine(&self, cache_dir: &Path) -> Vec<Finding> {
        examine::examine(cache_dir, &self.timing).await
    }
}

impl Qemu {
    /// Whether a QEMU that does not answer ends within half a second: of one that was killed the kernel takes the memory
    /// back, a gigabyte or more, before the lock.
    async fn ends(&self, files: &Files) -> Result<bool> {
        process::gone(files, 20 * self.timing.poll, &self.timing).await
    }

    /// What a VM whose QEMU lives is doing.
    async fn running(&self, cx: &Context, files: &Files) -> (Power, Option<String>) {
        // Another command may be talking to it: then it lives, and that is all we know.
        let limit = self.timing.answer.min(Duration::from_secs(1));
        let said = match process::control(files, cx, limit).await {
            Ok(mut qmp) => qmp.status().await,
            Err(trouble) => Err(trouble),
        };
        match said {
            Ok(state) => match state.as_str() {
                "prelaunch" | "inmigrate" => (Power::Starting, Some(state)),
                "shutdown" => (Power::Stopping, Some(state)),
                "io-error" => {
                    (Power::Paused, Some("QEMU cannot write to the VM's disk: see the space left here".to_owned()))
                }
                "paused" | "suspended" => (Power::Paused, Some(state)),
                "guest-panicked" | "internal-error" => (Power::Error, Some(state)),
                _ => (Power::Running, None),
            },
            Err(trouble) => (Power::Running, Some(trouble.to_string())),
        }
    }
}

/// What a VM without a QEMU is.
fn off(cx: &Context, m: &Machine, files: &Files) -> (Power, Option<String>) {
    if m.base.is_none() || !files.disk().exists() {
        return (Power::Gone, None);
    }
    match disk::locate(cx, m) {
        Ok(_) => (Power::Stopped, None),
        Err(e) => (Power::Error, Some(e.message)),
    }
}

/// Writes what the guest is told at its first boot, unless it is there: a host key to inject is known only until then.
pub(crate) fn seed(cx: &Context, s: &Settings, files: &Files) -> Result<()> {
    let to = files.seed();
    if to.exists() {
        return Ok(());
    }
    let network = match s.vm.address {
        None => Network::Dhcp,
        Some(cidr) => Network::Interfaces(vec![Interface {
            mac: mac(&cx.machine_id),
            dhcp: false,
            addresses: vec![cidr.to_string()],
            gateway: s.vm.gateway,
            nameservers: s.vm.nameservers.clone(),
        }]),
    };
    let shares = s.vm.shares.iter().map(in_guest).collect();
    machine_base::files::create_dir_private(files.dir())?;
    Seed { cx, ssh_user: &s.vm.ssh_user, user_data: None, network, shares }.write(&to)
}

/// A VM on the user network has two ports of this computer, and `m` says which.
pub(crate) async fn choose_ports(cx: &Context, s: &Settings, m: &mut Machine) -> Result<()> {
    if s.network.has_address() {
        return Ok(());
    }
    ports::keep_or_choose(cx, m.ports(), s.vm.port_range, "--qemu-port-range", |ssh, engine| {
        (m.ssh_port, m.engine_port) = (Some(ssh), Some(engine));
        cx.save(m)
    })
    .await
}

/// What an earlier stage should have brought.
pub(crate) fn missing(what: &str) -> Diagnostic {
    Diagnostic::new(Kind::Failure, format!("the record has no {what}")).hint("run `machine create` again for this name")
}
