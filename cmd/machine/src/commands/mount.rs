//! `machine mount`: a folder of a machine, on this computer, with sshfs.

use std::ffi::OsString;

use machine_provision::client;

use crate::error::CommandError;
use crate::external;
use crate::session::Session;

/// Mount a machine's folder here, with sshfs
#[derive(Debug, clap::Args)]
pub(crate) struct MountArgs {
    /// Folder there: [NAME:]PATH
    #[arg(value_name = "[NAME:]PATH")]
    folder: String,
    /// Folder here [default: the same path]
    #[arg(value_name = "DIR")]
    dir: Option<String>,
    /// Unmount it
    #[arg(short, long)]
    unmount: bool,
}

pub(crate) fn run(session: &Session, args: &MountArgs) -> Result<(), CommandError> {
    let (name, path) = match args.folder.split_once(':') {
        Some((name, path)) => (Some(name), path),
        None => (None, args.folder.as_str()),
    };
    let dir = args.dir.as_deref().unwrap_or(path);
    if args.unmount {
        return Err(unmount(dir));
    }
    let machine = session.machine(name)?.reachable()?;
    client::ssh_argv(&machine.record, &machine.paths)?;
    if !external::find("sshfs") {
        return Err(external::missing("sshfs", "`machine mount`"));
    }
    let argv: Vec<OsString> = vec![
        "sshfs".into(),
        "-F".into(),
        machine.paths.ssh_config().into(),
        format!("{}:{path}", machine.name).into(),
        dir.into(),
    ];
    Err(external::exec_program(&argv))
}

fn unmount(dir: &str) -> CommandError {
    // A name that begins with a dash must stay a name.
    let dir = if dir.starts_with('-') { format!("./{dir}") } else { dir.to_owned() };
    let words: &[&str] = if cfg!(target_os = "linux") {
        match ["fusermount3", "fusermount"].into_iter().find(|program| external::find(program)) {
            Some("fusermount3") => &["fusermount3", "-u"],
            Some(_) => &["fusermount", "-u"],
            None => return external::missing("fusermount", "`machine mount --unmount`"),
        }
    } else {
        &["umount"]
    };
    let argv: Vec<OsString> = words.iter().map(OsString::from).chain([OsString::from(dir)]).collect();
    external::exec_program(&argv)
}
