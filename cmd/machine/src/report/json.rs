//! One JSON document a line on stdout, for programs. The schema is in docs/output.md.

use machine_provision::{Event, Outcome};
use serde_json::{Value, json};

use super::View;
use crate::error::CommandError;
use crate::output::{self, Stdout};

/// JSON lines.
pub(super) struct Json;

/// An event as a document.
pub(super) fn document(event: &Event) -> Value {
    match event {
        Event::Started { machine, step, title } => {
            json!({"event": "started", "machine": machine, "step": step, "title": title})
        }
        Event::Progress { machine, step, text, bytes } => json!({
            "event": "progress", "machine": machine, "step": step, "text": text,
            "bytes": bytes.map(|(done, _)| done), "bytes_total": bytes.map(|(_, total)| total),
        }),
        Event::Finished { machine, step, outcome, took } => json!({
            "event": "finished", "machine": machine, "step": step,
            "outcome": match outcome {
                Outcome::Done => "done",
                Outcome::AlreadySo => "already-so",
                Outcome::Warned(_) => "warned",
            },
            "warning": match outcome {
                Outcome::Warned(text) => Some(text),
                Outcome::Done | Outcome::AlreadySo => None,
            },
            "seconds": took.as_secs_f64(),
        }),
        Event::Failed { machine, step, took } => {
            json!({"event": "failed", "machine": machine, "step": step, "seconds": took.as_secs_f64()})
        }
        Event::Note { machine, text } => json!({"event": "note", "machine": machine, "text": text}),
    }
}

impl Json {
    /// A reader that has left misses the rest; the work goes on.
    fn line(value: &Value) {
        let _ = Stdout.text(&format!("{value}\n"));
    }
}

impl View for Json {
    fn event(&self, event: &Event) {
        Self::line(&document(event));
    }

    fn say(&self, text: &str) {
        output::say(text.trim_end_matches('\n'));
    }

    fn error(&self, machine: Option<&str>, error: &CommandError) {
        if let Some(value) = error.to_json(machine) {
            Self::line(&value);
            let report = error.report();
            self.say(&machine.map_or(report.clone(), |machine| format!("{machine}: {report}")));
        }
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
    fn a_document_for_each_event() {
        let lines: Vec<String> = story().iter().map(|event| document(event).to_string()).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"event":"started","machine":"web-1","step":"check-driver","title":"checking the settings"}
        {"event":"finished","machine":"web-1","step":"check-driver","outcome":"already-so","warning":null,"seconds":0.012}
        {"event":"started","machine":"web-1","step":"await-ssh","title":"waiting for SSH"}
        {"event":"progress","machine":"web-1","step":"await-ssh","text":"connection refused","bytes":null,"bytes_total":null}
        {"event":"progress","machine":"web-1","step":"await-ssh","text":"connection refused","bytes":null,"bytes_total":null}
        {"event":"finished","machine":"web-1","step":"await-ssh","outcome":"done","warning":null,"seconds":62.5}
        {"event":"started","machine":"web-1","step":"upload-engine","title":"uploading engine 26.1.5"}
        {"event":"progress","machine":"web-1","step":"upload-engine","text":"uploading","bytes":1024,"bytes_total":4096}
        {"event":"finished","machine":"web-1","step":"upload-engine","outcome":"warned","warning":"the clock is 3 s off","seconds":1.234}
        {"event":"failed","machine":"web-1","step":"start-engine","seconds":0.3}
        {"event":"note","machine":"web-1","text":"endpoint: tunnel"}
        "#);
    }
}
