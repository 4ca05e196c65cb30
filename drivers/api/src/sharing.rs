//! Folders of this computer in a machine. Main types: [`Share`] and [`Sharing`].

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::any::{from_value, to_value};
use crate::{Driver, DriverError, ErrorKind, Result};

/// A folder of this computer in a machine; written `FOLDER:FOLDER-IN-VM[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    /// Here; absolute once [settled](Share::settled).
    pub from: String,
    /// In the machine, absolute.
    pub to: String,
    /// Whether the machine may only read.
    pub read_only: bool,
}

impl Share {
    /// The same with a folder that does not depend on where the user stands.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`]: a `~` which the shell left as it is; a path that is not Unicode.
    pub fn settled(mut self, working_dir: &Path) -> Result<Self> {
        if let Some(rest) = self.from.strip_prefix("~/") {
            let refusal = DriverError::new(ErrorKind::Settings, format!("the shell left {:?} as it is", self.from));
            let from = format!("$HOME/{rest}");
            return Err(refusal.hint(format!("write \"{}\"", Self { from, ..self })));
        }
        // Without a `.` in the middle or a slash at the end.
        let whole: PathBuf = working_dir.join(&self.from).components().collect();
        let text = whole.to_str().ok_or_else(|| {
            DriverError::new(ErrorKind::Settings, format!("the path is not Unicode: {}", whole.display()))
        })?;
        text.clone_into(&mut self.from);
        Ok(self)
    }

    /// Refuses a folder that is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Settings`].
    pub fn check(&self) -> Result<()> {
        if Path::new(&self.from).is_dir() {
            return Ok(());
        }
        Err(DriverError::new(ErrorKind::Settings, format!("there is no folder {}", self.from))
            .hint("make it, or share another"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}{}", self.from, self.to, if self.read_only { ":ro" } else { "" })
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is no share: give FOLDER:FOLDER-IN-VM, with :ro behind it for reading only");
        let (rest, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text.strip_suffix(":rw").unwrap_or(text), false),
        };
        let (from, to) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let plain = to.starts_with('/') && to.len() > 1 && !to.contains(|c: char| c.is_control());
        if from.is_empty() || !plain {
            return Err(wrong());
        }
        Ok(Self { from: from.to_owned(), to: to.to_owned(), read_only })
    }
}

impl TryFrom<String> for Share {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> Self {
        share.to_string()
    }
}

/// How a machine comes by a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The name by which the hypervisor offers it. It begins with `machine-`, and two shares never have the same.
    pub tag: String,
    /// The line of fstab(5), its first field the tag.
    pub line: String,
}

/// A driver whose machines can have folders of this computer. A change is offered to a machine at its next start.
pub trait Sharing<D: Driver + ?Sized>: Send + Sync {
    /// Those of a machine.
    fn shares<'s>(&self, s: &'s D::Settings) -> &'s [Share];
    /// The same, to change.
    fn shares_mut<'s>(&self, s: &'s mut D::Settings) -> &'s mut Vec<Share>;
    /// How the machine mounts one.
    fn mount(&self, share: &Share) -> Mount;
}

/// The sharing that is not there; cannot be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoSharing {}

impl<D: Driver + ?Sized> Sharing<D> for NoSharing {
    fn shares<'s>(&self, _: &'s D::Settings) -> &'s [Share] {
        match *self {}
    }
    fn shares_mut<'s>(&self, _: &'s mut D::Settings) -> &'s mut Vec<Share> {
        match *self {}
    }
    fn mount(&self, _: &Share) -> Mount {
        match *self {}
    }
}

/// [`Sharing`] with its types rubbed out.
pub trait AnySharing: Send + Sync {
    /// See [`Sharing::shares`].
    ///
    /// # Errors
    /// The settings are not the driver's.
    fn shares(&self, settings: &Value) -> Result<Vec<Share>>;
    /// Puts these in their place.
    ///
    /// # Errors
    /// The settings are not the driver's.
    fn set_shares(&self, settings: &mut Value, shares: Vec<Share>) -> Result<()>;
    /// See [`Sharing::mount`].
    fn mount(&self, share: &Share) -> Mount;
}

/// A driver's sharing, with the driver it is for.
pub(crate) struct Erased<'d, D, S>(&'d S, PhantomData<fn() -> D>);

impl<'d, D, S> Erased<'d, D, S> {
    pub(crate) fn new(sharing: &'d S) -> Self {
        Self(sharing, PhantomData)
    }
}

impl<D: Driver, S: Sharing<D>> AnySharing for Erased<'_, D, S> {
    fn shares(&self, settings: &Value) -> Result<Vec<Share>> {
        let settings: D::Settings = from_value("settings", settings)?;
        Ok(self.0.shares(&settings).to_vec())
    }

    fn set_shares(&self, settings: &mut Value, shares: Vec<Share>) -> Result<()> {
        let mut s: D::Settings = from_value("settings", settings)?;
        *self.0.shares_mut(&mut s) = shares;
        // What other versions stored stays; what this one leaves out when it is empty goes.
        let (new, had) = (to_value(&s)?, to_value(&from_value::<D::Settings>("settings", settings)?)?);
        if let (Some(settings), Value::Object(new), Value::Object(had)) = (settings.as_object_mut(), new, had) {
            settings.retain(|key, _| new.contains_key(key) || !had.contains_key(key));
            settings.extend(new);
        }
        Ok(())
    }

    fn mount(&self, share: &Share) -> Mount {
        self.0.mount(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_word() {
        let share = |text: &str| text.parse::<Share>().map(|s| (s.from, s.to, s.read_only));
        let some = |from: &str, to: &str, read_only| Ok((from.to_owned(), to.to_owned(), read_only));
        assert_eq!(share("work:/work"), some("work", "/work", false));
        assert_eq!(share("/a:b:/c:ro"), some("/a:b", "/c", true));
        assert_eq!(share("/a:/c:rw"), some("/a", "/c", false));
        for wrong in ["", "/a", ":/a", "/a:", "/a:b", "/a:/", "/a:/b\n"] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_share_does_not_depend_on_where_one_stands() {
        let settled = |text: &str| text.parse::<Share>().unwrap().settled(Path::new("/here"));
        assert_eq!(settled("work:/w").unwrap().to_string(), "/here/work:/w");
        assert_eq!(settled("./work/:/w").unwrap().to_string(), "/here/work:/w");
        assert_eq!(settled("/srv:/w:ro").unwrap().to_string(), "/srv:/w:ro");
        let refused = settled("~/x:/w:ro").unwrap_err();
        assert_eq!((refused.kind, refused.hint.unwrap().as_str()), (ErrorKind::Settings, "write \"$HOME/x:/w:ro\""));
    }
}
