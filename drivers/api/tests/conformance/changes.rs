//! What the demo can do to a machine that is there: other settings, and UDP ports here.

use std::net::{Ipv4Addr, UdpSocket};

use machine_driver::{Change, Changing, Context, RefusedPort, Result, UdpRules};

use super::{Demo, DemoSettings, Fault, Machine};

impl<S: DemoSettings> Changing for Demo<S> {
    async fn change(&self, cx: &Context, from: &S, to: &S, _: &Machine) -> Result<Change> {
        if self.fault == Fault::ChangesByMaking {
            self.provider().post("server", &cx.machine_id)?;
        }
        let (there, same) =
            (self.server(cx).is_some(), ["small", "large"].iter().all(|s| from.size_is(s) == to.size_is(s)));
        Ok(if there && !same { Change::InPlace { restart: true } } else { Change::Unused })
    }
}

impl<S: DemoSettings> UdpRules for Demo<S> {
    async fn udp(&self, _: &Context, _: &S, _: &Machine, ports: &[u16]) -> Result<Vec<RefusedPort>> {
        let mut provider = self.provider();
        if self.fault != Fault::KeepsPorts {
            provider.ports.retain(|port, _| ports.contains(port));
        }
        let mut refused = Vec::new();
        for port in ports {
            if provider.ports.contains_key(port) {
                continue;
            }
            match UdpSocket::bind((Ipv4Addr::LOCALHOST, *port)) {
                Ok(socket) => drop(provider.ports.insert(*port, socket)),
                Err(e) => refused.push(RefusedPort { port: *port, taken: true, why: e.to_string() }),
            }
        }
        Ok(refused)
    }
}
