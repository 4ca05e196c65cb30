//! Folders of this computer in a machine. Main types: [`Share`] and [`Sharing`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Diagnostic, Driver, Kind, Result};

/// A folder of this computer in a machine; written `FOLDER:FOLDER-IN-VM[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share {
    /// Here; absolute once [normalized](Share::normalized).
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
    /// [`Kind::Usage`]: a `~` which the shell left as it is; a path that is not Unicode.
    pub fn normalized(mut self, working_dir: &Path) -> Result<Self> {
        if let Some(rest) = self.from.strip_prefix("~/") {
            let refusal = Diagnostic::new(Kind::Usage, format!("the shell left {:?} as it is", self.from));
            let from = format!("$HOME/{rest}");
            return Err(refusal.hint(format!("write \"{}\"", Self { from, ..self })));
        }
        // Without a `.` in the middle or a slash at the end.
        let whole: PathBuf = working_dir.join(&self.from).components().collect();
        let text = whole
            .to_str()
            .ok_or_else(|| Diagnostic::new(Kind::Usage, format!("the path is not Unicode: {}", whole.display())))?;
        text.clone_into(&mut self.from);
        Ok(self)
    }

    /// Refuses a folder that is not there.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn check(&self) -> Result<()> {
        if Path::new(&self.from).is_dir() {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::Usage, format!("there is no folder {}", self.from)).hint("make it, or share another"))
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
        let wrong = || format!("invalid share {text:?}: give FOLDER:FOLDER-IN-VM, with :ro behind it for reading only");
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The name by which the hypervisor offers it. It begins with `machine-`, and two shares never have the same.
    pub tag: String,
    /// The line of fstab(5), its first field the tag.
    pub line: String,
}

/// A driver whose machines can have folders of this computer. A change is offered to a machine at its next start.
pub trait Sharing: Driver {
    /// Those of a machine.
    fn shares<'s>(&self, s: &'s Self::Settings) -> &'s [Share];
    /// The same, to change.
    fn shares_mut<'s>(&self, s: &'s mut Self::Settings) -> &'s mut Vec<Share>;
    /// How the machine mounts one.
    fn mount(&self, share: &Share) -> Mount;
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
        let normalized = |text: &str| text.parse::<Share>().unwrap().normalized(Path::new("/here"));
        assert_eq!(normalized("work:/w").unwrap().to_string(), "/here/work:/w");
        assert_eq!(normalized("./src/:/w").unwrap().to_string(), "/here/src:/w");
        assert_eq!(normalized("/srv:/w:ro").unwrap().to_string(), "/srv:/w:ro");
        let refused = normalized("~/x:/w:ro").unwrap_err();
        assert_eq!((refused.kind, refused.hint.unwrap().as_str()), (Kind::Usage, "write \"$HOME/x:/w:ro\""));
    }
}
