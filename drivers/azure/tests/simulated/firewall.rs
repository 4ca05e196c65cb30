//! What is let in to a machine: by the rules that Azure has, not by what the driver says.

use machine_driver::Kind;

use crate::cloud::{Core, assert_contract, flags_of, new_core, simulator};
use crate::frame::{lets_in, shown};

/// Ports that are looked at: ours, those of other engines and services, and one that was typed.
const PORTS: [u16; 10] = [1, 22, 80, 443, 2375, 2376, 2377, 3389, 5432, 65535];

/// Those of them that somebody gets in at.
fn open(core: &Core, from: &str) -> Vec<u16> {
    let before = core.simulator.subscription(|s| {
        let vm = s.of("virtualMachines").next().unwrap().clone();
        s.openings(&vm)
    });
    assert_eq!(before.len(), 2, "a security group on the interface, and on our own subnet");
    PORTS.into_iter().filter(|&port| before.iter().all(|openings| lets_in(openings, port, from))).collect()
}

#[tokio::test]
async fn nothing_is_open_but_what_is_said() {
    let office = "--azure-allow-from 203.0.113.0/24,198.51.100.7";
    let cases: &[(&str, &str, &[u16])] = &[
        ("", "192.0.2.1", &[22, 2376]),
        ("--azure-open-port 80,5000-6000,2377/udp", "192.0.2.1", &[22, 80, 2376, 5432]),
        (office, "203.0.113.9", &[22, 2376]),
        (office, "198.51.100.7", &[22, 2376]),
        (office, "198.51.100.8", &[]),
        ("--azure-engine-access tunnel", "192.0.2.1", &[22]),
        ("--azure-engine-access tunnel --azure-allow-from 203.0.113.0/24", "203.0.113.9", &[22]),
        ("--azure-engine-access tunnel --azure-allow-from 203.0.113.0/24", "192.0.2.1", &[]),
        ("--azure-allow-from 203.0.113.0/24 --azure-open-port 443", "192.0.2.1", &[443]),
    ];
    for (flags, from, ports) in cases {
        let mut core = new_core(flags);
        core.create().await.unwrap();
        assert_eq!(open(&core, from), *ports, "{flags:?} from {from}");
        assert!(core.said().contains("port"), "{}", core.said());
        assert_contract(&core.simulator);
    }
}

#[test]
fn a_group_of_the_user_s_own_has_no_rules_of_ours() {
    let simulator = simulator();
    for flags in ["--azure-allow-from 203.0.113.0/24", "--azure-open-port 80", "--azure-engine-access tunnel"] {
        let line = flags_of(&simulator, &format!("--azure-nsg mine {flags}"));
        let args = line.split_whitespace().map(str::to_owned).collect();
        let typed = machine_driver::Typed { args, dir: "/".into(), ..machine_driver::Typed::default() };
        let any: &dyn machine_driver::AnyDriver = &*crate::cloud::driver();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let error = runtime.block_on(any.configure(typed)).unwrap_err();
        assert_eq!((error.kind, error.message.contains("is used as it is")), (Kind::Usage, true), "{}", shown(&error));
    }
}
