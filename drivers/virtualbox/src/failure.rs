//! What VirtualBox refused, as its own code and words. Main type: [`Failure`].

use machine_driver::{Diagnostic, Kind};

/// VirtualBox's code for what it does not know: the one answer that says "no such VM".
const NOT_FOUND: u32 = 0x80bb_0001;
/// A VM in other hands, or in a state that is passing.
const LOCKED: u32 = 0x80bb_0007;
const UNEXPECTED: u32 = 0x8000_ffff;
/// What it was asked of has just ended.
const ABORTED: u32 = 0x8000_4004;
/// Means several things, told apart by their words.
const DENIED: u32 = 0x8007_0005;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was asked: `startvm`.
    pub(crate) call: String,
    /// VirtualBox's number of it.
    pub(crate) code: Option<u32>,
    /// Its words, a line each.
    pub(crate) said: Vec<String>,
}

impl Failure {
    /// Reads what was written to standard error. `None`: no error stands there; progress and warnings are none.
    pub(crate) fn read(call: &str, text: &str) -> Option<Self> {
        let errors: Vec<&str> = text.lines().filter_map(error).collect();
        if errors.is_empty() {
            return None;
        }
        let said = errors.iter().filter(|line| !line.starts_with("Details: ") && !line.starts_with("Context: "));
        let said = said.map(|line| (*line).to_owned()).collect();
        Some(Self { call: call.to_owned(), code: errors.iter().find_map(|line| code(line)), said })
    }

    fn says(&self, words: &str) -> bool {
        self.said.iter().any(|line| line.contains(words))
    }

    /// VirtualBox does not know it.
    pub(crate) fn not_found(&self) -> bool {
        self.code == Some(NOT_FOUND)
    }

    /// A VM whose settings VirtualBox cannot read.
    pub(crate) fn inaccessible(&self) -> bool {
        self.code == Some(DENIED) && self.says("functionality is limited")
    }

    /// It passes by itself, mostly within a second.
    pub(crate) fn passing(&self) -> bool {
        match self.code {
            // The VM's process was just coming or going; the number differs.
            _ if self.says("from the direct session") => true,
            Some(LOCKED | UNEXPECTED | ABORTED) => true,
            Some(DENIED) => self.says("is not ready") || self.says("tried to lock"),
            _ => false,
        }
    }

    /// The call met a service that was just going down.
    pub(crate) fn met_an_ending(&self) -> bool {
        self.says("Failed to create the VirtualBox object")
    }
}

/// What stands behind `VBoxManage: error: `, or behind Windows's form of it.
fn error(line: &str) -> Option<&str> {
    // Progress has no newline of its own: `0%...10%...VBoxManage: error:` has been seen.
    let (_, rest) = line.split_once("VBoxManage: error: ").or_else(|| line.split_once("VBoxManage.exe: error: "))?;
    Some(rest.trim_end())
}

/// `… (0x80bb0001)…`, whole.
fn code(line: &str) -> Option<u32> {
    let named = line.starts_with("Details: code ") || line.starts_with("Code ");
    let (_, rest) = line.split_once("(0x").filter(|_| named)?;
    let (digits, _) = rest.split_once(')')?;
    u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 8)
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        let kind = if failure.passing() { Kind::Busy } else { Kind::Failure };
        let error =
            Self { causes: failure.said.clone(), ..Self::new(kind, format!("VirtualBox refused {}", failure.call)) };
        let error = match failure.code {
            Some(code) if failure.said.is_empty() => error.cause(format!("code 0x{code:08x}")),
            _ => error,
        };
        match advice(&failure) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// What mends it, where its words tell.
fn advice(failure: &Failure) -> Option<&'static str> {
    const KVM: &str =
        "KVM has the processor's virtualisation: end the VMs that use it, or `sudo modprobe -r kvm_intel kvm_amd`";
    const MODULE: &str = "VirtualBox's kernel module does not run: `machine doctor -d virtualbox` says why";
    const ADVICE: &[(&str, &str)] = &[
        ("VERR_VMX_IN_VMX_ROOT_MODE", KVM),
        ("VERR_SVM_IN_USE", KVM),
        ("VERR_VMX_NO_VMX", "switch virtualisation (VT-x) on in the firmware of this computer"),
        ("VERR_SVM_DISABLED", "switch virtualisation (AMD-V) on in the firmware of this computer"),
        ("VERR_NEM_", "Hyper-V is on and VirtualBox cannot run on it: update VirtualBox, or switch Hyper-V off"),
        ("VERR_VM_DRIVER_", MODULE),
        ("VERR_SUP_DRIVERLESS", MODULE),
        ("terminated unexpectedly during startup with exit code 1 ", MODULE),
        (
            "Failed to initialize COM",
            "VirtualBox cannot write its settings: see ~/.config/VirtualBox, or what VBOX_USER_HOME names",
        ),
    ];
    ADVICE.iter().find(|(words, _)| failure.says(words)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_and_words_only_where_a_code_means_several_things() {
        let denied = |words: &str| {
            let text = format!(
                "VBoxManage: error: {words}\nVBoxManage: error: Details: code E_ACCESSDENIED (0x80070005), component X\n"
            );
            Failure::read("showvminfo", &text).unwrap()
        };
        let failure = denied("The object is not ready");
        assert!(failure.passing() && !failure.inaccessible() && !failure.not_found());
        let failure = denied("The object functionality is limited");
        assert!(!failure.passing() && failure.inaccessible());
        assert!(denied("An unexpected process (PID=0x00001234) has tried to lock the machine 'dev'").passing());
        assert!(!denied("no").passing());
        // A look at a VM that another command was just starting.
        let text = "VBoxManage: error: Code NS_ERROR_ABORT (0x80004004) - Operation aborted (extended info not available)\n\
                    VBoxManage: error: The session is not locked (session state: Unlocked)\n\
                    VBoxManage: error: Details: code NS_ERROR_UNEXPECTED (0x8000ffff), component SessionWrap, interface ISession\n";
        assert!(Failure::read("showvminfo", text).unwrap().passing());
        // Without text, and after progress; Windows's name of the program.
        let text = "0%...10%...VBoxManage.exe: error: Code E_ACCESSDENIED (0x80070005) - Access denied (extended info not available)\n";
        let failure = Failure::read("hostonlyif", text).unwrap();
        assert_eq!((failure.code, failure.said.len()), (Some(DENIED), 1));
        assert_eq!(Failure::read("x", "0%...100%\nVBoxManage: warning: slow\n"), None);
    }

    #[test]
    fn what_was_refused_is_told_with_what_mends_it() {
        let text = "VBoxManage: error: VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE).\n\
                    VBoxManage: error: Details: code NS_ERROR_FAILURE (0x80004005), component ConsoleWrap, interface IConsole\n";
        let error = Diagnostic::from(Failure::read("startvm", text).unwrap());
        assert_eq!(error.message, "VirtualBox refused startvm");
        assert_eq!(error.causes, ["VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE)."]);
        assert!(error.hint.unwrap().starts_with("KVM has "));
    }
}
