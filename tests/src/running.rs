//! A command that runs, with its streams collected as they come. Main type: [`Running`].

use std::io::{Read, Write as _};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::command::Cmd;
use crate::{Output, poll, until};

/// How long streams may stay open after the program's end before that counts as held by another process.
const STREAMS_CLOSE: Duration = Duration::from_secs(3);

/// A running command. Dropped, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    command: String,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
    deadline: Duration,
    ended: Option<(ExitStatus, Duration)>,
}

/// One stream, read by a thread of its own.
#[derive(Debug)]
pub(crate) struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    pub(crate) fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            // A terminal's other end closing is an error (EIO) where a pipe's is an end; both end here.
            while let Ok(count @ 1..) = from.read(&mut chunk) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&chunk[..count]);
            }
        });
        Self { bytes, reader }
    }

    pub(crate) fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.so_far()).into_owned()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.reader.is_finished()
    }
}

impl Running {
    #[track_caller]
    pub(crate) fn start(cmd: Cmd) -> Self {
        let text = cmd.text();
        let mut command = cmd.build();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if cmd.stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {text}: {error}"));
        if let Some(bytes) = cmd.stdin {
            let mut stdin = child.stdin.take().expect("asked for above");
            // A program that does not read what it is given breaks the pipe: its own affair.
            std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        Self {
            stdout: Stream::read(child.stdout.take().expect("asked for above")),
            stderr: Stream::read(child.stderr.take().expect("asked for above")),
            child,
            command: text,
            started: Instant::now(),
            deadline: cmd.deadline,
            ended: None,
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            let status = self.child.try_wait().expect("our own child can be waited for");
            self.ended = status.map(|status| (status, self.started.elapsed()));
        }
        self.ended.is_none()
    }

    /// Waits until it has written `text` on either stream.
    ///
    /// # Panics
    /// When it ends before, or `within` passes.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, within: Duration) {
        let seen = self.wait_for_or_end(text, within);
        assert!(seen, "{} ended without writing {text:?}:\n{}{}", self.command, self.stdout(), self.stderr());
    }

    /// As [`Self::wait_for`], but its end is an answer too: whether the text was written.
    #[track_caller]
    pub fn wait_for_or_end(&mut self, text: &str, within: Duration) -> bool {
        let command = self.command.clone();
        until(&format!("{text:?} from {command}"), within, || {
            let running = self.is_running();
            let done = !running && self.stdout.at_end() && self.stderr.at_end();
            if self.stdout().contains(text) || self.stderr().contains(text) {
                return Ok(true);
            }
            if done { Ok(false) } else { Err(format!("so far:\n{}{}", self.stdout(), self.stderr())) }
        })
    }

    /// Waits for its end, but no longer than this; whether it ended.
    pub fn wait_at_most(&mut self, within: Duration) -> bool {
        let start = Instant::now();
        while self.is_running() && start.elapsed() < within {
            poll::pause();
        }
        !self.is_running()
    }

    /// Waits for its end; the most memory that it had until then, in kB.
    pub fn peak_memory(&mut self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let mut most = 0;
        while self.is_running() {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            most = most.max(now.unwrap_or(0));
            poll::pause();
        }
        most
    }

    /// Sends it a signal. One that ended meanwhile gets none.
    pub fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            let pid = Pid::from_child(&self.child);
            rustix::process::kill_process(pid, signal).expect("our own child can be signalled");
        }
    }

    /// Ends it with SIGKILL, unless it has ended.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn kill(mut self) -> Output {
        self.signal(Signal::KILL);
        self.wait()
    }

    /// Waits for its end and takes what it wrote.
    ///
    /// # Panics
    /// When it is not done by its deadline. When its streams are still open after its end: some process it started
    /// holds them, and `$(machine …)` in a shell would hang.
    #[must_use = "judge it: `success()`, `failure(code)`, `assert_output!` or its fields"]
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let in_time = self.wait_at_most(left);
        let Some((status, took)) = self.ended.filter(|_| in_time) else {
            panic!("{} is not done after {:?}:\n{}{}", self.command, self.deadline, self.stdout(), self.stderr());
        };
        // After a kill its helpers may live a little longer than itself; that is no fault of it.
        let killed = std::os::unix::process::ExitStatusExt::signal(&status).is_some();
        let start = Instant::now();
        while !(self.stdout.at_end() && self.stderr.at_end()) && start.elapsed() < STREAMS_CLOSE {
            poll::pause();
        }
        let output = Output::new(self.command.clone(), status, &self.stdout.so_far(), &self.stderr.so_far(), took);
        let closed = self.stdout.at_end() && self.stderr.at_end();
        assert!(closed || killed, "a process started by `{}` holds its output open", output.command);
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
