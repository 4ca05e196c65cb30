//! Flags of docker-machine's VirtualBox driver that are no settings of ours: those that are so anyway are taken, the others are
//! refused by name. Main type: [`DockerMachine`].

use machine_driver::Result;

use crate::settings::refuse;

/// They are typed, judged, and not stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[group(skip)]
pub struct DockerMachine {
    /// So anyway, unless --virtualbox-no-host-dns-resolver
    #[arg(long, env, hide = true)]
    pub host_dns_resolver: bool,

    /// So anyway, unless --virtualbox-dns-proxy
    #[arg(long, env, hide = true)]
    pub no_dns_proxy: bool,

    /// So anyway: no folder is shared unasked
    #[arg(long, env, hide = true)]
    pub no_share: bool,

    /// So anyway: what VirtualBox says of the processor is only told
    #[arg(long, env, hide = true)]
    pub no_vtx_check: bool,

    /// Refused
    #[arg(long, env, hide = true)]
    pub boot2docker_url: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub import_boot2docker_vm: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub share_folder: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub hostonly_cidr: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub hostonly_nictype: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub hostonly_nicpromisc: Option<String>,

    /// Refused
    #[arg(long, env, hide = true)]
    pub hostonly_no_dhcp: bool,
}

impl DockerMachine {
    /// Refuses what would be ignored otherwise. An empty variable means nothing.
    pub(crate) fn check(&self) -> Result<()> {
        const IMAGE: &str = "name a cloud image instead, as in --virtualbox-image ./debian-13-generic-amd64.qcow2";
        const NAT: &str = "leave it out: the VM is on VirtualBox's NAT, and reached by ports of 127.0.0.1";
        let set = |value: &Option<String>| value.as_ref().is_some_and(|value| !value.trim().is_empty());
        let all = [
            ("boot2docker-url", set(&self.boot2docker_url), "there is no boot2docker any more", IMAGE),
            ("import-boot2docker-vm", set(&self.import_boot2docker_vm), "there is no boot2docker any more", IMAGE),
            (
                "share-folder",
                set(&self.share_folder),
                "driver virtualbox shares no folders yet",
                "leave it out, or take driver qemu",
            ),
            ("hostonly-cidr", set(&self.hostonly_cidr), "driver virtualbox has no host-only networks yet", NAT),
            ("hostonly-nictype", set(&self.hostonly_nictype), "driver virtualbox has no host-only networks yet", NAT),
            (
                "hostonly-nicpromisc",
                set(&self.hostonly_nicpromisc),
                "driver virtualbox has no host-only networks yet",
                NAT,
            ),
            ("hostonly-no-dhcp", self.hostonly_no_dhcp, "driver virtualbox has no host-only networks yet", NAT),
        ];
        match all.into_iter().find(|(_, set, ..)| *set) {
            None => Ok(()),
            Some((flag, _, why, hint)) => Err(refuse(format!("--virtualbox-{flag}: {why}")).hint(hint)),
        }
    }
}
