//! A lab network: a bridge on this computer with hosts on it. Main type: [`Network`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::lab::Engine;

/// The lab's own range, 10.213.0.0/16, cut into networks of 32 addresses. The last 256 addresses are the engine's.
const NETWORKS: u32 = 2048 - 8;

/// How a network differs from a server's ordinary one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NetworkOptions {
    /// No route out: hosts on it reach each other and this computer, nothing else.
    pub internal: bool,
    /// IPv6 addresses beside the IPv4 ones.
    pub ipv6: bool,
}

/// A network of this test alone. This computer has the first address on it and reaches every host directly.
#[derive(Debug)]
pub struct Network {
    engine: Engine,
    name: String,
    number: u32,
    options: NetworkOptions,
    next: Mutex<u8>,
}

impl Network {
    pub(crate) fn create(engine: &Engine, options: NetworkOptions) -> Self {
        // Tests run at once, in processes that know nothing of each other: start somewhere, go on when taken.
        let start = std::process::id().wrapping_mul(31);
        for attempt in 0..64 {
            let number = start.wrapping_add(attempt * 7) % NETWORKS;
            let name = format!("lab-{number}");
            let v4 = format!("{}/27", address(number, 0));
            let v6 = format!("{}/64", address6(number, 0));
            let (gateway, gateway6) = (address(number, 1).to_string(), address6(number, 1).to_string());
            let owner = engine.owner_label();
            let mut args = vec!["network", "create", "--label", &owner, "--subnet", &v4, "--gateway", &gateway];
            if options.internal {
                args.push("--internal");
            }
            if options.ipv6 {
                args.extend(["--ipv6", "--subnet", &v6, "--gateway", &gateway6]);
            }
            args.push(&name);
            let made = engine.docker(&args);
            if made.code == 0 {
                return Self { engine: engine.clone(), name, number, options, next: Mutex::new(2) };
            }
            let taken = ["overlap", "already exists", "conflicts"].iter().any(|word| made.stderr.contains(word));
            assert!(taken, "no lab network: {}", made.stderr);
        }
        panic!("64 lab networks in a row are taken: see `tests/lab/engine ls`");
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn options(&self) -> NetworkOptions {
        self.options
    }

    /// This computer's address on the network.
    pub fn gateway(&self) -> IpAddr {
        address(self.number, 1).into()
    }

    /// An address of the network that nobody has or gets: unreachable, and nobody's but ours.
    pub fn unused(&self) -> IpAddr {
        address(self.number, 30).into()
    }

    pub(crate) fn take(&self) -> (Ipv4Addr, Ipv6Addr) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(*next < 30, "a lab network has room for 28 hosts");
        let taken = *next;
        *next += 1;
        (address(self.number, taken), address6(self.number, taken))
    }
}

fn address(number: u32, host: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 213, 0, 0)) + number * 32 + u32::from(host))
}

fn address6(number: u32, host: u8) -> Ipv6Addr {
    let number = u16::try_from(number).expect("less than 2048");
    Ipv6Addr::new(0xfd00, 0x6c61, 0x6200, number, 0, 0, 0, u16::from(host))
}

impl Drop for Network {
    fn drop(&mut self) {
        let removed = self.engine.docker(&["network", "rm", &self.name]);
        assert!(removed.code == 0 || std::thread::panicking(), "{}", removed.stderr);
    }
}
