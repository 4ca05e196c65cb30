//! The commands, one file each, named as they are typed.
//!
//! Each has its arguments (doc comments are the help text) and a `run`. Those that read the store alone start no runtime;
//! the others go through [`crate::operation`].

pub(crate) mod active;
pub(crate) mod bundle;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod create;
mod create_plan;
pub(crate) mod credentials;
pub(crate) mod doctor;
mod doctor_space;
pub(crate) mod env;
pub(crate) mod forward;
pub(crate) mod gc;
pub(crate) mod image;
mod image_prune;
pub(crate) mod inspect;
pub(crate) mod ip;
pub(crate) mod kill;
pub(crate) mod ls;
pub(crate) mod mount;
pub(crate) mod provision;
pub(crate) mod regenerate_certs;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod scp;
pub(crate) mod set;
pub(crate) mod share;
pub(crate) mod ssh;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod upgrade;
pub(crate) mod url;
pub(crate) mod version;
pub(crate) mod watch;

use clap::ArgMatches;

use crate::cli::Command;
use crate::error::CommandError;
use crate::session::Session;
use crate::settings::Choice;

/// Runs one. `matches` are the command's own; `choice` is `create`'s driver.
pub(crate) fn run(
    session: &Session,
    command: Command,
    matches: &ArgMatches,
    choice: Option<Choice>,
) -> Result<(), CommandError> {
    match command {
        Command::Active(args) => active::run(session, &args),
        Command::Bundle(args) => bundle::run(session, args),
        Command::Completions(args) => completions::run(session, &args),
        Command::Config(args) => config::run(session, &args),
        Command::Create(args) => create::run(session, *args, matches, choice),
        Command::Credentials(args) => credentials::run(session, args),
        Command::Doctor(args) => doctor::run(session, &args),
        Command::Env(args) => env::run(session, &args),
        Command::Forward(args) => forward::run(session, &args),
        Command::Gc(args) => gc::run(session, &args),
        Command::Image(args) => image::run(session, args),
        Command::Inspect(args) => inspect::run(session, &args),
        Command::Ip(args) => ip::run(session, &args),
        Command::Kill(args) => kill::run(session, &args),
        Command::Ls(args) => ls::run(session, &args),
        Command::Mount(args) => mount::run(session, &args),
        Command::Provision(args) => provision::run(session, &args),
        Command::RegenerateCerts(args) => regenerate_certs::run(session, &args),
        Command::Restart(args) => restart::run(session, &args),
        Command::Rm(args) => rm::run(session, &args),
        Command::Scp(args) => scp::run(session, &args),
        Command::Set(args) => set::run(session, *args, matches),
        Command::Share(args) => share::run(session, &args),
        Command::Ssh(args) => ssh::run(session, &args),
        Command::Start(args) => start::run(session, &args),
        Command::Status(args) => status::run(session, &args),
        Command::Stop(args) => stop::run(session, &args),
        Command::Upgrade(args) => upgrade::run(session, &args),
        Command::Url(args) => url::run(session, &args),
        Command::Version(args) => version::run(session, &args),
        Command::Watch(args) => watch::run(session, &args),
    }
}
