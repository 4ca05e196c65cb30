//! What is let in to a droplet: by the rules that DigitalOcean has, not by what the driver says.

use crate::cloud::{Core, assert_contract, new_core};
use crate::frame::lets_in;

/// Ports that are looked at: ours, those of other engines and services, and one that was typed.
const PORTS: [u16; 9] = [1, 22, 80, 2375, 2376, 2377, 3389, 5432, 65535];

/// Those of them that somebody gets in at; `None`: there is no firewall.
fn open(core: &Core, from: &str) -> Option<Vec<u16>> {
    let before = core.simulator.account(|account| account.openings(account.live().next().unwrap().1))?;
    Some(PORTS.into_iter().filter(|&port| lets_in(&before, port, from)).collect())
}

#[tokio::test]
async fn nothing_is_open_but_what_is_said() {
    let tunnel = "--digitalocean-engine-access tunnel";
    let office = "--digitalocean-allow-from 203.0.113.0/24,198.51.100.7";
    let both = format!("{tunnel} {office} --digitalocean-firewall 80");
    let cases: &[(&str, &str, Option<&[u16]>)] = &[
        ("", "192.0.2.1", None),
        ("--digitalocean-firewall ssh", "192.0.2.1", Some(&[22, 2376])),
        ("--digitalocean-firewall ssh,80,5000-6000", "192.0.2.1", Some(&[22, 80, 2376, 5432])),
        (office, "203.0.113.9", Some(&[22, 2376])),
        (office, "198.51.100.8", Some(&[])),
        (tunnel, "192.0.2.1", Some(&[22])),
        (&both, "198.51.100.7", Some(&[22, 80])),
        (&both, "192.0.2.1", Some(&[80])),
    ];
    for (flags, from, ports) in cases {
        let mut core = new_core(flags);
        core.create().await.unwrap();
        assert_eq!(open(&core, from).as_deref(), *ports, "{flags:?} from {from}");
        assert_eq!(core.said().contains("(SSH, by key)"), ports.is_some(), "{}", core.said());
        core.remove().await.unwrap();
        assert_eq!(core.things(), Vec::<String>::new(), "{flags}");
        assert_contract(&core.simulator);
    }
}
