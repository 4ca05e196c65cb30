//! Brings the ports that containers publish to this computer.

use machine_host::name::HostName;
use machine_host::record::EndpointKind;

use super::step;
use crate::step::Context;
use crate::{Event, Outcome, Result, watcher};

step! {
    /// The machine's watcher lives, is of this version, and has heard from the engine.
    ForwardPorts {
        /// Whether ports below 1024 are brought here too; `None`: as before.
        low_ports: Option<bool>,
    },
    "forward-ports", "forwarding ports to this computer"
}

async fn run(step: &ForwardPorts, cx: &mut Context<'_>) -> Result<Outcome> {
    let name: HostName = cx.record.name.parse()?;
    if let Some(low_ports) = step.low_ports.filter(|wanted| *wanted != cx.record.low_ports) {
        cx.record.low_ports = low_ports;
        cx.save()?;
        // A watcher reads it when it begins.
        watcher::stop(cx.world, &name).await?;
    }
    let forwards = watcher::answering(cx.world, &name).await?;
    let tunnel = cx.record.endpoint.as_ref().filter(|e| e.kind == EndpointKind::Tunnel);
    if let Some(endpoint) = tunnel.filter(|e| e.port != forwards.engine_port) {
        let text = format!(
            "port {} of this computer, where clients look for the engine, is taken by another program; the engine is at port {} now (`machine provision {name}` tells clients)",
            endpoint.port, forwards.engine_port
        );
        (cx.world.events)(Event::Note { machine: name.to_string(), text });
    }
    Ok(Outcome::Done)
}
