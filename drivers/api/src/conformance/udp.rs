//! The promise about UDP ports of machines at this computer.

use std::net::{Ipv4Addr, UdpSocket};

use super::simulated_core::{Saving, SimulatedCore, lock};
use super::{World, same};
use crate::{Ability, RefusedPort};

pub(super) async fn udp<W: World>(new: &impl Fn() -> W) -> Result<(), String> {
    let world = new();
    if !world.driver().can(Ability::Udp) {
        return Ok(());
    }
    let core = SimulatedCore::new(&world, "a").await?;
    core.stages_from(0, false).await?;
    let things = world.things().await;
    let free = |port: u16| UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
    let port = |socket: &UdpSocket| socket.local_addr().map(|at| at.port()).map_err(|e| e.to_string());
    let (one, mine) = (free(0).map_err(|e| e.to_string())?, free(0).map_err(|e| e.to_string())?);
    let (wanted, taken) = (port(&one)?, port(&mine)?);
    drop(one);
    for time in ["", " again"] {
        if let Some(refused) = core.udp(&[wanted]).await?.first() {
            return Err(format!("{wanted} is refused{time}: {}", refused.why));
        }
        if free(wanted).is_ok() {
            return Err(format!("nobody has {wanted}{time}"));
        }
    }
    match core.udp(&[taken]).await?.as_slice() {
        [RefusedPort { port, taken: true, .. }] if *port == taken => {}
        other => return Err(format!("of a port that another program has it says {other:?}")),
    }
    if free(wanted).is_err() {
        return Err(format!("{wanted} is kept though nobody wants it any more"));
    }
    core.udp(&[]).await?;
    same(&things, &world.things().await, "rules for UDP ports")
}

impl<W: World> SimulatedCore<'_, W> {
    async fn udp(&self, ports: &[u16]) -> Result<Vec<RefusedPort>, String> {
        let cx = self.context(false, Saving::Works);
        let machine = lock(&self.saved).clone();
        self.bounded("udp", self.world.driver().udp(&cx, ports, &self.settings, &machine)).await
    }
}
