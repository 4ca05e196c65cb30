//! `--debug`: what the rooms below trace, on stderr. No secrets are in it: types that hold them do not print.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::env_vars;

/// Starts it, if asked for.
pub(crate) fn start(debug: bool) {
    if !debug && !env_vars::MACHINE_DEBUG.is_true() {
        return;
    }
    // SSH and TLS libraries tell too much, and could tell keys.
    let quiet = ["russh", "rustls", "hyper", "hyper_util", "reqwest", "h2", "tokio"];
    let targets = Targets::new().with_default(Level::DEBUG).with_targets(quiet.map(|target| (target, Level::WARN)));
    let colour = std::io::stderr().is_terminal() && env_vars::NO_COLOR.get_os().is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    // Fails only where a log was started before, which then goes on.
    let _ = tracing_subscriber::registry().with(targets).with(lines).try_init();
}
