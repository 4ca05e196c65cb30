//! DigitalOcean on this computer, to try scripts against: prints what to export, and runs until its standard input ends.
//!
//! `cargo run -p machine-tests --example digitalocean [HOSTS [ADDRESS:PORT]]`: the first HOSTS droplets are hosts of the
//! lab (default 0: all are bare objects of the API). What goes wrong is arranged at `$DIGITALOCEAN_API_URL/simulator`:
//! docs/digitalocean.md.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::io::{Read, Write};

fn main() {
    let mut args = std::env::args().skip(1);
    let hosts = args.next().map_or(0, |text| text.parse().expect("a number of hosts"));
    let at = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse().expect("ADDRESS:PORT");
    let token = "dop_v1_simulated";
    let Some(simulator) = machine_tests::simulated_digitalocean(at, token, hosts) else { return };
    println!("export DIGITALOCEAN_API_URL={} DIGITALOCEAN_ACCESS_TOKEN={token}", simulator.url());
    // Whoever reads it through a pipe waits for it.
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    for exchange in simulator.exchanges() {
        println!("{} {} {}", exchange.status, exchange.method, exchange.path);
    }
}
