//! UDP ports, which SSH does not carry: the program that runs the machine does, where it has rules for that.

use std::collections::BTreeMap;

use machine_driver::Ability;
use machine_host::name::HostName;

use super::state::{Forward, Reason, Refusal};
use crate::step::Context;
use crate::{Result, World};

/// Has exactly these ports come here; what does, and what does not.
pub(super) async fn bring(
    world: &World,
    name: &HostName,
    ports: &BTreeMap<u16, String>,
    lowest: u16,
) -> (Vec<Forward>, Vec<Refusal>) {
    let wanted: Vec<u16> = ports.keys().copied().filter(|port| *port >= lowest).collect();
    let refused = match rules(world, name, &wanted).await {
        Ok(refused) => refused,
        Err(e) => {
            let why = e.one_line();
            wanted.iter().map(|port| (*port, Reason::Other(why.clone()))).collect()
        }
    };
    let (mut carried, mut refusals) = (Vec::new(), Vec::new());
    for (port, container) in ports {
        let (port, container) = (*port, container.clone());
        match refused.get(&port) {
            Some(reason) => refusals.push(Refusal { port, container, reason: reason.clone() }),
            None if port < lowest => refusals.push(Refusal { port, container, reason: Reason::Low }),
            None => carried.push(Forward { port, container, host: "0.0.0.0".to_owned(), host_port: port, udp: true }),
        }
    }
    (carried, refusals)
}

/// Asks the driver. Those for which there is no rule.
async fn rules(world: &World, name: &HostName, ports: &[u16]) -> Result<BTreeMap<u16, Reason>> {
    let cx = Context::new(world, world.store.read(name)?)?;
    let driver = cx.driver()?;
    if !driver.can(Ability::Udp) {
        return Ok(ports.iter().map(|port| (*port, Reason::Udp)).collect());
    }
    let context = cx.driver_context_unasked().await?;
    let about = &cx.record.driver;
    let refused = driver.udp(&context, ports, &about.settings, &about.machine).await?;
    let reason = |taken: bool, why: String| if taken { Reason::PortTaken } else { Reason::Other(why) };
    Ok(refused.into_iter().map(|refused| (refused.port, reason(refused.taken, refused.why))).collect())
}
