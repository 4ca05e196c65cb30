//! `machine doctor --space`: where things are kept on this computer, how much room they take, and what removes them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::image::Used;
use crate::error::CommandError;
use crate::output::document::{self, Column, DocumentFormat, format_rows};
use crate::session::{Session, data_dir};
use crate::world;

/// What `--format` may name.
const COLUMNS: &[Column] = &[
    Column { field: "What", title: "WHAT" },
    Column { field: "Size", title: "SIZE" },
    Column { field: "Bytes", title: "BYTES" },
    Column { field: "Path", title: "WHERE" },
    Column { field: "Remove", title: "TO REMOVE IT" },
];

const TABLE: &str = "table {{.What}}\t{{.Size}}\t{{.Path}}\t{{.Remove}}";

/// One thing that takes room.
struct Kept {
    what: String,
    path: PathBuf,
    bytes: u64,
    /// The command.
    remove: Option<String>,
}

pub(super) fn run(session: &Session, format: Option<&str>, output: Option<DocumentFormat>) -> Result<(), CommandError> {
    let kept = look(session)?;
    let text = match output {
        Some(form) => document::render(form, &kept.iter().map(document).collect())?,
        None if kept.is_empty() && format.is_none() => "Nothing is kept on this computer yet.\n".to_owned(),
        None => {
            let rows: Vec<Value> = kept.iter().map(fields).collect();
            let list = format_rows(format.unwrap_or(TABLE), COLUMNS, &rows)?;
            match format {
                Some(_) => list,
                None => format!("{list}\nIn all: {}\n", size(kept.iter().map(|one| one.bytes).sum())),
            }
        }
    };
    session.out.text(&text)
}

fn look(session: &Session) -> Result<Vec<Kept>, CommandError> {
    let (store, cache) = (session.store()?, world::cache_dir()?);
    let (bundles, disks, used) = (world::bundles()?, world::disks()?, Used::read(session)?);
    let mut room = Room::default();
    let mut kept = Vec::new();
    // The cache first: what a machine shares with it counts there.
    for bundle in bundles.list()? {
        let name = &bundle.manifest.name;
        kept.push(Kept {
            what: format!("engine {name}"),
            bytes: room.of(&bundle.dir),
            remove: Some(format!("machine bundle rm {name}")),
            path: bundle.dir,
        });
    }
    for disk in disks.list()? {
        let path = disk.path.parent().unwrap_or(&disk.path).to_owned();
        let machines = used.by(&disk);
        let (users, remove) = match machines.as_slice() {
            [] => (String::new(), Some(format!("machine image rm {}", &disk.digest[..12]))),
            names => (format!(", of {}", names.join(", ")), None),
        };
        kept.push(Kept { what: format!("image {}{users}", disk.name), bytes: room.of(&path), remove, path });
    }
    let rest = room.of(&cache);
    kept.push(Kept {
        what: "downloads, locks".to_owned(),
        path: cache,
        bytes: rest,
        remove: Some("machine image prune".to_owned()),
    });
    for name in store.names()? {
        let path = store.machine_paths(&name).dir().to_owned();
        let (what, remove) = (format!("machine {name}"), Some(format!("machine rm {name}")));
        kept.push(Kept { what, bytes: room.of(&path), remove, path });
    }
    let own = store.paths().root().to_owned();
    kept.push(Kept { what: "keys, certificates".to_owned(), bytes: room.of(&own), path: own, remove: None });
    let data = data_dir()?;
    if !data.starts_with(store.paths().root()) {
        kept.push(Kept { what: "ports of VMs".to_owned(), bytes: room.of(&data), path: data, remove: None });
    }
    kept.retain(|one| one.path.exists());
    Ok(kept)
}

/// Counts files once, by whatever names they are found.
#[derive(Default)]
struct Room {
    seen: HashSet<(u64, u64)>,
}

impl Room {
    /// Bytes that a folder takes on the disk, as far as nothing counted before has them.
    fn of(&mut self, folder: &Path) -> u64 {
        let mut bytes = 0;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                bytes += self.of(&entry.path());
            } else {
                bytes += self.file(&about);
            }
        }
        bytes
    }

    #[cfg(unix)]
    fn file(&mut self, about: &fs::Metadata) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        // A disk of 20 GB takes what is written of it.
        if self.seen.insert((about.dev(), about.ino())) { about.blocks() * 512 } else { 0 }
    }

    #[cfg(not(unix))]
    fn file(&mut self, about: &fs::Metadata) -> u64 {
        about.len()
    }
}

fn size(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

fn fields(one: &Kept) -> Value {
    json!({
        "What": one.what,
        "Size": size(one.bytes),
        "Bytes": one.bytes,
        "Path": one.path.display().to_string(),
        "Remove": one.remove.clone().unwrap_or_default(),
    })
}

/// For `-o`; the schema is in docs/output.md.
fn document(one: &Kept) -> Value {
    json!({ "what": one.what, "bytes": one.bytes, "path": one.path.display().to_string(), "remove": one.remove })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn l17_a_file_counts_once_and_holes_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(two.join("deep")).unwrap();
        machine_base::files::write(&one.join("file"), vec![1; 1 << 20], machine_base::files::Mode::Private).unwrap();
        fs::hard_link(one.join("file"), two.join("deep/same")).unwrap();
        fs::File::create(two.join("disk")).unwrap().set_len(1 << 40).unwrap();
        let mut room = Room::default();
        assert!((1 << 20..2 << 20).contains(&room.of(&one)));
        assert!(room.of(&two) < 1 << 20);
        assert_eq!(room.of(&dir.path().join("none")), 0);
    }
}
