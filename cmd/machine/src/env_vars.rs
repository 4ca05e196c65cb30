//! Every environment variable this program reads, in one list.
//!
//! An empty variable counts as unset. Drivers' own variables stand beside their flags (`create --help -d DRIVER`).

use std::ffi::OsString;

/// A variable's name and what it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvVar {
    /// The name.
    pub(crate) name: &'static str,
    /// For docs/environment.md, which a test compares with this list.
    #[cfg(test)]
    pub(crate) about: &'static str,
}

macro_rules! variables {
    ($($(#[doc = $about:literal])+ $name:ident = $text:literal;)*) => {
        $(
            $(#[doc = $about])+
            pub(crate) const $name: EnvVar = EnvVar {
                name: $text,
                #[cfg(test)]
                about: concat!($($about),+),
            };
        )*
        /// All of them.
        #[cfg(test)]
        pub(crate) const ALL: &[EnvVar] = &[$($name),*];
    };
}

variables! {
    /// Folder of the store, as `--storage-path`.
    MACHINE_STORAGE_PATH = "MACHINE_STORAGE_PATH";
    /// Driver of `create`, as `--driver`.
    MACHINE_DRIVER = "MACHINE_DRIVER";
    /// `1` or `true`: debug output, as `--debug`.
    MACHINE_DEBUG = "MACHINE_DEBUG";
    /// CA certificate, as `--tls-ca-cert`.
    MACHINE_TLS_CA_CERT = "MACHINE_TLS_CA_CERT";
    /// CA key, as `--tls-ca-key`.
    MACHINE_TLS_CA_KEY = "MACHINE_TLS_CA_KEY";
    /// Client certificate, as `--tls-client-cert`.
    MACHINE_TLS_CLIENT_CERT = "MACHINE_TLS_CLIENT_CERT";
    /// Client key, as `--tls-client-key`.
    MACHINE_TLS_CLIENT_KEY = "MACHINE_TLS_CLIENT_KEY";
    /// How progress is shown, as `--progress`.
    MACHINE_PROGRESS = "MACHINE_PROGRESS";
    /// Config file to read instead of `machine/config.yaml` in the config folder.
    MACHINE_CONFIG = "MACHINE_CONFIG";
    /// Debian archive to build bundles and images from, e.g. an internal mirror; else the computer's apt sources are used.
    MACHINE_DEBIAN_MIRROR = "MACHINE_DEBIAN_MIRROR";
    /// Docker's apt repository to build bundles from, e.g. an internal mirror.
    MACHINE_DOCKER_MIRROR = "MACHINE_DOCKER_MIRROR";
    /// Where the passphrase of the encrypted file of credentials is: `file:PATH`, `env:VAR`, `command:…`.
    MACHINE_CREDENTIALS_PASSPHRASE = "MACHINE_CREDENTIALS_PASSPHRASE";
    /// Registry mirror for the engine, as `--engine-registry-mirror`; several are separated by commas.
    ENGINE_REGISTRY_MIRROR = "ENGINE_REGISTRY_MIRROR";
    /// What `active` and `ls` compare machines' URLs with.
    DOCKER_HOST = "DOCKER_HOST";
    /// Folder of the docker client's settings, where contexts are written; else `~/.docker`.
    DOCKER_CONFIG = "DOCKER_CONFIG";
    /// Base name decides the shell of `env` where `--shell` is not given.
    SHELL = "SHELL";
    /// What `env --no-proxy` adds to.
    NO_PROXY = "NO_PROXY";
    /// The same; used where set.
    NO_PROXY_LOWER = "no_proxy";
    /// Anything: no colours.
    NO_COLOR = "NO_COLOR";
    /// `dumb`: no live view.
    TERM = "TERM";
    /// Socket of the SSH agent, for machines whose key it holds.
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK";
    /// Login name here, used where an SSH setting names none.
    USER = "USER";
    /// Folder for sockets.
    XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR";
    /// Where programs are looked for.
    PATH = "PATH";
}

impl EnvVar {
    /// Its value, unless unset, empty or not UTF-8.
    pub(crate) fn get(self) -> Option<String> {
        self.get_os().and_then(|value| value.into_string().ok())
    }

    /// Its value as the system has it, unless unset or empty.
    pub(crate) fn get_os(self) -> Option<OsString> {
        std::env::var_os(self.name).filter(|value| !value.is_empty())
    }

    /// Whether it means yes. Go's words for true.
    pub(crate) fn is_true(self) -> bool {
        self.get().is_some_and(|value| matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_documented() {
        let page = include_str!("../../../docs/environment.md");
        for variable in ALL {
            let row = format!("| `{}` | {} |\n", variable.name, variable.about.trim());
            assert!(page.contains(&row), "docs/environment.md lacks: {row}");
        }
    }
}
