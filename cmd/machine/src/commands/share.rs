//! `machine share`: folders of this computer in a machine.

use machine_driver::Share;
use machine_provision::operations::{self, ShareChange};

use crate::drivers::BuiltIn;
use crate::error::CommandError;
use crate::names::candidates;
use crate::operation;
use crate::report::ReportArgs;
use crate::session::Session;

/// Share a folder of this computer with a machine (driver qemu), or list what is shared
#[derive(Debug, clap::Args)]
pub(crate) struct ShareArgs {
    /// Machine
    #[arg(value_name = "NAME", add = clap_complete::engine::ArgValueCandidates::new(candidates))]
    name: String,
    /// What to share and where it is to be, with :ro behind it for reading only; without it, what is shared is listed
    #[arg(value_name = "FOLDER:FOLDER-IN-VM[:ro]")]
    share: Option<Share>,
    /// Stop sharing it
    #[arg(long, value_name = "FOLDER-IN-VM", conflicts_with = "share")]
    remove: Option<String>,
    /// Do not ask whether the machine may be restarted for it
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &ShareArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let name = session.name(&store, Some(&args.name))?;
    let change = match (&args.share, &args.remove) {
        (Some(share), _) => ShareChange::Add(share.clone()),
        (None, Some(to)) => ShareChange::Remove(to.clone()),
        (None, None) => {
            let shares = operation::runtime()?.block_on(operations::shares(&BuiltIn, &store.read(&name)?))?;
            return session.out.text(&shares.iter().map(|share| format!("{share}\n")).collect::<String>());
        }
    };
    let yes = args.yes;
    operation::each(session, store, &args.report, vec![name], move |world, name, report| {
        let change = change.clone();
        async move {
            let mut yes = yes;
            if !yes && operations::share_restarts(&world, &name, &change).await? {
                let Some(answer) = operation::may_restart(&report, &name) else { return Ok(()) };
                yes = answer;
            }
            let shared = operations::share(&world, &name, &change, yes).await?;
            let done = match change {
                ShareChange::Add(_) => "shared",
                ShareChange::Remove(_) => "no longer shared",
            };
            operation::tell(&report, &name, &shared.outcome, done, "shared already");
            Ok(())
        }
    })
}
