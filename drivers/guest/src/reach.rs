//! How SSH and clients reach a VM on this computer. Main item: [`reach`].

use machine_driver::{EngineEndpoint, SshAccess, SshClient, SshIdentity};

use crate::Cidr;

/// Where the guest's sshd and engine listen.
pub const SSH: u16 = 22;
/// See [`SSH`].
pub const ENGINE: u16 = 2376;

/// By the VM's own address, where it has one, else by its two ports of 127.0.0.1 (SSH, engine).
#[must_use]
pub fn reach(address: Option<Cidr>, ports: Option<(u16, u16)>, ssh_user: &str) -> Option<(SshAccess, EngineEndpoint)> {
    let (host, ssh, engine) = match address {
        Some(cidr) => (cidr.address.to_string(), SSH, ENGINE),
        None => {
            let (ssh, engine) = ports?;
            ("127.0.0.1".to_owned(), ssh, engine)
        }
    };
    let access = SshAccess {
        host: host.clone(),
        port: ssh,
        user: ssh_user.to_owned(),
        identity: SshIdentity::Machine,
        jump_host: None,
        use_ssh_config: false,
        host_key: None,
        client: SshClient::Fitting,
    };
    Some((access, EngineEndpoint { host, port: engine, host_port: ENGINE, url: None }))
}
