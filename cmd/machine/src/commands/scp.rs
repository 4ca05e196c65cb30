//! `machine scp`: copies files with the user's own scp or rsync.

use std::ffi::OsString;
use std::path::PathBuf;

use machine_provision::client;

use crate::error::CommandError;
use crate::external;
use crate::session::{Machine, Session};

/// Copy files between this computer and machines, or between machines
#[derive(Debug, clap::Args)]
pub(crate) struct ScpArgs {
    /// Folders, too, with what is in them
    #[arg(short, long)]
    recursive: bool,
    /// Send only what differs (with rsync)
    #[arg(short, long)]
    delta: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// Where from: PATH, or [USER@]NAME:PATH
    #[arg(value_name = "SOURCE")]
    from: String,
    /// Where to: PATH, or [USER@]NAME:PATH
    #[arg(value_name = "TARGET")]
    to: String,
}

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Here(String),
    There { user: Option<String>, machine: String, path: String },
}

pub(crate) fn run(session: &Session, args: &ScpArgs) -> Result<(), CommandError> {
    let ends = [parse(&args.from), parse(&args.to)];
    let mut machines: Vec<Machine> = Vec::new();
    for end in &ends {
        if let End::There { machine, .. } = end {
            let machine = session.machine(Some(machine))?.reachable()?;
            // Says why where the machine has no SSH, or not yet.
            client::ssh_argv(&machine.record, &machine.paths)?;
            if machines.iter().all(|known| known.name != machine.name) {
                machines.push(machine);
            }
        }
    }
    let config = match machines.as_slice() {
        [] => {
            return Err(
                CommandError::usage("neither side is a machine").hint("write NAME:PATH for a file on a machine")
            );
        }
        [one] => SshConfig { path: one.paths.ssh_config(), temporary: false },
        several => SshConfig::of(several)?,
    };
    let mut argv = if args.delta { rsync(args, &ends, &config)? } else { scp(args, &ends, &config)? };
    argv.extend(ends.iter().map(|end| OsString::from(end.to_string())));
    if !config.temporary {
        return Err(external::exec_program(&argv));
    }
    match external::wait_for(&argv)? {
        0 => Ok(()),
        code => Err(CommandError::exit(code)),
    }
}

fn scp(args: &ScpArgs, ends: &[End; 2], config: &SshConfig) -> Result<Vec<OsString>, CommandError> {
    if !external::find("scp") {
        return Err(external::missing("scp", "`machine scp`"));
    }
    let mut argv: Vec<OsString> = vec!["scp".into(), "-F".into(), config.path.clone().into()];
    if ends.iter().all(|end| matches!(end, End::There { .. })) {
        argv.push("-3".into());
    }
    argv.extend(args.recursive.then(|| "-r".into()));
    argv.extend(args.quiet.then(|| "-q".into()));
    argv.push("--".into());
    Ok(argv)
}

fn rsync(args: &ScpArgs, ends: &[End; 2], config: &SshConfig) -> Result<Vec<OsString>, CommandError> {
    if !external::find("rsync") {
        return Err(external::missing("rsync", "`machine scp --delta`"));
    }
    if ends.iter().all(|end| matches!(end, End::There { .. })) {
        return Err(CommandError::usage("rsync cannot copy from one machine to another").hint("leave out `--delta`"));
    }
    let path = config.path.to_string_lossy();
    let shell = shlex::try_join(["ssh", "-F", &*path])
        .map_err(|e| CommandError::failure("the store's path cannot be given to rsync").caused_by(&e))?;
    let mut argv: Vec<OsString> = vec!["rsync".into(), "-e".into(), shell.into()];
    argv.extend((!args.quiet).then(|| "--progress".into()));
    argv.extend(args.recursive.then(|| "-r".into()));
    argv.push("--".into());
    Ok(argv)
}

/// `[user@]name:path`, where the part before the colon holds no slash and is no drive letter; `localhost:` is here.
fn parse(text: &str) -> End {
    let here = || End::Here(text.to_owned());
    let Some((host, path)) = text.split_once(':') else { return here() };
    let drive = cfg!(windows) && host.len() == 1;
    if host.is_empty() || host.contains(['/', '\\']) || drive {
        return here();
    }
    let (user, machine) = match host.split_once('@') {
        Some((user, machine)) => (Some(user.to_owned()), machine.to_owned()),
        None => (None, host.to_owned()),
    };
    if machine == "localhost" {
        return End::Here(path.to_owned());
    }
    End::There { user, machine, path: path.to_owned() }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // A local name with a colon must not look like a host.
            Self::Here(path) if path.contains(':') && !path.starts_with(['/', '.']) => write!(f, "./{path}"),
            Self::Here(path) => f.write_str(path),
            Self::There { user: Some(user), machine, path } => write!(f, "{user}@{machine}:{path}"),
            Self::There { user: None, machine, path } => write!(f, "{machine}:{path}"),
        }
    }
}

/// The ssh_config of one machine, or a file of two, which goes away with this value.
struct SshConfig {
    path: PathBuf,
    temporary: bool,
}

impl SshConfig {
    fn of(machines: &[Machine]) -> Result<Self, CommandError> {
        let mut text = String::new();
        for machine in machines {
            text.extend([&client::ssh_config(&machine.record, &machine.paths)?, "\n"]);
        }
        let dir = crate::world::runtime_dir()?;
        machine_base::files::create_dir_private(&dir)?;
        let path = dir.join(format!("scp-{}.ssh_config", std::process::id()));
        machine_base::files::write(&path, text.as_bytes(), machine_base::files::Mode::Private)?;
        Ok(Self { path, temporary: true })
    }
}

impl Drop for SshConfig {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        let there = |user: Option<&str>, machine: &str, path: &str| End::There {
            user: user.map(str::to_owned),
            machine: machine.to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(parse("web-1:/etc/hosts"), there(None, "web-1", "/etc/hosts"));
        assert_eq!(parse("root@web-1:x:y"), there(Some("root"), "web-1", "x:y"));
        assert_eq!(parse("web-1:"), there(None, "web-1", ""));
        assert_eq!(parse("./a:b"), End::Here("./a:b".into()));
        assert_eq!(parse("/x/a:b"), End::Here("/x/a:b".into()));
        assert_eq!(parse("localhost:a"), End::Here("a".into()));
        assert_eq!(parse("file"), End::Here("file".into()));
    }

    #[test]
    fn a_local_colon_stays_local() {
        assert_eq!(End::Here("a:b".into()).to_string(), "./a:b");
        assert_eq!(parse("root@web-1:x").to_string(), "root@web-1:x");
    }
}
