//! Deleting what may need to be told twice. Main item: [`delete_until_gone`].

use std::time::Instant;

use machine_base::Result;

use crate::{Api, Fault, permitted};

/// Deletes `what` and looks until it is not there any more. A deletion that was accepted and has no effect is asked for
/// again, each time half of the provider's lag has passed. Where looking is not permitted, being accepted is the end.
///
/// # Errors
/// It is refused, or still there after [`crate::Timing::gone`].
pub async fn delete_until_gone<D, L>(
    api: Api<'_>,
    what: &str,
    delete: impl Fn() -> D,
    there: impl Fn() -> L,
) -> Result<()>
where
    D: Future<Output = Result<(), Fault>>,
    L: Future<Output = Result<bool, Fault>>,
{
    let wait = api.wait(format!("{what} to be deleted"), api.timing.gone);
    let mut asked: Option<Instant> = None;
    loop {
        if asked.is_none_or(|at| at.elapsed() >= api.timing.lag / 2) {
            delete().await?;
            asked = Some(Instant::now());
        }
        if permitted(there().await)? != Some(true) {
            return Ok(());
        }
        wait.not_yet("it is still there").await?;
    }
}
