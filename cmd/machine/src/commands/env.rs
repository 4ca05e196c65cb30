//! `machine env`: what points this shell's docker client at a machine.

use clap::builder::PossibleValuesParser;
use machine_provision::client;
use machine_templates::env::{EnvVars, Shell, VARIABLES, render_env, render_unset};

use crate::env_vars;
use crate::error::CommandError;
use crate::names::OneName;
use crate::session::{Machine, Session};

/// Print the commands that point this shell's docker client at a machine: eval $(machine env NAME)
#[derive(Debug, clap::Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    name: OneName,
    /// Shell to write for [default: that of SHELL]
    #[arg(long, value_parser = PossibleValuesParser::new(Shell::NAMES.iter().copied().chain(["pwsh", "csh", "nu", "dash", "ksh"])), hide_possible_values = true, value_name = "bash|zsh|sh|fish|powershell|cmd|tcsh|emacs|nushell")]
    shell: Option<String>,
    /// Unset the variables
    #[arg(short, long, conflicts_with = "name")]
    unset: bool,
    /// Add the machine's address to NO_PROXY
    #[arg(long)]
    no_proxy: bool,
}

pub(crate) fn run(session: &Session, args: &EnvArgs) -> Result<(), CommandError> {
    let shell = shell(args.shell.as_deref())?;
    let command = command_line(session, shell);
    let (no_proxy_name, no_proxy) = no_proxy_now();
    let text = if args.unset {
        let mut names: Vec<String> = VARIABLES.iter().map(|name| (*name).to_owned()).collect();
        if !cfg!(windows) {
            names.retain(|name| name != "COMPOSE_CONVERT_WINDOWS_PATHS");
        }
        if args.no_proxy {
            names.push(no_proxy_name.to_owned());
        }
        render_unset(shell, &names, &command)
    } else {
        let machine = session.machine(args.name.name.as_deref())?.reachable()?;
        let mut vars = EnvVars { set: client::env_vars(&machine.record, &machine.paths)?, unset: Vec::new() };
        // Left over from another machine, they would spoil a URL without TLS.
        let tls = ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];
        vars.unset
            .extend(tls.iter().filter(|name| vars.set.iter().all(|(set, _)| set != *name)).map(ToString::to_string));
        if cfg!(windows) {
            vars.set.push(("COMPOSE_CONVERT_WINDOWS_PATHS".to_owned(), "true".to_owned()));
        }
        if args.no_proxy {
            vars.set.push((no_proxy_name.to_owned(), with_host(&no_proxy, host(&machine)?)));
        }
        render_env(shell, &vars, &command)
    };
    session
        .out
        .text(&text.map_err(|e| CommandError::failure("cannot write the settings for this shell").caused_by(&e))?)
}

fn shell(typed: Option<&str>) -> Result<Shell, CommandError> {
    let hint = "name it with --shell: bash, zsh, sh, fish, powershell, cmd, tcsh, emacs or nushell";
    let unknown = |e: &machine_templates::TemplateError| {
        CommandError::usage("cannot tell which shell this is").caused_by(e).hint(hint)
    };
    match (typed, env_vars::SHELL.get()) {
        (Some(name), _) => name.parse().map_err(|e| unknown(&e)),
        (None, Some(path)) => Shell::detect(&path).map_err(|e| unknown(&e)),
        (None, None) if cfg!(windows) => Ok(Shell::Powershell),
        (None, None) => Err(CommandError::usage("cannot tell which shell this is: SHELL is not set").hint(hint)),
    }
}

fn host(machine: &Machine) -> Result<&str, CommandError> {
    Ok(&machine.record.endpoint.as_ref().ok_or_else(|| machine.unfinished())?.host)
}

/// The variable that is in use, as curl and Go see it, and its value.
fn no_proxy_now() -> (&'static str, String) {
    match env_vars::NO_PROXY_LOWER.get() {
        Some(value) => (env_vars::NO_PROXY_LOWER.name, value),
        None => (env_vars::NO_PROXY.name, env_vars::NO_PROXY.get().unwrap_or_default()),
    }
}

/// The list with the host in it, once.
fn with_host(list: &str, host: &str) -> String {
    if list.is_empty() {
        host.to_owned()
    } else if list.split(',').any(|entry| entry.trim() == host) {
        list.to_owned()
    } else {
        format!("{list},{host}")
    }
}

/// What the user typed, to be typed again inside the shell's `eval`.
fn command_line(session: &Session, shell: Shell) -> String {
    let words: Vec<String> = session.argv.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match shell {
        Shell::Posix | Shell::Fish | Shell::Tcsh | Shell::Nushell => {
            shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| "machine env NAME".to_owned())
        }
        Shell::Powershell | Shell::Cmd | Shell::Emacs => words
            .iter()
            .map(|word| if word.contains([' ', '\\']) { format!("\"{word}\"") } else { word.clone() })
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_list_holds_the_host_once() {
        assert_eq!(with_host("", "10.0.0.1"), "10.0.0.1");
        assert_eq!(with_host("a,b", "10.0.0.1"), "a,b,10.0.0.1");
        assert_eq!(with_host("a, 10.0.0.1", "10.0.0.1"), "a, 10.0.0.1");
        // Not a part of a longer address.
        assert_eq!(with_host("10.0.0.10", "10.0.0.1"), "10.0.0.10,10.0.0.1");
    }
}
