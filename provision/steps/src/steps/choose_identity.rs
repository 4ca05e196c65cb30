//! Writes down who the machine will be, before anybody is asked for anything.

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The record, with the id that every provider resource will carry, is on disk.
    ChooseIdentity, "choose-identity", "choosing an identity"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    // `operations::create` makes the folder and the record in one move, before the list begins.
    cx.save()?;
    Ok(Outcome::Done)
}
