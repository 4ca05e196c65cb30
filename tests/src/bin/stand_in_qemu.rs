//! Looks like QEMU from outside, for a guest that this computer cannot run: it answers on the control socket, and leads
//! the ports that are forwarded to the guest to a host of the lab.
//!
//! `stand-in-qemu FILE ARGUMENTS-OF-QEMU…`: the file holds the host's address, once the guest has booted. Until then the
//! arguments lie beside it, in `FILE.started`, one a line.
#![expect(clippy::print_stdout, reason = "a program")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn main() {
    let mut words = std::env::args().skip(1);
    let guest = PathBuf::from(words.next().expect("the file that will hold the guest's address"));
    let words: Vec<String> = words.collect();
    if words.iter().any(|word| word == "--version") {
        println!("QEMU emulator version 10.0.0 (a stand-in)");
        return;
    }
    let after = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    begin(&guest, &words).expect("a file beside the other");
    let id = after("-uuid").expect("-uuid").clone();
    let control = after("-qmp").and_then(|value| value.strip_prefix("unix:")).expect("-qmp unix:…");
    // A comma in a path is doubled.
    let path = control.replace(",,", "\0");
    let path = path.split(',').next().unwrap_or_default().replace('\0', ",");
    for rule in after("-netdev").expect("-netdev").split(',').filter_map(|part| part.strip_prefix("hostfwd=tcp:")) {
        let (here, there) = rule.split_once("-:").expect("HERE-:PORT");
        let listener = TcpListener::bind(here).expect("a port that was free");
        let (there, guest) = (there.parse().expect("a port"), guest.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let guest = guest.clone();
                std::thread::spawn(move || lead(client, &guest, there));
            }
        });
    }
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a control socket");
    for client in listener.incoming().flatten() {
        // One at a time, as QEMU does.
        if answer(client, &id) == Some(Answered::End) {
            return;
        }
    }
}

/// The guest is off still, and whoever is to boot it is told.
fn begin(guest: &Path, words: &[String]) -> std::io::Result<()> {
    let _ = std::fs::remove_file(guest);
    let (new, started) = (guest.with_extension("new"), guest.with_extension("started"));
    #[expect(clippy::disallowed_methods, reason = "it has its name only when it is whole")]
    std::fs::write(&new, words.join("\n"))?;
    std::fs::rename(new, started)
}

/// Both ways, until both sides have said all. A guest that is not up yet closes the connection.
fn lead(client: TcpStream, guest: &Path, port: u16) -> Option<()> {
    let address = std::fs::read_to_string(guest).ok()?.trim().parse().ok()?;
    let host = TcpStream::connect(SocketAddr::new(address, port)).ok()?;
    let (mut from_client, mut to_host) = (client.try_clone().ok()?, host.try_clone().ok()?);
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_host);
        let _ = to_host.shutdown(Shutdown::Write);
    });
    let (mut from_host, mut to_client) = (host, client);
    let _ = std::io::copy(&mut from_host, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Write);
    there.join().ok()
}

/// What a client of the control socket wanted in the end.
#[derive(PartialEq)]
enum Answered {
    GoOn,
    End,
}

/// One client of the control socket. `None`: it went away in the middle.
fn answer(client: UnixStream, id: &str) -> Option<Answered> {
    let mut out = client.try_clone().ok()?;
    writeln!(out, "{}", json!({"QMP": {"version": {}, "capabilities": []}})).ok()?;
    for line in BufReader::new(client).lines() {
        let command: Value = serde_json::from_str(&line.ok()?).ok()?;
        let said = match command["execute"].as_str().unwrap_or_default() {
            "query-uuid" => json!({"return": {"UUID": id}}),
            "query-status" => json!({"return": {"status": "running", "running": true}}),
            "qmp_capabilities" | "cont" | "quit" | "system_powerdown" => json!({"return": {}}),
            other => json!({"error": {"class": "CommandNotFound", "desc": format!("no {other} here")}}),
        };
        writeln!(out, "{said}").ok()?;
        if matches!(command["execute"].as_str(), Some("quit" | "system_powerdown")) {
            return Some(Answered::End);
        }
    }
    Some(Answered::GoOn)
}
