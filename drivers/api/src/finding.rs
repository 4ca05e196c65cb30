//! What `machine doctor` says of this computer: [`Finding`].

/// How good what was found is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Works, and could work better: slower, or one command less.
    Poor,
    /// What was asked about cannot work like this.
    Bad,
}

/// A package by its names in the worlds of packages; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Package {
    /// Debian, Ubuntu.
    pub debian: String,
    /// Fedora, Red Hat.
    pub fedora: String,
    /// Arch.
    pub arch: String,
    /// openSUSE.
    pub suse: String,
    /// Alpine.
    pub alpine: String,
    /// Homebrew.
    pub brew: String,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// What it is, in a word or two: `qemu-system-x86_64`, `KVM`.
    pub what: String,
    /// How good it is.
    pub verdict: Verdict,
    /// One line: what was found, or what is wrong with it.
    pub detail: String,
    /// What brings it.
    pub package: Option<Package>,
    /// What else mends it, as one line: a command where there is one.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn fine(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Fine, detail: detail.into(), package: None, remedy: None }
    }

    /// It works, and could work better.
    pub fn poor(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Poor, ..Self::fine(what, detail) }
    }

    /// It cannot work.
    pub fn bad(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::fine(what, detail) }
    }

    /// What brings it.
    #[must_use]
    pub fn package(self, package: Package) -> Self {
        Self { package: Some(package), ..self }
    }

    /// What mends it.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}
