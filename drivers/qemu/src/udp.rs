//! UDP ports of a VM at this computer: rules of QEMU's user network, which its monitor changes while the VM runs.
//!
//! Facts: `hostfwd_add`, `hostfwd_remove` and `info usernet` in <https://www.qemu.org/docs/master/system/monitor.html>.

use std::collections::BTreeSet;

use machine_driver::{Context, Diagnostic, RefusedPort, Result, UdpRules};

use crate::driver::{Machine, Qemu};
use crate::files::Files;
use crate::process;
use crate::qmp::QmpError;
use crate::settings::Settings;

impl UdpRules for Qemu {
    async fn udp(&self, cx: &Context, s: &Settings, _: &Machine, ports: &[u16]) -> Result<Vec<RefusedPort>> {
        if s.network.has_address() {
            // Whoever wants one of its ports goes there.
            let why = "the VM has an address of its own".to_owned();
            return Ok(ports.iter().map(|port| RefusedPort { port: *port, taken: false, why: why.clone() }).collect());
        }
        let failed = |e: QmpError| Diagnostic::failure("QEMU's network cannot be changed").caused_by(&e);
        let mut qmp = process::control(&Files::new(cx), cx, self.timing.answer).await.map_err(failed)?;
        let (wanted, have) = (
            ports.iter().copied().collect::<BTreeSet<_>>(),
            rules(&qmp.monitor("info usernet").await.map_err(failed)?),
        );
        for port in have.difference(&wanted) {
            qmp.monitor(&format!("hostfwd_remove net udp:127.0.0.1:{port}")).await.map_err(failed)?;
        }
        let mut refused = Vec::new();
        for port in wanted.difference(&have) {
            let said = qmp.monitor(&format!("hostfwd_add net udp:127.0.0.1:{port}-:{port}")).await.map_err(failed)?;
            // It says nothing where it did so.
            if !said.is_empty() {
                let taken = said.starts_with("could not set up") || said.starts_with("Could not set up");
                refused.push(RefusedPort { port: *port, taken, why: said.chars().take(200).collect() });
            }
        }
        Ok(refused)
    }
}

/// The UDP ports of 127.0.0.1 that have a rule: `UDP[HOST_FORWARD]  12  127.0.0.1  5353  10.0.2.15  5353  0  0`.
fn rules(usernet: &str) -> BTreeSet<u16> {
    let words = usernet.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rule = words.filter(|words| words.first() == Some(&"UDP[HOST_FORWARD]") && words.get(2) == Some(&"127.0.0.1"));
    rule.filter_map(|words| words.get(3)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l10_rules_are_read_from_what_the_monitor_says() {
        let said = "Hub -1 (net):\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\n\
            \x20 TCP[HOST_FORWARD]  11       127.0.0.1 40022       10.0.2.15    22     0     0\n\
            \x20 UDP[HOST_FORWARD]  12       127.0.0.1  5353       10.0.2.15  5353     0     0\n\
            \x20 UDP[236 sec]       14       10.0.2.15 52031     10.0.2.3    53     0     0\n";
        assert_eq!(rules(said), BTreeSet::from([5353]));
        assert_eq!(rules("unknown command: 'info usernet'"), BTreeSet::new());
    }
}
