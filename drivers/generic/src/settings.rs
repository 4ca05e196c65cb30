//! The driver's flags: docker-machine's, and those it lacked.

use std::path::Path;

use machine_driver::{DriverError, ErrorKind, Result, SshAccess, SshIdentity};
use serde::{Deserialize, Serialize};

use crate::{Address, HostKey, JumpHost, UserName};

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
pub struct Settings {
    /// Address of the host: IPv4, IPv6 or a DNS name
    // Required; refused in `settle`, where the driver's own words can be said.
    #[arg(id = "generic-ip-address", long = "generic-ip-address", env = "GENERIC_IP_ADDRESS", value_name = "HOST")]
    #[serde(rename = "ip-address")]
    pub address: Option<Address>,

    /// SSH user: root, or one with password-less sudo
    #[arg(
        id = "generic-ssh-user",
        long = "generic-ssh-user",
        env = "GENERIC_SSH_USER",
        value_name = "USER",
        default_value = "root"
    )]
    #[serde(rename = "ssh-user")]
    pub user: UserName,

    /// Private key to log in with; used where it is, never copied [default: the SSH agent, then your default keys]
    #[arg(id = "generic-ssh-key", long = "generic-ssh-key", env = "GENERIC_SSH_KEY", value_name = "FILE")]
    #[serde(rename = "ssh-key", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,

    /// SSH port
    #[arg(id = "generic-ssh-port", long = "generic-ssh-port", env = "GENERIC_SSH_PORT", value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(rename = "ssh-port")]
    pub port: u16,

    /// Port for the Docker engine to listen on, with TLS
    #[arg(id = "generic-engine-port", long = "generic-engine-port", env = "GENERIC_ENGINE_PORT", value_name = "PORT", default_value_t = 2376, value_parser = clap::value_parser!(u16).range(1..))]
    #[serde(rename = "engine-port")]
    pub engine_port: u16,

    /// How to know the host: its fingerprint (SHA256:…), its public key, or accept-new to trust it at first sight
    /// [default: your known_hosts]
    #[arg(
        id = "generic-ssh-host-key",
        long = "generic-ssh-host-key",
        env = "GENERIC_SSH_HOST_KEY",
        value_name = "SHA256:…|KEY|accept-new"
    )]
    #[serde(rename = "ssh-host-key", default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,

    /// Host to go through
    #[arg(
        id = "generic-jump-host",
        long = "generic-jump-host",
        env = "GENERIC_JUMP_HOST",
        value_name = "[USER@]HOST[:PORT]"
    )]
    #[serde(rename = "jump-host", default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<JumpHost>,

    /// Look the address up in your ssh config (HostName, Port, IdentityFile, ProxyJump)
    #[arg(id = "generic-use-ssh-config", long = "generic-use-ssh-config", env = "GENERIC_USE_SSH_CONFIG", value_parser = clap::builder::BoolishValueParser::new())]
    #[serde(rename = "use-ssh-config", default)]
    pub use_ssh_config: bool,
}

impl Settings {
    /// Where the host is, or the refusal.
    pub(crate) fn address(&self) -> Result<&Address> {
        self.address.as_ref().ok_or_else(|| {
            DriverError::new(ErrorKind::Settings, "driver generic requires the --generic-ip-address option")
                .hint("say which host, as in --generic-ip-address 192.0.2.7, or set GENERIC_IP_ADDRESS")
        })
    }

    /// See [`machine_driver::Driver::settle`].
    pub(crate) fn settled(mut self, working_dir: &Path) -> Result<Self> {
        let address = self.address()?;
        if self.port == self.engine_port {
            return Err(DriverError::new(
                ErrorKind::Settings,
                format!("SSH and the engine cannot both be at port {}", self.port),
            )
            .hint("choose another --generic-engine-port"));
        }
        if self.use_ssh_config && address.ip().is_none() && address.as_str().ends_with('.') {
            return Err(DriverError::new(
                ErrorKind::Settings,
                format!("{} cannot be an alias of an ssh config", address.as_str()),
            )
            .hint("leave out the dot at its end"));
        }
        // An empty GENERIC_SSH_KEY means none, as with docker-machine.
        self.key = self.key.filter(|key| !key.is_empty());
        if let Some(key) = &mut self.key {
            if let Some(rest) = key.strip_prefix("~/") {
                return Err(DriverError::new(ErrorKind::Settings, format!("the shell left {key:?} as it is"))
                    .hint(format!("write --generic-ssh-key \"$HOME/{rest}\"")));
            }
            let path = working_dir.join(&*key);
            *key = path.into_os_string().into_string().map_err(|path| {
                DriverError::new(
                    ErrorKind::Settings,
                    format!("the path of the SSH key is not Unicode: {}", path.display()),
                )
            })?;
        }
        Ok(self)
    }

    /// How to get in.
    pub(crate) fn ssh(&self) -> Result<SshAccess> {
        Ok(SshAccess {
            host: self.address()?.as_str().to_owned(),
            port: self.port,
            user: self.user.as_str().to_owned(),
            identity: self.key.clone().map_or(SshIdentity::Agent, SshIdentity::File),
            jump_host: self.jump_host.as_ref().map(|j| j.as_str().to_owned()),
            use_ssh_config: self.use_ssh_config,
            host_key: self.host_key.as_ref().map(|k| k.as_str().to_owned()),
        })
    }
}

/// Refuses a key file that cannot open anything: missing, a folder, open to others, the public half.
pub(crate) fn check_key(path: &Path) -> Result<()> {
    let name = path.display();
    let refuse = |message: String, hint: String| Err(DriverError::new(ErrorKind::Settings, message).hint(hint));
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return refuse(
                format!("SSH key does not exist: \"{name}\""),
                "name the private key with --generic-ssh-key, or leave the option out to use your agent".to_owned(),
            );
        }
        Err(e) => {
            return Err(
                DriverError::new(ErrorKind::Settings, format!("cannot read the SSH key \"{name}\"")).caused_by(&e)
            );
        }
    };
    if !meta.is_file() {
        return refuse(format!("SSH key is not a file: \"{name}\""), "name the private key itself".to_owned());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return refuse(
                format!("SSH key \"{name}\" can be read by others (mode {mode:04o}), and OpenSSH would not use it"),
                format!("chmod 600 \"{name}\""),
            );
        }
    }
    let text = std::fs::read(path).map_err(|e| {
        DriverError::new(ErrorKind::Settings, format!("cannot read the SSH key \"{name}\"")).caused_by(&e)
    })?;
    if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") {
        return refuse(
            format!("\"{name}\" is the public half of a key"),
            "name the private one, without .pub".to_owned(),
        );
    }
    if !text.windows(11).any(|w| w == b"PRIVATE KEY") {
        return refuse(
            format!("\"{name}\" is not a private SSH key"),
            "OpenSSH and PEM keys are understood".to_owned(),
        );
    }
    Ok(())
}
