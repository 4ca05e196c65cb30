//! The driver's flags: docker-machine's, and those it lacked.

use std::path::Path;

use machine_driver::{Diagnostic, Kind, Result, SshAccess, SshClient, SshIdentity};
use serde::{Deserialize, Serialize};

use crate::{Address, HostKey, JumpHost, UserName};

/// What the user may set.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Address of the host: IPv4, IPv6 or a DNS name
    // Required; refused in `normalize`, where the driver's own words can be said.
    #[arg(long, env, value_name = "HOST")]
    pub ip_address: Option<Address>,

    /// SSH user: root, or one with password-less sudo
    #[arg(long, env, value_name = "USER", default_value = "root")]
    pub ssh_user: UserName,

    /// Private key to log in with; used where it is, never copied [default: the SSH agent, then your default keys]
    #[arg(long, env, value_name = "FILE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,

    /// SSH port
    #[arg(long, env, value_name = "PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    pub ssh_port: u16,

    /// Port for the Docker engine to listen on, with TLS
    #[arg(long, env, value_name = "PORT", default_value_t = 2376, value_parser = clap::value_parser!(u16).range(1..))]
    pub engine_port: u16,

    /// How to know the host: its fingerprint (SHA256:…), its public key, or accept-new to trust it at first sight
    /// [default: your known_hosts]
    #[arg(long, env, value_name = "SHA256:…|KEY|accept-new")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_host_key: Option<HostKey>,

    /// Host to go through; several, nearest first, with commas between
    #[arg(long, env, value_name = "[USER@]HOST[:PORT]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_host: Option<JumpHost>,

    /// Look the address up in your ssh config
    #[arg(long, env)]
    #[serde(default)]
    pub use_ssh_config: bool,

    /// What makes SSH connections: auto is the built-in client, and your own ssh where your ssh config says what that client
    /// does not do
    #[arg(long, env, value_enum, default_value = "auto")]
    // Not written where it says nothing: a machine of before has the same settings as one of now.
    #[serde(default, skip_serializing_if = "Transport::is_auto")]
    pub ssh_transport: Transport,
}

/// What makes SSH connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// What fits.
    #[default]
    Auto,
    /// The user's own OpenSSH.
    // The program's name is one word.
    #[value(name = "openssh")]
    OpenSsh,
}

impl Transport {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_auto(&self) -> bool {
        *self == Self::Auto
    }
}

impl Settings {
    /// Where the host is, or the refusal.
    pub(crate) fn address(&self) -> Result<&Address> {
        self.ip_address.as_ref().ok_or_else(|| {
            Diagnostic::new(Kind::Usage, "driver generic requires the --generic-ip-address option")
                .hint("say which host, as in --generic-ip-address 192.0.2.7, or set GENERIC_IP_ADDRESS")
        })
    }

    /// See [`machine_driver::Driver::normalize`].
    pub(crate) fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        let address = self.address()?;
        if self.ssh_port == self.engine_port {
            return Err(Diagnostic::new(
                Kind::Usage,
                format!("SSH and the engine cannot both be at port {}", self.ssh_port),
            )
            .hint("choose another --generic-engine-port"));
        }
        if self.use_ssh_config && address.ip().is_none() && address.as_str().ends_with('.') {
            return Err(Diagnostic::new(
                Kind::Usage,
                format!("{} cannot be an alias of an ssh config", address.as_str()),
            )
            .hint("leave out the dot at its end"));
        }
        // An empty GENERIC_SSH_KEY means none, as with docker-machine.
        self.ssh_key = self.ssh_key.filter(|key| !key.is_empty());
        if let Some(key) = &mut self.ssh_key {
            if let Some(rest) = key.strip_prefix("~/") {
                return Err(Diagnostic::new(Kind::Usage, format!("the shell left {key:?} as it is"))
                    .hint(format!("write --generic-ssh-key \"$HOME/{rest}\"")));
            }
            let path = working_dir.join(&*key);
            *key = path.into_os_string().into_string().map_err(|path| {
                Diagnostic::new(Kind::Usage, format!("the path of the SSH key is not Unicode: {}", path.display()))
            })?;
        }
        Ok(self)
    }

    /// How to get in.
    pub(crate) fn ssh(&self) -> Result<SshAccess> {
        Ok(SshAccess {
            host: self.address()?.as_str().to_owned(),
            port: self.ssh_port,
            user: self.ssh_user.as_str().to_owned(),
            identity: self.ssh_key.clone().map_or(SshIdentity::Agent, SshIdentity::File),
            jump_host: self.jump_host.as_ref().map(|j| j.as_str().to_owned()),
            use_ssh_config: self.use_ssh_config,
            host_key: self.ssh_host_key.as_ref().map(|k| k.as_str().to_owned()),
            client: match self.ssh_transport {
                Transport::Auto => SshClient::Fitting,
                Transport::OpenSsh => SshClient::OpenSsh,
            },
        })
    }
}

/// Refuses a key file that cannot open anything: missing, a folder, open to others, the public half.
pub(crate) fn check_key(path: &Path) -> Result<()> {
    let name = path.display();
    let refuse = |message: String, hint: String| Err(Diagnostic::new(Kind::Usage, message).hint(hint));
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return refuse(
                format!("SSH key does not exist: \"{name}\""),
                "name the private key with --generic-ssh-key, or leave the option out to use your agent".to_owned(),
            );
        }
        Err(e) => {
            return Err(Diagnostic::new(Kind::Usage, format!("cannot read the SSH key \"{name}\"")).caused_by(&e));
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
    let text = std::fs::read(path)
        .map_err(|e| Diagnostic::new(Kind::Usage, format!("cannot read the SSH key \"{name}\"")).caused_by(&e))?;
    if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-") {
        return refuse(
            format!("\"{name}\" is the public half of a key"),
            "name the private one, without .pub".to_owned(),
        );
    }
    if text.contains(&b'\r') {
        return refuse(
            format!("SSH key \"{name}\" has Windows line ends, and OpenSSH would not read it"),
            format!("sed -i 's/\\r$//' \"{name}\""),
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
