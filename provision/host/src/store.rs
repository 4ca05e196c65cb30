//! The store: the folder that holds everything.
//!
//! The main type is [`Store`]. Reading makes and changes nothing, not even the folder. A machine appears and disappears
//! whole, by renaming its folder; what a killed process left behind has a hidden name and a free kernel lock, and the
//! next `create` or `rm` sweeps it away.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use machine_base::files::{self, Mode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::lock::{self, Lock, Locks};
use crate::name::HostName;
use crate::paths::{GONE, LOCKS, MARK, MachinePaths, NEW, StorePaths};
use crate::record::{RECORD_VERSION, Record};

mod list;

pub use self::list::Entry;

/// The version of `store.json` this program writes.
pub const STORE_VERSION: u32 = 1;

/// What may lie in an empty store's folder: our own beginnings, the promises of ports that all stores of a user share, and
/// what systems put into any folder.
const NOTHING: &[&str] = &[LOCKS, "ports", "lost+found", ".DS_Store"];

/// `store.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Identity {
    version: u32,
    /// A UUID: providers' resources are tagged with it.
    id: String,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// Everything we remember, on disk. Cheap to open.
#[derive(Debug, Clone)]
pub struct Store {
    paths: StorePaths,
    id: Option<String>,
}

impl Store {
    /// Opens a store to read it. A folder that is missing or empty is a store without machines, and stays so.
    ///
    /// Refuses a newer store, a folder that is in use for something else, and one of another user.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = std::path::absolute(root.as_ref()).map_err(Error::io("find", root.as_ref()))?;
        let paths = StorePaths::new(root);
        let id = read_identity(&paths)?.map(|identity| identity.id);
        Ok(Self { paths, id })
    }

    /// Opens a store to write to it, and makes it where there is none. Any number of processes at once make one store.
    pub fn open_or_create(root: impl AsRef<Path>) -> Result<Self> {
        let mut store = Self::open(root)?;
        if store.id.is_some() {
            return Ok(store);
        }
        files::create_dir_private(store.paths.root())?;
        #[cfg(unix)]
        close_to_others(store.paths.root())?;
        let _lock = store.locks().acquire(Lock::Store, lock::WAIT, "make the store")?;
        if let Some(identity) = read_identity(&store.paths)? {
            store.id = Some(identity.id);
            return Ok(store);
        }
        let identity = Identity { version: STORE_VERSION, id: Uuid::new_v4().to_string(), unknown: Map::new() };
        write_json(&store.paths.store(), &identity)?;
        store.id = Some(identity.id);
        Ok(store)
    }

    /// The store's UUID; `None` while there is no store on disk.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The store's file names. The root is absolute.
    pub fn paths(&self) -> &StorePaths {
        &self.paths
    }

    /// One machine's file names, whether or not it exists.
    pub fn machine_paths(&self, name: &HostName) -> MachinePaths {
        self.paths.machine(name)
    }

    /// A fresh set of locks: one for each operation.
    pub fn locks(&self) -> Locks {
        Locks::new(self.paths.locks())
    }

    /// Says whether there is a machine of this name, readable or not. A link is none, here as in [`Store::names`]: what is
    /// removed would be the link.
    pub fn exists(&self, name: &HostName) -> bool {
        fs::symlink_metadata(self.machine_paths(name).dir()).is_ok_and(|data| data.is_dir())
    }

    /// Reads one record. A newer one is read where this version understands it: see [`Record::version`].
    pub fn read(&self, name: &HostName) -> Result<Record> {
        let (path, bytes) = self.read_bytes(name)?;
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| match version_of(&bytes) {
            Some(found) if found > RECORD_VERSION => newer(name, found),
            _ => damaged(name, &path, error.to_string()),
        })?;
        if record.name != name.as_str() {
            return Err(damaged(name, &path, format!("it is the record of machine \"{}\"", record.name)));
        }
        Ok(record)
    }

    /// Replaces a machine's record. Refuses to write over a newer one, and to bring a removed machine back.
    pub fn save(&self, record: &Record) -> Result<()> {
        let name = self.writable(record)?;
        let path = self.machine_paths(&name).record();
        match files::read(&path, files::SMALL) {
            Ok(bytes) => match version_of(&bytes) {
                Some(found) if found > RECORD_VERSION => return Err(newer(&name, found)),
                _ => {}
            },
            Err(error) if error.kind() == ErrorKind::NotFound && self.exists(&name) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::NoMachine(name)),
            Err(error) => return Err(Error::io("read", &path)(error)),
        }
        write_json(&path, record)
    }

    /// Writes down that `rm` has begun, in a record of any version, leaving everything else as it is.
    ///
    /// On a full disk it cannot, and that is no error: what removes must not need room, and goes on just as well
    /// without the mark when it is run again.
    pub fn mark_removing(&self, name: &HostName) -> Result<()> {
        let (path, bytes) = self.read_bytes(name)?;
        let mut record: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|error| damaged(name, &path, error.to_string()))?;
        record.insert("removing".into(), true.into());
        match write_json(&path, &record) {
            Err(Error::Io { source, .. })
                if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
            {
                tracing::warn!(path = %path.display(), "no room to write down that the machine is being removed");
                Ok(())
            }
            written => written,
        }
    }

    /// Makes a machine: its folder appears with the record in it, or not at all. Of two at once one wins, the other gets
    /// [`Error::MachineExists`].
    pub fn create(&self, record: &Record) -> Result<()> {
        let name = self.writable(record)?;
        let folder = self.paths.machines();
        files::create_dir_private(&folder)?;
        sweep(&folder);
        if self.exists(&name) {
            return Err(Error::MachineExists(name));
        }
        let (temporary, _alive) = loop {
            let temporary = folder.join(format!("{NEW}{name}{MARK}{}", Uuid::new_v4()));
            files::create_dir_private(&temporary)?;
            // A sweeper may be faster: then another one is made.
            if let Some(alive) = claim(&temporary) {
                break (temporary, alive);
            }
        };
        write_json(&MachinePaths::new(&temporary).record(), record)?;
        let target = self.machine_paths(&name);
        match fs::rename(&temporary, target.dir()) {
            Ok(()) => Ok(files::sync_folder(&folder)?),
            Err(error) => {
                // Ours alone, and not yet a machine. What cannot be removed is swept later.
                let _ = fs::remove_dir_all(&temporary);
                Err(if self.exists(&name) {
                    Error::MachineExists(name)
                } else if fs::symlink_metadata(target.dir()).is_ok() {
                    let hint = "move it away; to keep machines elsewhere, move the whole store (`--storage-path`)";
                    let why = "it is a link or a file, and a machine's folder is neither".to_owned();
                    Error::Corrupt { path: target.dir().to_path_buf(), why, hint: Some(hint.into()) }
                } else {
                    Error::io("make", target.dir())(error)
                })
            }
        }
    }

    /// Forgets a machine: its folder is gone at once and whole, then deleted.
    pub fn remove(&self, name: &HostName) -> Result<()> {
        let folder = self.paths.machines();
        let target = self.machine_paths(name);
        let gone = folder.join(format!("{GONE}{name}{MARK}{}", Uuid::new_v4()));
        let renamed = fs::rename(target.dir(), &gone);
        let result = match renamed {
            Ok(()) => {
                files::sync_folder(&folder)?;
                match fs::remove_dir_all(&gone) {
                    Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("delete", &gone)(error)),
                    _ => Ok(()),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NoMachine(name.clone())),
            Err(error) => Err(Error::io("remove", target.dir())(error)),
        };
        sweep(&folder);
        result
    }

    /// Deletes what an `rm` or a `create` that was killed left of a machine's folder. What is in use stays.
    pub fn sweep(&self) {
        sweep(&self.paths.machines());
    }

    fn read_bytes(&self, name: &HostName) -> Result<(PathBuf, Vec<u8>)> {
        let path = self.machine_paths(name).record();
        match files::read(&path, files::SMALL) {
            Ok(bytes) => Ok((path, bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound && self.exists(name) => {
                Err(damaged(name, &path, "the file is missing".into()))
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(Error::NoMachine(name.clone()))
            }
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    fn writable(&self, record: &Record) -> Result<HostName> {
        let name: HostName = record.name.parse()?;
        if record.version > RECORD_VERSION { Err(newer(&name, record.version)) } else { Ok(name) }
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(|error| Error::io("write", path)(std::io::Error::from(error)))?;
    text.push('\n');
    Ok(files::write(path, text, Mode::Private)?)
}

fn version_of(bytes: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    serde_json::from_slice::<Versioned>(bytes).ok().map(|versioned| versioned.version)
}

fn newer(name: &HostName, found: u32) -> Error {
    Error::Newer { what: format!("the record of machine \"{name}\""), found, known: RECORD_VERSION }
}

fn damaged(name: &HostName, path: &Path, why: String) -> Error {
    let hint = format!(
        "put the file right or bring it back from a backup; `machine rm -f {name}` removes the machine here, but cannot \
         delete what a provider keeps for it"
    );
    Error::Corrupt { path: path.to_path_buf(), why, hint: Some(hint) }
}

/// `None`: there is no store yet, and nothing else either.
fn read_identity(paths: &StorePaths) -> Result<Option<Identity>> {
    let root = paths.root();
    let data = match fs::metadata(root) {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", root)(error)),
    };
    if !data.is_dir() {
        return Err(Error::Foreign { path: root.to_path_buf(), docker_machine: false });
    }
    #[cfg(unix)]
    check_owner(root, std::os::unix::fs::MetadataExt::uid(&data), rustix::process::geteuid().as_raw())?;
    let path = paths.store();
    let bytes = match files::read(&path, files::SMALL) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return refuse_strangers(paths).map(|()| None),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    #[cfg(unix)]
    check_mode(root, std::os::unix::fs::MetadataExt::mode(&data))?;
    if let Some(found) = version_of(&bytes).filter(|found| *found > STORE_VERSION) {
        return Err(Error::Newer { what: format!("the store {}", root.display()), found, known: STORE_VERSION });
    }
    match serde_json::from_slice::<Identity>(&bytes) {
        Ok(identity) if !identity.id.is_empty() => Ok(Some(identity)),
        Ok(_) => Err(Error::Corrupt { path, why: "the id is empty".into(), hint: Some(IDENTITY_HINT.into()) }),
        Err(error) => Err(Error::Corrupt { path, why: error.to_string(), hint: Some(IDENTITY_HINT.into()) }),
    }
}

const IDENTITY_HINT: &str =
    "bring it back from a backup: it holds the id that this store's resources at the providers are tagged with";

#[cfg(unix)]
fn check_owner(root: &Path, owner: u32, us: u32) -> Result<()> {
    if owner == us { Ok(()) } else { Err(Error::OtherOwner { path: root.to_path_buf(), owner, us }) }
}

/// Who may write to a store decides which keys are trusted and which programs run, as sshd holds it with `~/.ssh`.
#[cfg(unix)]
fn check_mode(root: &Path, mode: u32) -> Result<()> {
    if mode & 0o022 == 0 { Ok(()) } else { Err(Error::OthersWrite { path: root.to_path_buf(), mode: mode & 0o777 }) }
}

/// An empty folder of ours that becomes a store is for us alone from then on.
#[cfg(unix)]
fn close_to_others(root: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(root).map_err(Error::io("read", root))?.permissions().mode();
    if mode & 0o022 == 0 {
        return Ok(());
    }
    fs::set_permissions(root, fs::Permissions::from_mode(mode & 0o755)).map_err(Error::io("close", root))
}

/// Refuses a folder without `store.json` that holds more than a store's beginnings.
fn refuse_strangers(paths: &StorePaths) -> Result<()> {
    let root = paths.root();
    let mut strange = false;
    for entry in fs::read_dir(root).map_err(Error::io("read", root))? {
        let name = entry.map_err(Error::io("read", root))?.file_name();
        let name = name.to_string_lossy();
        strange |= !(NOTHING.contains(&name.as_ref()) || name.starts_with(files::TEMPORARY));
    }
    if !strange {
        return Ok(());
    }
    // Between our looks for the file and at the folder another process may have made the store.
    if paths.store().exists() {
        return Ok(());
    }
    let any_machine_has = |file: &str| {
        let machines = fs::read_dir(paths.machines());
        machines.is_ok_and(|mut machines| machines.any(|m| m.is_ok_and(|m| m.path().join(file).exists())))
    };
    if any_machine_has(crate::paths::RECORD) {
        return Err(Error::Missing { what: "the store's identity", path: paths.store(), hint: IDENTITY_HINT.into() });
    }
    let docker_machine = any_machine_has("config.json") || (paths.certs().exists() && paths.machines().exists());
    Err(Error::Foreign { path: root.to_path_buf(), docker_machine })
}

/// Shows that a folder which is being made has a living maker. `None`: a sweeper was faster.
fn claim(folder: &Path) -> Option<Option<File>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let file = File::open(folder).ok()?;
        // Where there are no locks nobody sweeps either.
        if file.lock().is_err() {
            return Some(None);
        }
        file.metadata().is_ok_and(|data| data.nlink() > 0).then_some(Some(file))
    }
    // Folders cannot be locked there: leftovers stay until somebody deletes them.
    #[cfg(not(unix))]
    {
        let _ = folder;
        Some(None)
    }
}

/// Deletes what dead processes left half-made or half-deleted. Trouble is left to the next one: none of it is visible.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(GONE) {
            let _ = fs::remove_dir_all(entry.path());
        } else if cfg!(unix)
            && name.starts_with(NEW)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests put files there as others leave them")]
mod tests;
