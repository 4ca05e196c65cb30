//! Writes manual pages from the same definitions as `--help`: `cargo run -p machine --example man -- DIR`.

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os().nth(1).ok_or_else(|| std::io::Error::other("name the folder to write to"))?;
    std::fs::create_dir_all(&dir)?;
    clap_mangen::generate_to(machine::command(), dir)
}
