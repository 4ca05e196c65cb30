//! The seam to VirtualBox: what is asked of it, with types. Main type: [`Vbox`].
//!
//! Each operation is one call of VBoxManage. Whose VM it is, is looked at by `identity.rs`, before.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use machine_driver::{Diagnostic, Result};

use crate::failure::Failure;
use crate::manage::{Again, Call, Manage};
use crate::output;

/// Its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// As it says it.
    pub(crate) text: String,
}

/// What a VM is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Starting,
    Paused,
    /// On disk; starting goes on from there. Also where that was broken off.
    Saved,
    /// Powered off, or its process died.
    Off,
    Stopping,
    /// The guest did what no processor survives: it can only be powered off.
    Stuck,
    /// VirtualBox cannot read its settings.
    Inaccessible,
    /// In VirtualBox's word.
    Other(String),
}

/// A VM as VirtualBox describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vm {
    pub(crate) uuid: String,
    pub(crate) name: String,
    pub(crate) state: State,
    /// A process has it, which may be on its way out.
    pub(crate) session: bool,
    pub(crate) settings_file: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) controllers: Vec<String>,
    pub(crate) attached: Vec<Attached>,
    /// Of its first network card.
    pub(crate) rules: Vec<Rule>,
}

/// A medium in a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) controller: String,
    pub(crate) port: u32,
    pub(crate) device: u32,
    pub(crate) medium: PathBuf,
}

/// A port of this computer that leads into a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) name: String,
    /// Of this computer.
    pub(crate) address: String,
    pub(crate) port: u16,
    /// In the VM.
    pub(crate) to: u16,
}

impl Rule {
    fn text(&self) -> String {
        format!("{},tcp,{},{},,{}", self.name, self.address, self.port, self.to)
    }
}

/// A medium that VirtualBox knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Medium {
    pub(crate) uuid: String,
    pub(crate) location: PathBuf,
}

/// A kind of medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediumKind {
    Disk,
    Dvd,
}

impl MediumKind {
    /// In lists, in `closemedium`, in `storageattach`.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Disk => ["hdds", "disk", "hdd"],
            Self::Dvd => ["dvds", "dvd", "dvddrive"],
        }
    }
}

/// What a VM is made of.
#[derive(Debug, Clone)]
pub(crate) struct Hardware<'a> {
    pub(crate) memory: u64,
    pub(crate) processors: u16,
    /// Where the guest's first serial port is written to.
    pub(crate) console: &'a Path,
}

/// The first network card.
#[derive(Debug, Clone)]
pub(crate) struct Card<'a> {
    /// VirtualBox's word for its kind: `virtio`.
    pub(crate) kind: &'a str,
    /// Whether names are asked of this computer's own resolver.
    pub(crate) host_resolver: bool,
    /// Whether VirtualBox stands between the guest and the name servers.
    pub(crate) dns_proxy: bool,
}

/// VirtualBox on this computer.
#[derive(Debug, Clone)]
pub(crate) struct Vbox {
    manage: Manage,
}

fn on(yes: bool) -> &'static str {
    if yes { "on" } else { "off" }
}

impl Vbox {
    pub(crate) fn new(manage: Manage) -> Self {
        Self { manage }
    }

    async fn call(&self, call: Call) -> Result<String> {
        self.manage.run(&call).await?.map_err(Diagnostic::from)
    }

    /// Its version.
    pub(crate) async fn version(&self) -> Result<Version> {
        let said = self.call(Call::read("--version")).await?;
        output::version(&said).ok_or_else(|| self.manage.no_virtualbox(&said))
    }

    /// Every VM of this user: name and id.
    pub(crate) async fn vms(&self) -> Result<Vec<(String, String)>> {
        Ok(output::vms(&self.call(Call::read("list").arg("vms")).await?))
    }

    /// What this computer has, in VirtualBox's words.
    pub(crate) async fn host(&self) -> Result<String> {
        self.call(Call::read("list").arg("hostinfo")).await
    }

    /// A VM; `None`: VirtualBox says that there is none.
    pub(crate) async fn vm(&self, uuid: &str) -> Result<Option<Vm>> {
        let call = Call::read("showvminfo").arg(uuid).arg("--machinereadable");
        match self.manage.run(&call).await? {
            Ok(said) => match output::vm(&said) {
                Some(vm) => Ok(Some(vm)),
                None => Err(Diagnostic::failure("VirtualBox described the VM only in part")),
            },
            Err(failure) if failure.not_found() => Ok(None),
            Err(failure) if failure.inaccessible() => Ok(Some(Vm::inaccessible(uuid))),
            Err(failure) => Err(failure.into()),
        }
    }

    /// What stands in a VM's extra data.
    pub(crate) async fn extra_data(&self, uuid: &str) -> Result<BTreeMap<String, String>> {
        Ok(output::extra_data(&self.call(Call::read("getextradata").arg(uuid).arg("enumerate")).await?))
    }

    /// Writes one of them.
    pub(crate) async fn set_extra_data(&self, uuid: &str, key: &str, value: &str) -> Result<()> {
        self.call(Call::new("setextradata").arg(uuid).arg(key).arg(value)).await.map(drop)
    }

    /// Makes a VM with this id in a folder of its name below `folder`.
    pub(crate) async fn create(&self, uuid: &str, name: &str, folder: &Path) -> Result<()> {
        let call = Call::new("createvm").arg("--name").arg(name).arg("--uuid").arg(uuid);
        let call = call.arg("--basefolder").arg(folder).arg("--ostype").arg("Linux26_64").arg("--register");
        self.call(call).await.map(drop)
    }

    /// Takes in a VM by its settings file.
    pub(crate) async fn register(&self, settings_file: &Path) -> Result<()> {
        self.call(Call::new("registervm").arg(settings_file)).await.map(drop)
    }

    /// What a VM is made of. It must be off.
    pub(crate) async fn set_hardware(&self, uuid: &str, hardware: &Hardware<'_>) -> Result<()> {
        let call = Call::new("modifyvm").arg(uuid);
        let call = call.pair("--memory", hardware.memory.to_string()).pair("--cpus", hardware.processors.to_string());
        let fixed = "--firmware bios --ioapic on --rtc-use-utc on --graphicscontroller vmsvga --vram 16 --audio-enabled off \
                     --usb-ohci off --boot1 disk --boot2 none --boot3 none --boot4 none --bios-boot-menu disabled";
        let call = fixed.split_whitespace().fold(call, Call::arg);
        let call = call.arg("--uart1").arg("0x3F8").arg("4").arg("--uart-mode1").arg("file").arg(hardware.console);
        self.call(call).await.map(drop)
    }

    /// Its first network card, on VirtualBox's NAT, and its port rules: all at once, or nothing. It must be off.
    pub(crate) async fn set_card(&self, uuid: &str, card: &Card<'_>, gone: &[Rule], new: &[Rule]) -> Result<()> {
        let call = Call::new("modifyvm").arg(uuid).pair("--nic1", "nat").pair("--nic-type1", card.kind);
        let call = call.pair("--cable-connected1", "on").pair("--nat-localhostreachable1", "off");
        let call = call.pair("--nat-dns-host-resolver1", on(card.host_resolver));
        let call = call.pair("--nat-dns-proxy1", on(card.dns_proxy));
        let call = gone.iter().fold(call, |call, rule| call.arg("--natpf1").arg("delete").arg(&rule.name));
        let call = new.iter().fold(call, |call, rule| call.arg("--natpf1").arg(rule.text()));
        self.call(call).await.map(drop)
    }

    /// Exchanges port rules of a VM that runs.
    pub(crate) async fn set_rules(&self, uuid: &str, gone: &[Rule], new: &[Rule]) -> Result<()> {
        for rule in gone {
            self.call(Call::new("controlvm").arg(uuid).arg("natpf1").arg("delete").arg(&rule.name)).await?;
        }
        for rule in new {
            self.call(Call::new("controlvm").arg(uuid).arg("natpf1").arg(rule.text())).await?;
        }
        Ok(())
    }

    /// A SATA controller with two ports.
    pub(crate) async fn add_controller(&self, uuid: &str, name: &str) -> Result<()> {
        let call = Call::new("storagectl").arg(uuid).pair("--name", name).pair("--add", "sata");
        self.call(call.pair("--portcount", "2").pair("--hostiocache", "on")).await.map(drop)
    }

    /// Puts a medium at a port.
    pub(crate) async fn attach(&self, uuid: &str, at: &Attached, kind: MediumKind) -> Result<()> {
        let call = Self::port(uuid, at).pair("--type", kind.words()[2]);
        self.call(call.arg("--medium").arg(&at.medium)).await.map(drop)
    }

    /// Takes a drive with its medium out of a VM that is off.
    pub(crate) async fn detach(&self, uuid: &str, at: &Attached) -> Result<()> {
        self.call(Self::port(uuid, at).pair("--medium", "none")).await.map(drop)
    }

    fn port(uuid: &str, at: &Attached) -> Call {
        let call = Call::new("storageattach").arg(uuid).pair("--storagectl", &at.controller);
        call.pair("--port", at.port.to_string()).pair("--device", at.device.to_string())
    }

    /// Starts a VM, or has a saved one go on. Returns when its process says that it runs.
    pub(crate) async fn start(&self, uuid: &str, ui: &str) -> Result<Result<(), Failure>> {
        // One that another command is starting stays locked as long as it runs: the caller looks again.
        let call = Call::new("startvm").arg(uuid).pair("--type", ui).again(Again::No);
        Ok(self.manage.run(&call).await?.map(drop))
    }

    /// Lets a paused VM go on.
    pub(crate) async fn resume(&self, uuid: &str) -> Result<()> {
        self.control(uuid, "resume").await
    }

    /// Presses its power button.
    pub(crate) async fn press(&self, uuid: &str) -> Result<()> {
        self.control(uuid, "acpipowerbutton").await
    }

    /// Pulls its plug.
    pub(crate) async fn power_off(&self, uuid: &str) -> Result<()> {
        self.control(uuid, "poweroff").await
    }

    async fn control(&self, uuid: &str, what: &str) -> Result<()> {
        self.call(Call::new("controlvm").arg(uuid).arg(what)).await.map(drop)
    }

    /// Forgets a VM. With its files go all disks in it, whoever made them.
    pub(crate) async fn unregister(&self, uuid: &str, with_files: bool) -> Result<()> {
        let call = Call::new("unregistervm").arg(uuid);
        self.call(if with_files { call.arg("--delete-all") } else { call }).await.map(drop)
    }

    /// The media that VirtualBox knows.
    pub(crate) async fn media(&self, kind: MediumKind) -> Result<Vec<Medium>> {
        Ok(output::media(&self.call(Call::read("list").arg(kind.words()[0])).await?))
    }

    /// Forgets a medium; its file stays.
    pub(crate) async fn close(&self, kind: MediumKind, medium: &Medium) -> Result<()> {
        self.call(Call::new("closemedium").arg(kind.words()[1]).arg(&medium.uuid)).await.map(drop)
    }
}

impl Vm {
    fn inaccessible(uuid: &str) -> Self {
        Self {
            uuid: uuid.to_owned(),
            name: String::new(),
            state: State::Inaccessible,
            session: false,
            settings_file: PathBuf::new(),
            logs: PathBuf::new(),
            controllers: Vec::new(),
            attached: Vec::new(),
            rules: Vec::new(),
        }
    }

    /// Whether this file is in it.
    pub(crate) fn has(&self, medium: &Path) -> bool {
        self.attached.iter().any(|at| at.medium == medium)
    }

    /// Nothing of it runs, and nobody holds it.
    pub(crate) fn at_rest(&self) -> bool {
        !self.session && matches!(self.state, State::Off | State::Saved | State::Inaccessible)
    }
}

impl Call {
    fn pair(self, option: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(option).arg(value)
    }
}
