//! Has the program make machines, kills it at every step, and keeps what it left as `tests/fixtures/stores/…`.
//!
//! How the fixtures of version 1 were made, with the program of that version (`MACHINE_BIN`) and the lab:
//!
//! ```sh
//! MACHINE_BIN=… cargo run -p machine-tests --example stores -- tests/fixtures/stores/v1 [STORY…]
//! ```
//!
//! Kept fixtures are never made again: they are what an earlier version wrote. A later form gets a folder of its own.

#![expect(clippy::print_stdout, reason = "it says how far it is")]

mod digitalocean;
mod generic;
mod none;
mod qemu;
mod recorder;

use std::path::PathBuf;

use recorder::Recorder;

/// One machine's life.
type Story = fn(&mut Recorder);

/// By the name of the file.
const STORIES: &[(&str, Story)] = &[
    ("none", none::whole),
    ("qemu-before-boot", qemu::before_boot),
    ("digitalocean-stages", digitalocean::stages),
    ("digitalocean-secrets", digitalocean::secrets),
    ("generic", generic::whole),
    ("generic-tunnel", generic::tunnel),
    ("generic-jump", generic::jump),
    ("generic-wrong-key", generic::wrong_key),
    ("digitalocean", digitalocean::whole),
    ("qemu", qemu::whole),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().expect("the folder to write to"));
    let wanted: Vec<String> = args.collect();
    std::fs::create_dir_all(&folder).expect("a folder to write to");
    for (name, story) in STORIES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            let mut recorder = Recorder::new(folder.join(format!("{name}.txt")));
            story(&mut recorder);
            println!("{name}: {} states", recorder.len());
        }
    }
}
