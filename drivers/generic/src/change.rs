//! Other settings for a host that is there: how it is reached, which is nothing of the host's.

use machine_driver::{Change, Changing, Context, Result};

use crate::Settings;
use crate::driver::{Generic, Registered};

impl Changing for Generic {
    async fn change(&self, _: &Context, from: &Settings, to: &Settings, _: &Registered) -> Result<Change> {
        let free = |differs: bool| if differs { Change::InPlace { restart: false } } else { Change::Unused };
        let fixed = |differs: bool, key, why| if differs { Change::fixed(key, why) } else { Change::Unused };
        // By name: a setting that is forgotten here does not compile.
        let Settings {
            ip_address,
            ssh_user,
            ssh_key,
            ssh_port,
            engine_port,
            ssh_host_key,
            jump_host,
            use_ssh_config,
            ssh_transport,
        } = from;
        let all = [
            fixed(*ip_address != to.ip_address, "ip-address", "at another address there may be another host"),
            fixed(
                *ssh_host_key != to.ssh_host_key,
                "ssh-host-key",
                "of a host that is known, `machine set --ssh-host-key` says it",
            ),
            free(*ssh_user != to.ssh_user),
            free(*ssh_key != to.ssh_key),
            free(*ssh_port != to.ssh_port),
            free(*engine_port != to.engine_port),
            free(*jump_host != to.jump_host),
            free(*use_ssh_config != to.use_ssh_config),
            free(*ssh_transport != to.ssh_transport),
        ];
        Ok(all.into_iter().fold(Change::Unused, Change::and))
    }
}
