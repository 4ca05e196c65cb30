//! One moving line for each machine, on a terminal. What is to be read later stays above them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use machine_provision::{Event, Outcome};

use super::doing::Doing;
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
    doing: Arc<Mutex<Doing>>,
}

impl Line {
    fn doing<T>(&self, of: impl FnOnce(&mut Doing) -> T) -> T {
        of(&mut self.doing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Live {
    pub(super) fn new() -> Self {
        let colour = crate::env_vars::NO_COLOR.get_os().is_none();
        Self { all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()), machines: Mutex::default(), colour }
    }

    /// The line is made up whenever it is drawn: seconds go on, whatever is heard of the work.
    fn style(&self, machine: &str, doing: &Arc<Mutex<Doing>>) -> ProgressStyle {
        let template = if self.colour { "{spinner:.cyan} {line}" } else { "{spinner} {line}" };
        let (machine, doing) = (machine.to_owned(), Arc::clone(doing));
        let line = move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
            let line = doing.lock().unwrap_or_else(PoisonError::into_inner).line(&machine, Instant::now());
            // A line that breaks is one that nobody can take back.
            let room = usize::from(crossterm::terminal::size().map_or(80, |(columns, _)| columns)).saturating_sub(3);
            let _ = out.write_str(&line.chars().take(room).collect::<String>());
        };
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("line", line)
    }

    fn stays(&self, mark: &str, colour: &str, text: &str) {
        let line = if self.colour { format!("\x1b[{colour}m{mark}\x1b[0m {text}") } else { format!("{mark} {text}") };
        let _ = self.all.println(line);
    }

    fn of<'a>(&self, machines: &'a mut HashMap<String, Line>, machine: &str) -> &'a mut Line {
        machines.entry(machine.to_owned()).or_insert_with(|| {
            let doing = Arc::new(Mutex::new(Doing::new(Instant::now())));
            let bar = self.all.add(ProgressBar::new_spinner().with_style(self.style(machine, &doing)));
            bar.enable_steady_tick(TICK);
            Line { bar, doing }
        })
    }
}

impl View for Live {
    fn event(&self, event: &Event) {
        let mut machines = self.machines.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match event {
            Event::Started { machine, title, .. } => {
                self.of(&mut machines, machine).doing(|doing| doing.begin(title, now));
            }
            Event::Progress { machine, text, bytes, .. } => {
                self.of(&mut machines, machine).doing(|doing| doing.hear(text, *bytes, now));
            }
            Event::Finished { machine, step, outcome, took } => {
                let what = self.of(&mut machines, machine).doing(|doing| doing.end(step));
                match outcome {
                    Outcome::Done => self.stays("✔", "32", &format!("{machine}: {what} ({})", seconds(*took))),
                    Outcome::AlreadySo => {}
                    Outcome::Warned(text) => {
                        self.stays("!", "33", &format!("{machine}: {what}: {}: {text}", outcome_words(outcome)));
                    }
                }
            }
            Event::Failed { machine, step, took } => {
                let line = machines.remove(machine);
                let what = line.as_ref().map_or_else(|| step.clone(), |line| line.doing(|doing| doing.end(step)));
                if let Some(line) = line {
                    line.bar.finish_and_clear();
                }
                self.stays("✘", "31", &format!("{machine}: {what} failed ({})", seconds(*took)));
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
