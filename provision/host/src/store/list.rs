//! Every machine of a store.

use std::fs;
use std::io::ErrorKind;

use super::Store;
use crate::error::{Error, Result};
use crate::name::HostName;
use crate::record::Record;

/// A thread costs as much as so many machines.
const FEW: usize = 64;

/// One row of [`Store::list`].
#[derive(Debug)]
pub struct Entry {
    /// The machine.
    pub name: HostName,
    /// Its record, or why it cannot be read.
    pub record: Result<Record>,
}

impl Store {
    /// Every machine's name, as people count: m1, m2, m10.
    pub fn names(&self) -> Result<Vec<HostName>> {
        let folder = self.paths.machines();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io("read", &folder)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &folder))?;
            // Hidden folders and strangers' files have names that machines cannot have, or are no folders.
            let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Every machine, in the order of [`Store::names`]. A record that cannot be read is a row with its trouble.
    pub fn list(&self) -> Result<Vec<Entry>> {
        self.list_with(|entry| entry)
    }

    /// Every machine as `look` sees it, in the order of [`Store::names`]. Many are looked at by several threads: what takes
    /// time is opening two files for each.
    pub fn list_with<T: Send>(&self, look: impl Fn(Entry) -> T + Sync) -> Result<Vec<T>> {
        let names = self.names()?;
        let read = |name: &HostName| look(Entry { record: self.read(name), name: name.clone() });
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let share = names.len().div_ceil(threads).max(FEW);
        if share >= names.len() {
            return Ok(names.iter().map(read).collect());
        }
        Ok(std::thread::scope(|scope| {
            let read = &read;
            let parts = names.chunks(share).map(|part| scope.spawn(move || part.iter().map(read).collect::<Vec<_>>()));
            let parts: Vec<_> = parts.collect();
            let seen = parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|e| std::panic::resume_unwind(e)));
            seen.collect()
        }))
    }
}
