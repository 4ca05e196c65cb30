//! What a machine's line on the terminal says of the step that runs. Main type: [`Doing`].

use std::time::{Duration, Instant};

/// Before a rate means anything.
const SETTLED: Duration = Duration::from_secs(2);

/// A step that runs, in people's words.
pub(super) struct Doing {
    title: String,
    begun: Instant,
    heard: Heard,
}

/// What was heard of it last: the next thing takes the place of it, whatever it was.
enum Heard {
    Nothing,
    Words(String),
    Bytes { what: String, since: Instant, first: u64, done: u64, total: u64 },
}

impl Doing {
    pub(super) fn new(now: Instant) -> Self {
        Self { title: String::new(), begun: now, heard: Heard::Nothing }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, title: &str, now: Instant) {
        *self = Self { title: title.to_owned(), ..Self::new(now) };
    }

    /// It goes on.
    pub(super) fn hear(&mut self, text: &str, bytes: Option<(u64, u64)>, now: Instant) {
        self.heard = match (bytes, &self.heard) {
            (None, _) => Heard::Words(text.to_owned()),
            (Some((done, total)), Heard::Bytes { what, since, first, .. }) if what == text && done >= *first => {
                Heard::Bytes { what: what.clone(), since: *since, first: *first, done, total }
            }
            (Some((done, total)), _) => Heard::Bytes { what: text.to_owned(), since: now, first: done, done, total },
        };
    }

    /// It is over: what it is called, which for a step that was never begun here is its id.
    pub(super) fn end(&mut self, step: &str) -> String {
        self.heard = Heard::Nothing;
        match std::mem::take(&mut self.title) {
            title if title.is_empty() => step.to_owned(),
            title => title,
        }
    }

    /// `dev: uploading the engine: docker-26.1.5-trixie-amd64, 12 of 82 MB, 14s left · 3s`.
    pub(super) fn line(&self, machine: &str, now: Instant) -> String {
        let mut parts = vec![machine.to_owned()];
        parts.extend(Some(&self.title).filter(|title| !title.is_empty()).cloned());
        match &self.heard {
            Heard::Nothing => {}
            Heard::Words(text) => parts.push(text.clone()),
            Heard::Bytes { what, since, first, done, total } => {
                let left = left(now.saturating_duration_since(*since), done - first, total.saturating_sub(*done));
                let left = left.map(|left| format!(", {} left", whole(left))).unwrap_or_default();
                parts.push(format!("{what}, {} of {} MB{left}", mb(*done), mb(*total)));
            }
        }
        format!("{} · {}", parts.join(": "), whole(now.saturating_duration_since(self.begun)))
    }
}

/// How long what is left takes at the rate so far.
fn left(took: Duration, moved: u64, rest: u64) -> Option<Duration> {
    if took < SETTLED || moved == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let share = rest as f64 / moved as f64;
    Duration::try_from_secs_f64(took.as_secs_f64() * share).ok()
}

fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}

/// Seconds, however many: `88s`, `3m 20s`.
fn whole(time: Duration) -> String {
    match time.as_secs() {
        seconds @ ..120 => format!("{seconds}s"),
        seconds => format!("{}m {:02}s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l4_a_line_says_what_is_done_how_much_of_it_and_how_long() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut doing = Doing::new(start);
        doing.begin("connecting by SSH", at(0));
        doing.hear("the machine is booting", None, at(1));
        let mut seen = vec![doing.line("dev", at(88)), doing.line("dev", at(119)), doing.line("dev", at(201))];
        doing.end("await-ssh");

        doing.begin("uploading the engine", at(201));
        seen.push(doing.line("dev", at(201)));
        doing.hear("docker-26.1.5", Some((0, 82_000_000)), at(201));
        seen.push(doing.line("dev", at(202)));
        doing.hear("docker-26.1.5", Some((20_500_000, 82_000_000)), at(206));
        seen.push(doing.line("dev", at(206)));
        // What is said next is not beside what was counted before.
        doing.hear("checking", None, at(230));
        seen.push(doing.line("dev", at(230)));
        assert_eq!(doing.end("upload-engine"), "uploading the engine");
        assert_eq!(doing.end("step-of-a-stranger"), "step-of-a-stranger");
        insta::assert_snapshot!(seen.join("\n"), @"
        dev: connecting by SSH: the machine is booting · 88s
        dev: connecting by SSH: the machine is booting · 119s
        dev: connecting by SSH: the machine is booting · 3m 21s
        dev: uploading the engine · 0s
        dev: uploading the engine: docker-26.1.5, 0 of 82 MB · 1s
        dev: uploading the engine: docker-26.1.5, 21 of 82 MB, 15s left · 5s
        dev: uploading the engine: checking · 29s
        ");
    }

    #[test]
    fn l4_a_total_that_is_wrong_breaks_nothing() {
        let start = Instant::now();
        let mut doing = Doing::new(start);
        for bytes in [(5, 3), (9, 3), (1, 0), (0, 0)] {
            doing.hear("x", Some(bytes), start);
            assert!(!doing.line("dev", start + Duration::from_secs(9)).is_empty());
        }
    }
}
