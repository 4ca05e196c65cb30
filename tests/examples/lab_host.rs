//! A lab host to try the program on by hand: prints how to reach it, and removes it when its standard input ends.
//!
//! `cargo run -p machine-tests --example lab_host [bookworm|trixie]`

#![expect(clippy::print_stdout, reason = "it says how to reach the host")]

use std::io::Read;

use machine_tests::{HostOptions, Lab, Suite};

fn main() {
    let suite = match std::env::args().nth(1).as_deref() {
        Some("bookworm") => Suite::Bookworm,
        _ => Suite::Trixie,
    };
    let Some(lab) = Lab::open() else { return };
    let host = lab.host(HostOptions { suite, ..HostOptions::default() });
    println!("address {}\nkey {}\nhost key {}", host.ip(), host.key().display(), host.host_key_fingerprint());
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
