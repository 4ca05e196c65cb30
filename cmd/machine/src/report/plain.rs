//! One line for each step: what logs and scripts get.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine_provision::{Event, Outcome};

use super::{View, outcome_words, seconds};
use crate::output;

/// Plain lines on stderr.
pub(super) struct Plain {
    quiet: bool,
    /// The last thing said of each machine's step, so that a waiting loop does not repeat itself.
    last: Arc<Mutex<HashMap<String, String>>>,
}

/// A step that takes longer says what it does; the others only that they are done.
const LONG: Duration = Duration::from_secs(1);

impl Plain {
    pub(super) fn new() -> Self {
        Self { quiet: false, last: Arc::default() }
    }

    /// Only what must be known.
    pub(super) fn quiet() -> Self {
        Self { quiet: true, last: Arc::default() }
    }

    /// The line for an event, if it deserves one.
    fn line(&self, event: &Event) -> Option<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Finished { machine, step, outcome: Outcome::Warned(text), .. } => {
                Some(format!("{machine}: warning: {text} (step {step})"))
            }
            _ if self.quiet => None,
            Event::Started { machine, step, title } => {
                let line = format!("{machine}: {step}: {title}");
                last.insert(machine.clone(), line.clone());
                self.say_if_long(machine.clone(), line);
                None
            }
            Event::Progress { bytes: Some(_), .. } => None,
            Event::Progress { machine, step, text, bytes: None } => {
                // Between two steps there is none to name.
                let line = match step.as_str() {
                    "" => format!("{machine}: {text}"),
                    step => format!("{machine}: {step}: {text}"),
                };
                let before = last.insert(machine.clone(), line.clone());
                (before.as_ref() != Some(&line)).then_some(line)
            }
            Event::Finished { machine, step, outcome, took } => {
                last.remove(machine);
                Some(format!("{machine}: {step} … {} ({})", outcome_words(outcome), seconds(*took)))
            }
            Event::Failed { machine, step, took } => {
                last.remove(machine);
                Some(format!("{machine}: {step} … failed ({})", seconds(*took)))
            }
            Event::Note { machine, text } => Some(format!("{machine}: {text}")),
        }
    }
}

impl Plain {
    /// Says the line after a while, if nothing else was said of the step until then.
    fn say_if_long(&self, machine: String, line: String) {
        let last = Arc::clone(&self.last);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(LONG).await;
                if last.lock().unwrap_or_else(PoisonError::into_inner).get(&machine) == Some(&line) {
                    output::say(&line);
                }
            });
        }
    }
}

impl View for Plain {
    fn event(&self, event: &Event) {
        if let Some(line) = self.line(event) {
            output::say(&line);
        }
    }

    fn say(&self, text: &str) {
        output::say(text.trim_end_matches('\n'));
    }

    fn suspend(&self, talk: &mut dyn FnMut()) {
        talk();
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::story;
    use super::*;

    #[test]
    fn a_line_for_each_step() {
        let plain = Plain::new();
        let lines: Vec<String> = story().iter().filter_map(|event| plain.line(event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        web-1: check-driver … already so (0.0s)
        web-1: await-ssh: connection refused
        web-1: await-ssh … done (1m 02s)
        web-1: warning: the clock is 3 s off (step upload-engine)
        web-1: start-engine … failed (0.3s)
        web-1: endpoint: tunnel
        ");
    }

    #[test]
    fn d17_what_is_said_between_two_steps_names_none() {
        let said = |step: &str| Event::Progress {
            machine: "p1".into(),
            step: step.into(),
            text: "waiting 51 s".into(),
            bytes: None,
        };
        let plain = Plain::new();
        assert_eq!(plain.line(&said("")).as_deref(), Some("p1: waiting 51 s"));
        assert_eq!(plain.line(&said("check-driver")).as_deref(), Some("p1: check-driver: waiting 51 s"));
    }

    #[test]
    fn quiet_says_only_warnings() {
        let plain = Plain::quiet();
        let lines: Vec<String> = story().iter().filter_map(|event| plain.line(event)).collect();
        insta::assert_snapshot!(lines.join("\n"), @"web-1: warning: the clock is 3 s off (step upload-engine)");
    }
}
