//! `machine image prune`: images and downloads that nothing needs.

use machine_guest::{Arch, Disk, Disks, Source};

use super::image::{Used, file_size};
use crate::error::CommandError;
use crate::session::Session;
use crate::{output, world};

/// Remove images that no machine uses, and what interrupted builds and downloads have left
#[derive(Debug, clap::Args)]
pub(crate) struct PruneArgs {
    /// Also the image that new machines get: the next one builds it again
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short)]
    yes: bool,
}

pub(super) fn run(session: &Session, disks: &Disks, args: &PruneArgs) -> Result<(), CommandError> {
    let used = Used::read(session)?;
    let newest = match Arch::here() {
        Some(arch) if !args.all => disks.kept(&Source::Default, arch)?.map(|disk| disk.digest),
        _ => None,
    };
    let unused: Vec<Disk> = disks
        .list()?
        .into_iter()
        .filter(|disk| used.by(disk).is_empty() && Some(&disk.digest) != newest.as_ref())
        .collect();
    let mut names: Vec<String> =
        unused.iter().map(|disk| format!("{} ({} MB)", disk.name, file_size(disk).div_ceil(1_000_000))).collect();
    let downloads = disks.downloads()?;
    if !downloads.is_empty() {
        let bytes: u64 = downloads.iter().map(|download| download.bytes).sum();
        names.push(format!("downloads ({} MB)", bytes.div_ceil(1_000_000)));
    }
    if names.is_empty() {
        output::say("nothing to remove");
        return Ok(());
    }
    if !args.yes {
        ask(&names)?;
    }
    for disk in &unused {
        disks.remove(disk)?;
    }
    disks.drop_downloads(&downloads)?;
    for name in names {
        output::say(&format!("removed {name}"));
    }
    Ok(())
}

fn ask(names: &[String]) -> Result<(), CommandError> {
    let list = names.join(", ");
    match world::confirm(&format!("About to remove {list}\nAre you sure? (y/n): ")) {
        Some(true) => Ok(()),
        Some(false) => Err(CommandError::exit(crate::error::exit_code::OK)),
        None => Err(CommandError::usage(format!("cannot ask for confirmation to remove {list}: not a terminal"))
            .hint("`-y` removes without asking")),
    }
}
