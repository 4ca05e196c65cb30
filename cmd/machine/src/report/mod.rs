//! What goes on, for people and programs: events become plain lines, a live view or JSON lines.
//!
//! The main type is [`Report`]; one [`View`] per style, one file each.

mod doing;
mod json;
mod live;
mod plain;
mod timings;

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Args, ValueEnum};
use machine_provision::{Event, EventSink, Outcome};

use crate::env_vars;
use crate::error::CommandError;
use crate::output;
use timings::Timings;

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// `live` on a terminal, else `plain`
    #[default]
    Auto,
    /// A line for each step
    Plain,
    /// One moving line for each machine (terminals only)
    Live,
    /// A JSON document a line, on standard output
    Json,
}

/// Options of every command that does something to machines.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Progress")]
pub(crate) struct ReportArgs {
    /// How progress is shown
    #[arg(long, value_enum, value_name = "HOW", env = env_vars::MACHINE_PROGRESS.name, default_value = "auto")]
    pub(crate) progress: Progress,
    /// Print how long each step took
    #[arg(long)]
    pub(crate) timings: bool,
    /// Say nothing but warnings and errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Wait for a machine that another command holds: 30s, 5m, 1h [default: 10s; without a value: 1h]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "1h", value_parser = crate::duration::parse)]
    pub(crate) wait: Option<Duration>,
}

/// One way of showing events.
trait View: Send + Sync {
    /// Shows what happened.
    fn event(&self, event: &Event);
    /// Says something else, text that ends in a line break.
    fn say(&self, text: &str);
    /// Tells of a failure, the text being for people.
    fn error(&self, machine: Option<&str>, error: &CommandError) {
        let report = error.report();
        if !report.is_empty() {
            let named = machine.map_or(report.clone(), |machine| format!("{machine}: {report}"));
            self.say(&named);
        }
    }
    /// Clears the screen of what moves, runs `talk` (a question), and goes on.
    fn suspend(&self, talk: &mut dyn FnMut());
    /// The last event was seen.
    fn finish(&self) {}
}

/// The event as it may be shown: each text in it one line, and nothing in it that is not seen.
fn visible(event: Event) -> Event {
    let line = |text: String| output::visible::line(&text);
    match event {
        Event::Started { machine, step, title } => Event::Started { machine, step: line(step), title: line(title) },
        Event::Progress { machine, step, text, bytes } => {
            Event::Progress { machine, step: line(step), text: line(text), bytes }
        }
        Event::Finished { machine, step, outcome, took } => {
            let outcome = match outcome {
                Outcome::Warned(text) => Outcome::Warned(line(text)),
                known @ (Outcome::Done | Outcome::AlreadySo) => known,
            };
            Event::Finished { machine, step: line(step), outcome, took }
        }
        Event::Failed { machine, step, took } => Event::Failed { machine, step: line(step), took },
        Event::Note { machine, text } => Event::Note { machine, text: line(text) },
    }
}

/// Shows what goes on. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Report {
    view: Arc<dyn View>,
    /// Whoever reads it is a person.
    for_people: bool,
    timings: Option<Arc<Mutex<Timings>>>,
    /// What was noted, of which machine: the same is not said twice.
    noted: Arc<Mutex<HashSet<(String, String)>>>,
}

impl Report {
    /// The view the user asked for; with `debug` the log has the terminal, so nothing moves.
    pub(crate) fn new(args: &ReportArgs, debug: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && env_vars::TERM.get().as_deref() != Some("dumb");
        let view: Arc<dyn View> = match args.progress {
            Progress::Json => Arc::new(json::Json),
            _ if args.quiet => Arc::new(plain::Plain::quiet()),
            Progress::Live | Progress::Auto if terminal && !debug => Arc::new(live::Live::new()),
            Progress::Auto | Progress::Plain | Progress::Live => Arc::new(plain::Plain::new()),
        };
        let for_people = args.progress != Progress::Json;
        Self { view, for_people, timings: args.timings.then(Arc::default), noted: Arc::default() }
    }

    /// Where operations send their events.
    pub(crate) fn sink(&self) -> EventSink {
        let report = self.clone();
        Arc::new(move |event| {
            if let Some(timings) = &report.timings {
                timings.lock().unwrap_or_else(PoisonError::into_inner).add(&event);
            }
            report.show(event);
        })
    }

    fn show(&self, event: Event) {
        if let Event::Note { machine, text } = &event {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if !noted.insert((machine.clone(), text.clone())) {
                return;
            }
        }
        self.view.event(&if self.for_people { visible(event) } else { event });
    }

    /// Tells of a failure.
    pub(crate) fn error(&self, machine: Option<&str>, error: &CommandError) {
        self.view.error(machine, error);
    }

    /// Says a sentence about a machine.
    pub(crate) fn note(&self, machine: &str, text: &str) {
        self.show(Event::Note { machine: machine.to_owned(), text: text.to_owned() });
    }

    /// Says what must be known, also where nothing else is said.
    pub(crate) fn warn(&self, machine: &str, text: &str) {
        self.view.say(&format!("{machine}: {}\n", output::visible::line(text)));
    }

    /// Says what belongs to no machine, and must be known.
    pub(crate) fn say(&self, text: &str) {
        self.view.say(&(output::visible::lines(text) + "\n"));
    }

    /// Asks people something, with nothing moving meanwhile.
    pub(crate) fn suspend<T>(&self, mut talk: impl FnMut() -> T) -> Option<T> {
        let mut answer = None;
        self.view.suspend(&mut || answer = Some(talk()));
        answer
    }

    /// Everything is done: clears up, and says where the time went.
    pub(crate) fn finish(&self) {
        self.view.finish();
        if let Some(timings) = &self.timings {
            let table = timings.lock().unwrap_or_else(PoisonError::into_inner).table();
            output::say(table.trim_end());
        }
    }
}

/// `1.2s`, `2m 03s`.
fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole >= 60 { format!("{}m {:02}s", whole / 60, whole % 60) } else { format!("{:.1}s", took.as_secs_f64()) }
}

/// How a step ended, in words.
fn outcome_words(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::AlreadySo => "already so",
        Outcome::Warned(_) => "done, with a warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d17_a_note_is_said_once() {
        #[derive(Default)]
        struct Counting(Mutex<Vec<String>>);
        impl View for Counting {
            fn event(&self, event: &Event) {
                self.0.lock().unwrap().push(format!("{event:?}"));
            }
            fn say(&self, _: &str) {}
            fn suspend(&self, _: &mut dyn FnMut()) {}
        }
        let seen = Arc::new(Counting::default());
        let report = Report { view: seen.clone(), for_people: true, timings: None, noted: Arc::default() };
        for machine in ["a", "a", "b"] {
            report.note(machine, "the token may not list the SSH keys");
            report.sink()(Event::Note { machine: machine.into(), text: "said by the driver".into() });
        }
        assert_eq!(seen.0.lock().unwrap().len(), 4, "two of each machine");
    }

    /// One of each event, for the snapshots of every view.
    pub(super) fn story() -> Vec<Event> {
        let m = || "web-1".to_owned();
        let finished = |step: &str, outcome, millis| Event::Finished {
            machine: m(),
            step: step.into(),
            outcome,
            took: Duration::from_millis(millis),
        };
        let progress = |step: &str, text: &str, bytes| Event::Progress {
            machine: m(),
            step: step.into(),
            text: text.into(),
            bytes,
        };
        let started = |step: &str, title: &str| Event::Started { machine: m(), step: step.into(), title: title.into() };
        vec![
            started("check-driver", "checking the settings"),
            finished("check-driver", Outcome::AlreadySo, 12),
            started("await-ssh", "waiting for SSH"),
            progress("await-ssh", "connection refused", None),
            progress("await-ssh", "connection refused", None),
            finished("await-ssh", Outcome::Done, 62_500),
            started("upload-engine", "uploading engine 26.1.5"),
            progress("upload-engine", "uploading", Some((1024, 4096))),
            finished("upload-engine", Outcome::Warned("the clock is 3 s off".into()), 1_234),
            Event::Failed { machine: m(), step: "start-engine".into(), took: Duration::from_millis(300) },
            Event::Note { machine: m(), text: "endpoint: tunnel".into() },
        ]
    }

    #[test]
    fn a2_an_event_is_one_line_without_what_is_not_seen() {
        let event = Event::Note { machine: "web-1".into(), text: "\x1b[1Aup\nweb-2: ready".into() };
        let Event::Note { text, .. } = visible(event) else { unreachable!("a note stays one") };
        assert_eq!(text, "\\u{1b}[1Aup web-2: ready");
        for event in story() {
            assert_eq!(
                format!("{:?}", visible(event.clone())),
                format!("{event:?}"),
                "what is harmless stays as it is"
            );
        }
    }
}
