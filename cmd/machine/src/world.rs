//! The world an operation gets: store, caches, the user's files, drivers, and where events go.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use machine_engine::{BuildEnv, Cache};
use machine_host::Store;
use machine_host::tls::CaPaths;
use machine_provision::{Ask, Cancel, HostKeyQuestion, Secrets, UserFiles, World};

use crate::commands::credentials::resolve_env;
use crate::drivers::BuiltIn;
use crate::env_vars::{self, EnvVar};
use crate::error::CommandError;
use crate::report::{Report, ReportArgs};
use crate::session::Session;

/// A question stands on the terminal: a signal then ends the program at once.
pub(crate) static ASKING: AtomicBool = AtomicBool::new(false);

/// Builds it.
pub(crate) fn build(
    session: &Session,
    store: Store,
    report: &Report,
    args: &ReportArgs,
    cancel: Cancel,
) -> Result<World, CommandError> {
    Ok(World {
        ca: ca_paths(session, &store)?,
        secrets: secrets(&store, report)?,
        drivers: Arc::new(BuiltIn),
        bundles: bundles()?,
        build: build_env(session)?,
        user: user_files()?,
        cache_dir: cache_dir()?,
        data_dir: crate::session::data_dir()?,
        runtime_dir: runtime_dir()?,
        working_dir: working_dir()?,
        program: std::env::current_exe()
            .map_err(|e| CommandError::failure("cannot find this program's own file").caused_by(&e))?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        lock_wait: args.wait.unwrap_or(machine_host::lock::WAIT),
        command: command_words(session),
        ask: Arc::new(Terminal { report: report.clone() }),
        events: report.sink(),
        cancel,
        store,
    })
}

/// What fetches drivers' secrets.
fn secrets(store: &Store, report: &Report) -> Result<Secrets, CommandError> {
    let asking = resolve_env(store, true, Some(report));
    Ok(Secrets::new(asking, resolve_env(store, false, None), working_dir()?, home().ok()))
}

/// The CA and client pair: in the store, unless options name others.
fn ca_paths(session: &Session, store: &Store) -> Result<CaPaths, CommandError> {
    let mut paths = CaPaths::in_store(store.paths());
    let here = working_dir()?;
    let global = &session.global;
    for (typed, path) in [
        (&global.tls_ca_cert, &mut paths.ca_cert),
        (&global.tls_ca_key, &mut paths.ca_key),
        (&global.tls_client_cert, &mut paths.client_cert),
        (&global.tls_client_key, &mut paths.client_key),
    ] {
        if let Some(typed) = typed {
            *path = here.join(typed);
        }
    }
    Ok(paths)
}

/// The engine bundles kept on this computer.
pub(crate) fn bundles() -> Result<Cache, CommandError> {
    Ok(Cache::new(cache_dir()?.join("engines")))
}

/// The guest disks kept on this computer.
pub(crate) fn disks() -> Result<machine_guest::Disks, CommandError> {
    let mirror = mirror(env_vars::MACHINE_DEBIAN_MIRROR)?.map(String::from);
    Ok(machine_guest::Disks::new(&cache_dir()?).with_mirror(mirror))
}

/// What building a bundle may use.
pub(crate) fn build_env(session: &Session) -> Result<BuildEnv, CommandError> {
    let mut env = BuildEnv::new();
    env.debian_mirror = mirror(env_vars::MACHINE_DEBIAN_MIRROR)?;
    if let Some(base) = mirror(env_vars::MACHINE_DOCKER_MIRROR)? {
        env.docker_repo.base = base;
    }
    env.holder = command_words(session);
    Ok(env)
}

fn mirror(variable: EnvVar) -> Result<Option<reqwest::Url>, CommandError> {
    let Some(text) = variable.get() else { return Ok(None) };
    let url = text
        .parse()
        .map_err(|e| CommandError::usage(format!("{} is not a URL: {text}", variable.name)).caused_by(&e))?;
    Ok(Some(url))
}

/// Short folder for sockets and the like, ours alone.
pub(crate) fn runtime_dir() -> Result<PathBuf, CommandError> {
    match env_vars::XDG_RUNTIME_DIR.get_os() {
        Some(dir) => Ok(PathBuf::from(dir).join("machine")),
        None => Ok(cache_dir()?.join("run")),
    }
}

/// The user's home folder.
pub(crate) fn home() -> Result<PathBuf, CommandError> {
    etcetera::home_dir()
        .map_err(|e| CommandError::failure("cannot find the home folder").caused_by(&e).hint("set HOME"))
}

/// Shared downloads.
pub(crate) fn cache_dir() -> Result<PathBuf, CommandError> {
    use etcetera::BaseStrategy as _;
    let base = etcetera::choose_base_strategy().map_err(|e| {
        CommandError::failure("cannot find the cache folder").caused_by(&e).hint("set HOME or XDG_CACHE_HOME")
    })?;
    Ok(base.cache_dir().join("machine"))
}

/// Relative paths of the user's start here.
pub(crate) fn working_dir() -> Result<PathBuf, CommandError> {
    std::env::current_dir().map_err(|e| CommandError::failure("cannot find the working folder").caused_by(&e))
}

/// Words for "busy" messages, which end up in lock files: what was typed before any option, for options have values, and
/// values may be secret.
fn command_words(session: &Session) -> String {
    let typed = session.argv.iter().skip(1).map(|word| word.to_string_lossy().into_owned());
    let names = typed.take_while(|word| !word.starts_with('-')).take(3);
    std::iter::once(session.program().to_owned()).chain(names).collect::<Vec<_>>().join(" ")
}

/// The user's own files.
pub(crate) fn user_files() -> Result<UserFiles, CommandError> {
    let home = home()?;
    let ssh_dir = home.join(".ssh");
    Ok(UserFiles {
        login: env_vars::USER.get().unwrap_or_else(|| "root".to_owned()),
        known_hosts: vec![
            ssh_dir.join("known_hosts"),
            ssh_dir.join("known_hosts2"),
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts2"),
        ],
        ssh_dir,
        agent_socket: env_vars::SSH_AUTH_SOCK.get_os().map(PathBuf::from),
        docker_config: env_vars::DOCKER_CONFIG.get_os().map_or_else(|| home.join(".docker"), PathBuf::from),
        home,
    })
}

/// Asks on the terminal; answers nothing where there is none.
struct Terminal {
    report: Report,
}

impl Ask for Terminal {
    fn trust_host_key(&self, question: &HostKeyQuestion) -> Option<bool> {
        let HostKeyQuestion { address, algorithm, fingerprint } = question;
        let text = format!(
            "The host key of {address} is not known yet:\n  {algorithm} {fingerprint}\nTrust it, now and from now on? (y/n): "
        );
        self.report.suspend(|| confirm(&text)).flatten()
    }

    fn attended(&self) -> bool {
        can_ask()
    }
}

/// Whether somebody is there who could answer.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a question on the terminal: `Some(true)` for an answer that begins with y; `None` where nobody can answer.
pub(crate) fn confirm(question: &str) -> Option<bool> {
    if !can_ask() {
        return None;
    }
    let mut err = std::io::stderr().lock();
    err.write_all(crate::output::visible::lines(question).as_bytes()).and_then(|()| err.flush()).ok()?;
    drop(err);
    ASKING.store(true, Ordering::SeqCst);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    ASKING.store(false, Ordering::SeqCst);
    match read {
        Ok(0) | Err(_) => Some(false),
        Ok(_) => Some(answer.trim_start().starts_with(['y', 'Y'])),
    }
}
