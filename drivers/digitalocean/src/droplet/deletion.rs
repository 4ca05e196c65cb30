//! A droplet is deleted: asynchronously there, at times without effect, and never one that is not ours.

use std::time::Instant;

use machine_cloud::{Api, Fault, Ids, has_tag, permitted};
use machine_driver::{Diagnostic, Kind, Result};

use super::{count_ours, find, get, judged};
use crate::wire::Droplet;

/// Deletes a droplet that carries our id, and waits until it is gone. Anything else is left alone. What the token may not
/// look at is known by its id alone: it was ours when that was written down.
pub(crate) async fn delete(api: Api<'_>, id: u64) -> Result<()> {
    let wait = api.wait(format!("droplet {id} to be deleted"), api.timing.gone);
    let (mut accepted, mut unknown_since) = (None::<Instant>, None::<Instant>);
    loop {
        let seen = permitted(get(api, id).await)?;
        let reason = match seen {
            None if accepted.is_some() => return Ok(()),
            None => "",
            Some(None) => {
                // Made a moment ago it may be unknown for a while, and would be back: then it is in the list.
                let since = *unknown_since.get_or_insert_with(Instant::now);
                if accepted.is_some() || !is_listed(api, id).await? || since.elapsed() > api.timing.unknown {
                    return Ok(());
                }
                "DigitalOcean does not know it yet"
            }
            Some(Some(droplet)) => match accepted {
                // Accepted without effect, it is asked for again.
                Some(at) if at.elapsed() < api.timing.lag / 2 => "it is still there",
                Some(_) => "",
                None if !is_ours(api, &droplet).await? && wait.elapsed() > api.timing.lag => {
                    return Err(foreign(api, id));
                }
                None if !is_ours(api, &droplet).await? => "it has no tag yet",
                None if droplet.locked && wait.elapsed() < api.timing.lag => "it is locked",
                None => "",
            },
        };
        if !reason.is_empty() {
            wait.not_yet(reason).await?;
            continue;
        }
        let doing = format!("delete droplet {id}");
        match api.delete((&doing, "droplet:delete"), &format!("/v2/droplets/{id}")).await {
            Ok(()) => accepted = Some(Instant::now()),
            Err(fault) if accepted.is_some() && fault.status() == Some(422) => {
                wait.not_yet("it is still there").await?;
            }
            Err(fault) => {
                let fault = judged(api, id, fault).await?;
                if !fault.is_busy() {
                    return Err(fault.into());
                }
                wait.not_yet("DigitalOcean is busy with it").await?;
            }
        }
    }
}

async fn is_listed(api: Api<'_>, id: u64) -> Result<bool, Fault> {
    let listed = permitted(find(api).await)?.unwrap_or_default();
    Ok(listed.iter().any(|droplet| droplet.id == id))
}

/// By its tag; a token that may not read tags is shown none.
async fn is_ours(api: Api<'_>, droplet: &Droplet) -> Result<bool, Fault> {
    if has_tag(&droplet.tags, &Ids::machine_tag(api.cx)) {
        return Ok(true);
    }
    Ok(droplet.tags.is_empty() && permitted(count_ours(api).await)?.is_none())
}

fn foreign(api: Api<'_>, id: u64) -> Diagnostic {
    let tag = Ids::machine_tag(api.cx);
    Diagnostic::new(Kind::Failure, format!("droplet {id} does not carry the tag {tag}"))
        .hint("it may not be ours: delete it at DigitalOcean, or give it the tag back")
}
