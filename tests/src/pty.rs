//! A command on a terminal of its own, as a person has it. Main type: [`Pty`].

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::command::Cmd;
use crate::running::Stream;
use crate::{Output, poll, until};

/// A running command whose stdin, stdout and stderr are one terminal of 80 × 24. Dropped, it is killed.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    command: String,
    terminal: File,
    output: Stream,
    seen: usize,
    started: Instant,
    deadline: Duration,
}

impl Pty {
    #[track_caller]
    pub(crate) fn start(mut cmd: Cmd) -> Self {
        let text = cmd.text();
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("a terminal of our own");
        let name = ptsname(&terminal, Vec::new()).expect("the terminal has a name");
        let name = name.into_string().expect("terminal names are ASCII");
        let other = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(&name)
            .unwrap_or_else(|error| panic!("cannot open {name}: {error}"));
        tcsetwinsize(&other, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        // setsid(1) makes it the controlling terminal and becomes the program: same pid, no unsafe code here.
        cmd.wrapper.splice(0..0, ["setsid".into(), "--ctty".into()]);
        cmd = cmd.env("TERM", "xterm");
        let clone = |file: &File| Stdio::from(file.try_clone().expect("a copy of the terminal"));
        let child = cmd
            .build()
            .stdin(clone(&other))
            .stdout(clone(&other))
            .stderr(clone(&other))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {text} on a terminal: {error}"));
        let terminal = File::from(terminal);
        let output = Stream::read(terminal.try_clone().expect("a copy of the terminal"));
        Self { child, command: text, terminal, output, seen: 0, started: Instant::now(), deadline: cmd.deadline }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `text` appears after what was waited for before.
    ///
    /// # Panics
    /// When the terminal closes before, or `within` passes.
    #[track_caller]
    pub fn expect(&mut self, text: &str, within: Duration) {
        let command = self.command.clone();
        let end = until(&format!("{text:?} on the terminal of {command}"), within, || {
            let closed = self.output.at_end();
            let all = self.output.so_far();
            let new = &all[self.seen..];
            match new.windows(text.len()).position(|window| window == text.as_bytes()) {
                Some(at) => Ok(self.seen + at + text.len()),
                None if closed => panic!("{command} ended without showing {text:?}:\n{}", String::from_utf8_lossy(new)),
                None => Err(format!("so far:\n{}", String::from_utf8_lossy(new))),
            }
        });
        self.seen = end;
    }

    /// Types this; `\r` is the return key, `\x03` is Ctrl-C.
    #[track_caller]
    pub fn send(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).expect("the terminal takes what is typed");
    }

    /// Waits for its end; everything the terminal showed is in `stdout`.
    ///
    /// # Panics
    /// When it is not done by its deadline.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our own child can be waited for") {
                break status;
            }
            let late = self.started.elapsed() > self.deadline;
            assert!(!late, "{} is not done after {:?}:\n{}", self.command, self.deadline, self.output.text());
            poll::pause();
        };
        let took = self.started.elapsed();
        let start = Instant::now();
        while !self.output.at_end() && start.elapsed() < Duration::from_secs(3) {
            poll::pause();
        }
        Output::new(self.command.clone(), status, &self.output.so_far(), &[], took)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
