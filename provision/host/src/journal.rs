//! What was done to a machine: `journal.jsonl`, one event a line.
//!
//! The main type is [`Journal`]; what it amounts to is a [`State`], computed by [`next`] alone, live and when reading
//! back. A line is on disk before the thing it announces begins. The machine's lock must be held to append.

mod event;
mod state;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use machine_base::files;

pub use self::event::{CREATE, Event, REMOVE, Stamped, StepId};
pub use self::state::{State, Suspended, next};
use crate::clock;
use crate::error::{Error, Result};

/// One machine's journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    state: State,
    damage: Option<String>,
    /// The file ends in the middle of a line: the writer was killed.
    torn: bool,
    /// The machine's folder goes: nothing is written any more.
    closed: bool,
    /// The machine has no folder yet: lines are kept here until it has.
    held: Option<String>,
    file: Option<File>,
}

/// A longer journal is none of ours: an operation adds some twenty lines.
const LONGEST: u64 = 64 << 20;
/// What is read of its end, where the last line alone counts: more than nearly every line has.
const PIECE: u64 = 8192;

impl Journal {
    /// Reads a journal; one that is not there is empty. Changes nothing.
    ///
    /// A line that a dying writer left unfinished is passed over, and so are events of newer versions. A story that
    /// cannot be is told by [`Journal::damage`]; its operation then counts as never begun, which is safe, because every
    /// step looks before it acts.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let bytes = match files::read(&path, LONGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let mut state = State::default();
        let mut damage = None;
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let Some(stamped) = parse(line) else { continue };
            match next(state.clone(), &stamped.event) {
                Ok(next) => {
                    state = next;
                    if matches!(stamped.event, Event::Begin { .. }) {
                        damage = None;
                    }
                }
                Err(error) => {
                    damage.get_or_insert_with(|| format!("line {}: {error}", index + 1));
                    state = state.without_operation();
                }
            }
        }
        let torn = bytes.last().is_some_and(|byte| *byte != b'\n');
        Ok(Self { path, state, damage, torn, closed: false, held: None, file: None })
    }

    /// Writes an event down, durably, and goes on to the state it makes. Refuses what [`next`] refuses.
    pub fn append(&mut self, event: Event) -> Result<()> {
        let state = next(self.state.clone(), &event)?;
        if self.closed {
            self.state = state;
            return Ok(());
        }
        let line = serde_json::to_string(&Stamped { time: clock::now(), event: event.clone() })
            .map_err(|error| Error::io("write", &self.path)(error.into()))?;
        if let Some(held) = &mut self.held {
            held.push_str(&line);
            held.push('\n');
            self.state = state;
            return Ok(());
        }
        // After a torn line ours begins on its own.
        let line = if self.torn { format!("\n{line}\n") } else { format!("{line}\n") };
        match self.write(&line) {
            Err(Error::Io { source, .. }) if state.operation.as_deref() == Some(REMOVE) && is_full(&source) => {
                tracing::warn!(path = %self.path.display(), "no room to write down how far the removal is");
            }
            written => written?,
        }
        if matches!(event, Event::Begin { .. }) {
            self.damage = None;
        }
        self.state = state;
        Ok(())
    }

    fn write(&mut self, line: &str) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_to_append(&self.path)?),
        };
        // Until all of it is known to be there, a failed write counts as torn.
        self.torn = true;
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(Error::io("write", &self.path))?;
        self.torn = false;
        Ok(())
    }

    /// Keeps what is appended from here on in memory: the machine has no folder yet, and may never get one.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Writes down what was held, now that the folder is there.
    pub fn release(&mut self) -> Result<()> {
        match self.held.take() {
            Some(lines) if !lines.is_empty() => self.write(&lines),
            _ => Ok(()),
        }
    }

    /// Lets go of the file, for the machine's folder is about to be deleted: what is appended from here on is not written.
    pub fn close(&mut self) {
        self.file = None;
        self.closed = true;
    }

    /// Where the last operation stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Says what is wrong with the file, until the next operation begins.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Every event with its time, oldest first, for `inspect` and `--timings`.
    pub fn events(path: &Path) -> Result<Vec<Stamped>> {
        match files::read(path, LONGEST) {
            Ok(bytes) => Ok(bytes.split(|byte| *byte == b'\n').filter_map(parse).collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// The last event, read from the file's end alone: `ls` asks this of a thousand machines. [`Event::End`] means that
    /// all is well. `None` for an empty journal.
    pub fn last(path: &Path) -> Result<Option<Stamped>> {
        let (bytes, whole) = match files::read_end(path, PIECE) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        match bytes.rsplit(|byte| *byte == b'\n').filter(|line| !line.is_empty()).find_map(parse) {
            Some(last) => Ok(Some(last)),
            // One line longer than what was read, an error's text: then read it all.
            None if !whole => Ok(Self::events(path)?.pop()),
            None => Ok(None),
        }
    }
}

/// `None` for a torn line and for an event of a newer version.
fn parse(line: &[u8]) -> Option<Stamped> {
    serde_json::from_slice(line).ok()
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn open_to_append(path: &Path) -> Result<File> {
    let file =
        files::open_private(OpenOptions::new().append(true).create(true), path).map_err(Error::io("open", path))?;
    if let Some(folder) = path.parent() {
        files::sync_folder(folder)?;
    }
    Ok(file)
}
