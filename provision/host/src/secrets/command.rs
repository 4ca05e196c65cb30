//! `command:`: a program of the user's that prints the secret.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::access::KeeperError;
use super::{Access, Secret, resolve};

/// How often the end of the program is looked for.
const POLL: Duration = Duration::from_millis(5);

/// How much of what it says on standard error is kept.
const COMPLAINT: u64 = 4096;

/// Variables by which a program finds a person to ask.
const PEOPLE: &[&str] = &["DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY", "SSH_ASKPASS"];

/// Runs it without a shell, its standard input empty, and takes its standard output.
///
/// Where nobody may be asked it runs in a process group of its own, which cannot read from the terminal, and without the
/// variables that lead to a desktop.
pub(super) fn run(line: &str, access: &Access, withhold: &[String]) -> Result<Secret, KeeperError> {
    let words = shlex::split(line).unwrap_or_default();
    let Some((program, args)) = words.split_first() else { return Err(KeeperError::new("no program is named")) };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in withhold {
        command.env_remove(name);
    }
    if !access.may_prompt {
        for name in PEOPLE {
            command.env_remove(name);
        }
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let mut child = command.spawn().map_err(|e| KeeperError::new(format!("cannot run {program}: {e}")))?;
    let stdout = collect(child.stdout.take(), resolve::LONGEST + 1);
    let stderr = collect(child.stderr.take(), COMPLAINT);
    let deadline = Instant::now() + access.deadline;
    let late = || KeeperError::new(format!("no answer within {} s", access.deadline.as_secs_f32()));
    let hint =
        if access.may_prompt { "run it by hand to see why" } else { "it may want to ask something: run it by hand" };

    // Its end of output first: a program that fills the pipe does not end before that is read.
    let Ok(printed) = stdout.recv_timeout(access.deadline) else {
        end(&mut child, access);
        return Err(late().hint(hint));
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            // It has printed more than a secret has, and would wait for us for ever.
            Ok(None) if printed.len() as u64 > resolve::LONGEST => {
                end(&mut child, access);
                return resolve::text(printed);
            }
            Ok(None) if Instant::now() < deadline => {
                #[expect(clippy::disallowed_methods, reason = "a poll with a deadline; the reason is in the error")]
                std::thread::sleep(POLL);
            }
            Ok(None) => {
                end(&mut child, access);
                return Err(late().hint(hint));
            }
            Err(error) => return Err(KeeperError::new(format!("cannot wait for {program}: {error}"))),
        }
    };
    if status.success() || printed.len() as u64 > resolve::LONGEST {
        return resolve::text(printed);
    }
    let complaint = stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())).unwrap_or_default();
    let complaint = String::from_utf8_lossy(&complaint);
    let last = complaint.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let printed = String::from_utf8_lossy(&printed);
    let redacted = printed
        .split_whitespace()
        .fold(last.to_owned(), |text, word| if word.len() < 4 { text } else { text.replace(word, "[redacted]") });
    let said = if redacted.is_empty() { String::new() } else { format!(": {redacted}") };
    Err(KeeperError::new(format!("the program ended with {status}{said}")).hint(hint))
}

/// Reads a stream to its end on a thread of its own, `most` bytes of it.
fn collect(stream: Option<impl Read + Send + 'static>, most: u64) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = (&mut stream).take(most).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
            // The rest, so that the program is not stopped by a full pipe or ended by a broken one.
            let _ = io::copy(&mut stream, &mut io::sink());
        }
    });
    receiver
}

/// Ends the program; where it has a process group of its own, all of that.
fn end(child: &mut Child, access: &Access) {
    #[cfg(unix)]
    if !access.may_prompt {
        let group = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    #[cfg(not(unix))]
    let _ = access;
    let _ = child.kill();
    let _ = child.wait();
}
