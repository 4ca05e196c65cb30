//! This computer's side of removing: client settings, keys and, last, the record.

use machine_base::blocking;

use super::step;
use crate::step::Context;
use crate::{Diagnostic, Outcome, Result, docker_context};

step! {
    /// Nothing here remembers the machine.
    DeleteRecord, "delete-record", "deleting the machine's record and keys"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    // What keeps it from being removed must not keep the machine.
    let stays = docker_context::remove(&cx.world.user.docker_config, &cx.record).err();
    let (name, store) = (cx.record.name.parse()?, cx.world.store.clone());
    cx.journal.close();
    blocking(move || store.remove(&name).map_err(Diagnostic::from)).await?;
    Ok(stays.map_or(Outcome::Done, |e| Outcome::Warned(e.one_line())))
}
