//! Which accelerator a VM gets. Main item: [`choose`].
//!
//! What was found out by trying ([`crate::probe`]) is remembered in the cache folder for as long as nothing has changed that
//! could change it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use machine_base::files::{self, Mode};
use machine_driver::{Context, Diagnostic, Kind, Result};
use machine_guest::Arch;
use serde::{Deserialize, Serialize};

use crate::settings::{Accel, Settings, refuse};
use crate::timing::Timing;
use crate::{platform, probe};

/// A probe that failed may have failed for a passing reason, such as a busy computer.
const FAILED: Duration = Duration::from_secs(3600);
/// Entries kept; the oldest go.
const KEPT: usize = 16;

/// What a VM gets, and what the user should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) accel: Accel,
    /// Why it is emulation.
    pub(crate) note: Option<String>,
}

/// The accelerator asked for, if it works here; for `auto` the first that does, else emulation.
///
/// `version` is what the program says of itself.
pub(crate) async fn choose(cx: &Context, s: &Settings, timing: &Timing, version: &str) -> Result<Choice> {
    let arch = s.arch();
    match s.accel {
        Accel::Tcg => Ok(Choice { accel: Accel::Tcg, note: None }),
        Accel::Auto => {
            let Some(accel) = platform::accelerator().filter(|_| Arch::here() == Some(arch)) else {
                let note =
                    format!("{} guests are emulated on this computer, which is some ten times slower", arch.uname());
                return Ok(Choice { accel: Accel::Tcg, note: Some(note) });
            };
            Ok(match works(&cx.cache_dir, timing, (&s.program(), version), arch, accel).await {
                Ok(()) => Choice { accel, note: None },
                Err(why) => {
                    let note =
                        format!("no hardware acceleration: the VM is emulated, some ten times slower ({accel}: {why})");
                    Choice { accel: Accel::Tcg, note: Some(note) }
                }
            })
        }
        accel => match works(&cx.cache_dir, timing, (&s.program(), version), arch, accel).await {
            Ok(()) => Ok(Choice { accel, note: None }),
            Err(why) => {
                let mut error = refuse(format!("{accel} cannot run guests here"));
                error.causes.push(why);
                Err(error.hint("leave --qemu-accel out to take what works; tcg (emulation) always does"))
            }
        },
    }
}

/// Whether this accelerator runs guests here, by `(program, what it says it is)`; else why not.
pub(crate) async fn works(
    cache_dir: &Path,
    timing: &Timing,
    (program, version): (&str, &str),
    arch: Arch,
    accel: Accel,
) -> Result<(), String> {
    if Arch::here() != Some(arch) {
        return Err(format!("it runs guests of this computer's own kind, not {}", arch.uname()));
    }
    if accel == Accel::Kvm {
        platform::kvm_opens()?;
    }
    let memory = Memory::of(cache_dir);
    let key = format!("{accel} {program} {version} {}", platform::identity());
    if let Some(known) = memory.recall(&key) {
        return known;
    }
    let scratch = cache_dir.join("qemu");
    files::create_dir_private(&scratch).map_err(|e| e.to_string())?;
    let found = probe::runs(program, arch, accel, &scratch, timing.probe).await;
    tracing::debug!(%accel, ?found, "probed");
    // What cannot be remembered is found out again.
    if let Err(e) = memory.note(key, &found) {
        tracing::debug!(error = %e, "the probe's outcome is not kept");
    }
    found
}

/// What was found out earlier.
struct Memory {
    file: PathBuf,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    /// Seconds since 1970.
    when: u64,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Memory {
    fn of(cache_dir: &Path) -> Self {
        Self { file: cache_dir.join("qemu/accelerators.json") }
    }

    /// A file that is not there or not ours is an empty one.
    fn read(&self) -> BTreeMap<String, Entry> {
        let bytes = files::read(&self.file, files::SMALL).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn recall(&self, key: &str) -> Option<Result<(), String>> {
        let entry = self.read().remove(key)?;
        match entry.trouble {
            None => Some(Ok(())),
            Some(why) => (now().saturating_sub(entry.when) < FAILED.as_secs()).then_some(Err(why)),
        }
    }

    fn note(&self, key: String, found: &Result<(), String>) -> Result<()> {
        let mut all = self.read();
        all.insert(key, Entry { when: now(), trouble: found.clone().err() });
        while all.len() > KEPT {
            let oldest = all.iter().min_by_key(|(_, entry)| entry.when).map(|(key, _)| key.clone());
            all.remove(&oldest.unwrap_or_default());
        }
        let text = serde_json::to_vec_pretty(&all)
            .map_err(|e| Diagnostic::new(Kind::Failure, "the list does not serialise").caused_by(&e))?;
        Ok(files::write(&self.file, text, Mode::Private)?)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_remembered_for_good_and_failure_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        files::create_dir_private(&dir.path().join("qemu")).unwrap();
        let memory = Memory::of(dir.path());
        assert_eq!(memory.recall("a"), None);
        memory.note("a".to_owned(), &Ok(())).unwrap();
        memory.note("b".to_owned(), &Err("why".to_owned())).unwrap();
        assert_eq!((memory.recall("a"), memory.recall("b")), (Some(Ok(())), Some(Err("why".to_owned()))));
        let aged = std::fs::read_to_string(&memory.file).unwrap();
        let when = serde_json::from_str::<BTreeMap<String, Entry>>(&aged).unwrap()["b"].when;
        let aged = aged.replace(&when.to_string(), &(when - FAILED.as_secs()).to_string());
        #[expect(clippy::disallowed_methods, reason = "a test's own input")]
        std::fs::write(&memory.file, aged).unwrap();
        assert_eq!((memory.recall("a"), memory.recall("b")), (Some(Ok(())), None));
        for n in 0..40 {
            memory.note(format!("k{n}"), &Ok(())).unwrap();
        }
        assert_eq!(memory.read().len(), KEPT);
    }
}
