//! Removes whatever exists of a machine: from any state, any number of times, and only what carries our id.

use machine_cloud::{Api, permitted};
use machine_driver::Result;

use crate::{Machine, Settings, droplet, firewall, key, reserved_ip};

/// The droplet first: as long as it is there, a failed removal can still be mended over SSH.
pub(crate) async fn remove(api: Api<'_>, s: &Settings, m: &Machine) -> Result<()> {
    let ip = reserved_ip::ours(api, s, m).await?;
    // Asked for and not heard of: then the tag's lag must be waited out, or it would appear after we are gone.
    let lag = (m.droplet_id.is_none() && m.droplet_asked).then_some(api.timing.lag);
    let search = |look| async move {
        let found = droplet::find_at(api, look, &[]).await;
        // What is known by its id is removed by its id, whatever the token may look for.
        if m.droplet_id.is_none() {
            return found;
        }
        let found = permitted(found)?;
        if found.is_none() {
            api.cx
                .note("the access token may not look for droplets by tag (droplet:read, tag:read): others stay unseen");
        }
        Ok(found.flatten())
    };
    let found = machine_cloud::look(api, "the droplet", lag, search).await?;
    let mut ids: Vec<u64> = found.iter().flatten().map(|droplet| droplet.id).collect();
    ids.extend(m.droplet_id);
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        api.cx.say(&format!("deleting droplet {id}"));
        droplet::delete(api, id).await?;
    }
    if let Some(ip) = ip {
        reserved_ip::remove(api, &ip).await?;
    }
    firewall::remove(api, s, m).await?;
    key::remove(api, s, m).await?;
    droplet::delete_tag(api).await;
    Ok(())
}
