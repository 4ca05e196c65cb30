//! The tie between a file under `files/` and its struct.

use crate::{Result, TemplateError};

/// A text file with its values. Implemented by the struct that stands beside each file under `files/`.
pub trait TextFile: askama::Template {
    /// The path below `files/`.
    const FILE: &'static str;

    /// Returns the text, with its last newline.
    ///
    /// # Errors
    /// A value that the file's language cannot hold, such as a NUL in a shell script or a line break in an ssh_config.
    fn text(&self) -> Result<String> {
        let mut text = self.render().map_err(|_| TemplateError::Unquotable {
            file: Self::FILE,
            what: "a value".to_owned(),
            why: crate::escape::refusal(Self::FILE),
        })?;
        // askama drops a file's last newline.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

macro_rules! files {
    ($($ty:ty = $path:literal,)*) => {
        $(impl TextFile for $ty { const FILE: &'static str = $path; })*

        /// Every file under `files/`, in order; a test compares with the folder.
        pub const FILES: &[&str] = &[$($path),*];
    };
}

use crate::{client, env, host, remote};

files! {
    client::SshConfig<'_> = "client/host.ssh_config",
    env::CmdUnset<'_> = "env/cmd-unset.bat",
    env::CmdSet<'_> = "env/cmd.bat",
    env::EmacsUnset<'_> = "env/emacs-unset.el",
    env::EmacsSet<'_> = "env/emacs.el",
    env::FishUnset<'_> = "env/fish-unset.fish",
    env::FishSet<'_> = "env/fish.fish",
    env::NushellUnset<'_> = "env/nushell-unset.nuon",
    env::NushellSet<'_> = "env/nushell.nuon",
    env::PosixUnset<'_> = "env/posix-unset.sh",
    env::PosixSet<'_> = "env/posix.sh",
    env::PowershellUnset<'_> = "env/powershell-unset.ps1",
    env::PowershellSet<'_> = "env/powershell.ps1",
    env::TcshUnset<'_> = "env/tcsh-unset.csh",
    env::TcshSet<'_> = "env/tcsh.csh",
    host::AdoptDropIn = "host/adopt.conf",
    host::ContainerdService = "host/containerd.service",
    host::ContainerdConfig<'_> = "host/containerd.toml",
    host::DockerService<'_> = "host/docker.service",
    host::DockerSocket<'_> = "host/docker.socket",
    host::EngineEnvironment<'_> = "host/engine.env",
    remote::ApplyEngine = "remote/apply_engine.sh",
    remote::CheckBundle<'_> = "remote/check_bundle.sh",
    remote::CheckFiles<'_> = "remote/check_files.sh",
    remote::Claim<'_> = "remote/claim.sh",
    remote::EngineHealth = "remote/engine_health.sh",
    remote::Facts = "remote/facts.sh",
    remote::HostKeyDrop = "remote/host_key_drop.sh",
    remote::HostKeyInstall = "remote/host_key_install.sh",
    remote::HostKeyMake = "remote/host_key_make.sh",
    remote::HostListeners<'_> = "remote/host_listeners.sh",
    remote::InstallFiles<'_> = "remote/install_files.sh",
    remote::MountShares<'_> = "remote/mount_shares.sh",
    remote::Prelude<'_> = "remote/prelude.sh",
    remote::Release<'_> = "remote/release.sh",
    remote::SetClock = "remote/set_clock.sh",
    remote::SwitchEngine<'_> = "remote/switch_engine.sh",
    remote::Uninstall<'_> = "remote/uninstall.sh",
    remote::UnpackBundle<'_> = "remote/unpack_bundle.sh",
    remote::ValidateEngine<'_> = "remote/validate_engine.sh",
}
