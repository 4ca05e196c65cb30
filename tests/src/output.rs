//! What a finished command left. Main type: [`Output`].

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

/// A finished command: its exit code and everything it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// What was run, for people.
    pub command: String,
    /// The exit code, or 128 + the signal that ended it, as a shell says it.
    pub code: i32,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Everything on stdout. On a terminal: everything.
    pub stdout: String,
    /// Everything on stderr. On a terminal: nothing.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Output {
    pub(crate) fn new(command: String, status: ExitStatus, stdout: &[u8], stderr: &[u8], took: Duration) -> Self {
        let output = Self {
            command,
            code: status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1),
            signal: status.signal(),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
            took,
        };
        output.tell();
        output
    }

    /// The whole of it is shown with a failed test.
    #[expect(clippy::print_stderr, reason = "libtest shows it only with a test that failed")]
    fn tell(&self) {
        eprintln!("{self}");
    }

    /// Asserts exit code 0 and hands it on.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "should have succeeded:\n{self}");
        self
    }

    /// Asserts this exit code and hands it on.
    #[track_caller]
    pub fn failure(self, code: i32) -> Self {
        assert_ne!(code, 0, "a failure is never 0");
        assert_eq!(self.code, code, "should have ended with {code}:\n{self}");
        self
    }

    /// Asserts that stderr holds every one of these and hands it on.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "should have said {text:?}:\n{self}");
        }
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ {}", self.command)?;
        for (name, text) in [("", &self.stdout), ("! ", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "  {name}{line}")?;
            }
        }
        write!(f, "  = {} after {:.2} s", self.code, self.took.as_secs_f64())
    }
}

/// Has a test's panic said on stdout too: what it ran goes to stderr, and in a long log of a failed run the reason would
/// stand last.
pub(crate) fn say_reasons_first() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            #[expect(clippy::print_stdout, reason = "libtest shows it only with a test that failed")]
            {
                println!("{panic}");
            }
            usual(panic);
        }));
    });
}
