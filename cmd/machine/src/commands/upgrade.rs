//! `machine upgrade`: another engine, with containers running on; the old one comes back where the new one fails.

use machine_provision::Outcome;
use machine_provision::operations::{self, UpgradeOptions};

use crate::error::CommandError;
use crate::names::AnyNames;
use crate::report::ReportArgs;
use crate::session::Session;
use crate::{operation, world};

/// Upgrade the engine of machines; containers keep running, and a failure rolls back
#[derive(Debug, clap::Args)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    names: AnyNames,
    /// Bundle to upgrade to: a name of `machine bundle ls`, or a source such as debian:trixie [default: the newest of the machine's source]
    #[arg(long, value_name = "BUNDLE")]
    bundle: Option<String>,
    /// Do not ask (for a host in a swarm)
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(session: &Session, args: &UpgradeArgs) -> Result<(), CommandError> {
    let store = session.store()?;
    let names = session.names(&store, &args.names.names)?;
    let options = UpgradeOptions { bundle: args.bundle.clone(), yes: args.yes, ..UpgradeOptions::default() };
    operation::each(session, store, &args.report, names, move |machines, name, report| {
        let mut options = options.clone();
        async move {
            let plan = operations::plan_upgrade(&machines, &name, &options).await?;
            if plan.already_so {
                operation::tell(&report, &name, &Outcome::AlreadySo, "", "has this engine already");
                return Ok(());
            }
            report.note(name.as_str(), &format!("engine {} → {}", plan.from, plan.to));
            for container in &plan.will_start {
                report.note(name.as_str(), &format!("will start again: {container}"));
            }
            if !plan.losses.is_empty() && !options.yes {
                for loss in &plan.losses {
                    report.note(name.as_str(), loss);
                }
                // Without a terminal the operation refuses, and says what `-y` would do.
                match report.suspend(|| world::confirm("Upgrade anyway? (y/n): ")).flatten() {
                    Some(true) => options.yes = true,
                    Some(false) => return Ok(()),
                    None => {}
                }
            }
            let outcome = operations::upgrade(&machines, &name, &options).await?;
            operation::tell(&report, &name, &outcome, "upgraded", "has this engine already");
            Ok(())
        }
    })
}
