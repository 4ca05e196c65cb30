//! The command tree, one enum. What each command does is in [`crate::commands`], one file each.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;
use crate::env_vars as vars;

/// Make Docker hosts anywhere, and point the docker client at them
#[derive(Debug, Parser)]
#[command(
    name = "machine",
    version,
    disable_version_flag = true,
    subcommand_required = true,
    max_term_width = 110,
    after_help = "`machine help COMMAND` says more. A command without a NAME acts on the machine called \"default\"."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Folder that holds the records of machines [default: `machine` in the data folder]
    #[arg(short, long, global = true, value_name = "DIR", env = vars::MACHINE_STORAGE_PATH.name)]
    pub(crate) storage_path: Option<PathBuf>,
    /// Print what is done, in detail, on standard error; no secrets [env: MACHINE_DEBUG=1]
    #[arg(short = 'D', long, global = true)]
    pub(crate) debug: bool,
    /// CA certificate, for a CA of your own
    #[arg(long, global = true, value_name = "FILE", env = vars::MACHINE_TLS_CA_CERT.name, hide_short_help = true)]
    pub(crate) tls_ca_cert: Option<PathBuf>,
    /// Key of that CA
    #[arg(long, global = true, value_name = "FILE", env = vars::MACHINE_TLS_CA_KEY.name, hide_short_help = true)]
    pub(crate) tls_ca_key: Option<PathBuf>,
    /// Client certificate of that CA
    #[arg(long, global = true, value_name = "FILE", env = vars::MACHINE_TLS_CLIENT_CERT.name, hide_short_help = true)]
    pub(crate) tls_client_cert: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, global = true, value_name = "FILE", env = vars::MACHINE_TLS_CLIENT_KEY.name, hide_short_help = true)]
    pub(crate) tls_client_key: Option<PathBuf>,
    /// Print the version
    #[arg(short = 'v', short_alias = 'V', long, action = ArgAction::Version)]
    version: Option<bool>,
    // Of docker-machine; scripts still pass them, and they mean nothing here.
    #[arg(long, global = true, hide = true)]
    native_ssh: bool,
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    github_api_token: Option<String>,
    #[arg(long, global = true, hide = true, value_name = "TOKEN")]
    bugsnag_api_token: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Active(commands::active::ActiveArgs),
    Bundle(commands::bundle::BundleArgs),
    Completions(commands::completions::CompletionsArgs),
    Config(commands::config::ConfigArgs),
    Create(Box<commands::create::CreateArgs>),
    Credentials(commands::credentials::CredentialsArgs),
    Doctor(commands::doctor::DoctorArgs),
    Env(commands::env::EnvArgs),
    Forward(commands::forward::ForwardArgs),
    Gc(commands::gc::GcArgs),
    Image(commands::image::ImageArgs),
    Inspect(commands::inspect::InspectArgs),
    Ip(commands::ip::IpArgs),
    Kill(commands::kill::KillArgs),
    Ls(commands::ls::LsArgs),
    Mount(commands::mount::MountArgs),
    Provision(commands::provision::ProvisionArgs),
    RegenerateCerts(commands::regenerate_certs::RegenerateCertsArgs),
    Restart(commands::restart::RestartArgs),
    Rm(commands::rm::RmArgs),
    Scp(commands::scp::ScpArgs),
    Set(Box<commands::set::SetArgs>),
    Share(commands::share::ShareArgs),
    Ssh(commands::ssh::SshArgs),
    Start(commands::start::StartArgs),
    Status(commands::status::StatusArgs),
    Stop(commands::stop::StopArgs),
    Upgrade(commands::upgrade::UpgradeArgs),
    Url(commands::url::UrlArgs),
    Version(commands::version::VersionArgs),
    Watch(commands::watch::WatchArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn help(command: &mut clap::Command, name: &str, all: &mut String) {
        let text = command.clone().term_width(100).render_long_help().to_string();
        all.extend(["━━━ ", name, "\n", &text, "\n"]);
        for child in command.get_subcommands_mut() {
            let name = format!("{name} {}", child.get_name());
            help(child, &name, all);
        }
    }

    #[test]
    fn help_of_every_command() {
        let mut tree = crate::settings::without_empty_variables(Cli::command());
        tree.build();
        let mut all = String::new();
        help(&mut tree, "machine", &mut all);
        insta::assert_snapshot!(all);
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
