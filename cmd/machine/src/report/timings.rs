//! `--timings`: where the time went.

use std::time::Duration;

use machine_provision::Event;

use super::seconds;
use crate::output::table;

/// What took how long.
#[derive(Default)]
pub(super) struct Timings {
    steps: Vec<(String, String, Duration, &'static str)>,
}

impl Timings {
    pub(super) fn add(&mut self, event: &Event) {
        let row = match event {
            Event::Finished { machine, step, outcome, took } => (machine, step, took, super::outcome_words(outcome)),
            Event::Failed { machine, step, took } => (machine, step, took, "failed"),
            Event::Started { .. } | Event::Progress { .. } | Event::Note { .. } => return,
        };
        self.steps.push((row.0.clone(), row.1.clone(), *row.2, row.3));
    }

    /// A table, machine by machine, steps in order.
    pub(super) fn table(&self) -> String {
        let mut text = String::from("MACHINE\tSTEP\tTIME\tOUTCOME\n");
        let mut machines: Vec<&String> = Vec::new();
        for (machine, ..) in &self.steps {
            if !machines.contains(&machine) {
                machines.push(machine);
            }
        }
        for machine in machines {
            let mut total = Duration::ZERO;
            for (_, step, took, outcome) in self.steps.iter().filter(|(m, ..)| m == machine) {
                text.extend([machine, "\t", step, "\t", &seconds(*took), "\t", outcome, "\n"]);
                // A driver's stage (`create-machine/droplet`) is a part of its step.
                if !step.contains('/') {
                    total += *took;
                }
            }
            text.extend([machine, "\tall\t", &seconds(total), "\t\n"]);
        }
        table::align(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::story;
    use super::*;

    #[test]
    fn steps_and_their_sum() {
        let mut timings = Timings::default();
        for event in story() {
            timings.add(&event);
        }
        insta::assert_snapshot!(timings.table(), @r"
        MACHINE   STEP            TIME     OUTCOME
        web-1     check-driver    0.0s     already so
        web-1     await-ssh       1m 02s   done
        web-1     upload-engine   1.2s     done, with a warning
        web-1     start-engine    0.3s     failed
        web-1     all             1m 04s
        ");
    }
}
