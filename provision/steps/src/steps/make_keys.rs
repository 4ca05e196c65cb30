//! The SSH key that opens the machine, the host key that is injected, and the CA.

use machine_driver::HostKeySupport;
use machine_host::ssh_key;

use super::step;
use crate::step::Context;
use crate::{Outcome, Result};

step! {
    /// The machine's SSH key and, once for all machines, the CA and the client pair are there.
    MakeKeys, "make-keys", "making keys"
}

async fn run(cx: &mut Context<'_>) -> Result<Outcome> {
    cx.world.store.ensure_ca_at(&cx.world.ca, cx.record.tls_key)?;
    let mut made = false;
    let driver = cx.driver()?.description();
    if driver.origin.has_host() && !cx.paths.key().exists() {
        ssh_key::generate(&format!("machine {}", cx.record.name))?.write(&cx.paths.key())?;
        made = true;
    }
    if driver.host_key == HostKeySupport::Injected
        && !cx.paths.known_hosts().exists()
        && !cx.paths.injected_host_key().exists()
    {
        ssh_key::generate(&format!("host key of {}", cx.record.name))?.write(&cx.paths.injected_host_key())?;
        made = true;
    }
    Ok(if made { Outcome::Done } else { Outcome::AlreadySo })
}
