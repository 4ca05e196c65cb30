//! One moving line for each machine, on a terminal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use machine_provision::{Event, Outcome};

use super::{View, outcome_words, seconds};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Moving lines on stderr.
pub(super) struct Live {
    all: MultiProgress,
    machines: Mutex<HashMap<String, Line>>,
    /// `NO_COLOR` is unset.
    colour: bool,
}

/// The line of one machine.
struct Line {
    bar: ProgressBar,
    /// What the step that runs is called, for people.
    title: String,
}

impl Live {
    pub(super) fn new() -> Self {
        let colour = crate::env_vars::NO_COLOR.get_os().is_none();
        Self { all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), machines: Mutex::default(), colour }
    }

    fn spinner(&self) -> ProgressStyle {
        let template = if self.colour { "{spinner:.cyan} {msg} {elapsed:.dim}" } else { "{spinner} {msg} {elapsed}" };
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
    }

    fn bytes(&self) -> ProgressStyle {
        let template = "{spinner} {msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}";
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
    }

    fn done(&self, mark: &str, colour: &str, text: &str) {
        let line = if self.colour { format!("\x1b[{colour}m{mark}\x1b[0m {text}") } else { format!("{mark} {text}") };
        let _ = self.all.println(line);
    }

    fn bar<'a>(&self, machines: &'a mut HashMap<String, Line>, machine: &str) -> &'a mut Line {
        machines.entry(machine.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new_spinner().with_style(self.spinner()));
            bar.enable_steady_tick(TICK);
            Line { bar, title: String::new() }
        })
    }
}

impl View for Live {
    fn event(&self, event: &Event) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { machine, title, .. } => {
                let line = self.bar(&mut machines, machine);
                line.title.clone_from(title);
                line.bar.set_style(self.spinner());
                line.bar.reset_elapsed();
                line.bar.set_message(format!("{machine}: {title}"));
            }
            Event::Progress { machine, text, bytes, .. } => {
                let line = self.bar(&mut machines, machine);
                if let Some((done, total)) = bytes {
                    line.bar.set_style(self.bytes());
                    line.bar.set_length(*total);
                    line.bar.set_position(*done);
                    line.bar.set_message(format!("{machine}: {text}"));
                } else {
                    line.bar.set_message(format!("{machine}: {} ({text})", line.title));
                }
            }
            Event::Finished { machine, step, outcome, took } => match outcome {
                Outcome::Done => self.done("✔", "32", &format!("{machine}: {step} ({})", seconds(*took))),
                Outcome::AlreadySo => {}
                Outcome::Warned(text) => {
                    self.done("!", "33", &format!("{machine}: {step} {}: {text}", outcome_words(outcome)));
                }
            },
            Event::Failed { machine, step, took } => {
                self.done("✘", "31", &format!("{machine}: {step} failed ({})", seconds(*took)));
                if let Some(line) = machines.remove(machine) {
                    line.bar.finish_and_clear();
                }
            }
            Event::Note { machine, text } => {
                let _ = self.all.println(format!("{machine}: {text}"));
            }
        }
    }

    fn say(&self, text: &str) {
        let _ = self.all.println(text.trim_end_matches('\n'));
    }

    fn suspend(&self, talk: &mut dyn FnMut()) {
        self.all.suspend(talk);
    }

    fn finish(&self) {
        for (_, line) in self.machines.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            line.bar.finish_and_clear();
        }
    }
}
