//! The algorithm against a provider that is a list of answers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use machine_base::Kind;
use machine_driver::Context;
use secrecy::SecretString;
use serde::Serialize;

use super::*;
use crate::{Cloud, How, Limits, Meaning, Provider, Refusal, Timing};

static NOWHERE: Provider = Provider {
    name: "Nowhere",
    authorize: |request, _| request,
    judge: |_| refusal(400),
    closed_for: |_, _| None,
    unreached: "look",
    limited: "wait",
    redacted: "(token)",
};

const TIMING: Timing = Timing {
    poll: Duration::from_millis(1),
    request: Duration::from_secs(1),
    backoff: Duration::from_millis(1),
    backoff_max: Duration::from_millis(1),
    tries: 1,
    lag: Duration::from_millis(5),
    unknown: Duration::ZERO,
    boot: Duration::ZERO,
    shutdown: Duration::ZERO,
    action: Duration::from_secs(5),
    gone: Duration::ZERO,
    patience: Duration::ZERO,
    replacements: 0,
    limits: Limits::Window { requests: 1, within: Duration::ZERO },
};

#[derive(Debug, Default, Serialize)]
struct Machine {
    asked: bool,
}

/// What each request is answered.
#[derive(Debug, Clone)]
enum Answer {
    Made(u32),
    Lost,
    Refused(u16),
    Exists,
    Busy,
}

fn refusal(status: u16) -> Refusal {
    let (code, message, request) = (String::new(), "no".to_owned(), String::new());
    Refusal { status, code, message, request, meaning: Meaning::Other, kind: Kind::Usage, hint: None }
}

fn fault(how: How) -> Fault {
    Fault { provider: &NOWHERE, doing: "make it".to_owned(), how }
}

impl Answer {
    fn result(self) -> Result<u32, Fault> {
        let meaning = |meaning| Err(fault(How::Refused(Refusal { meaning, ..refusal(422) })));
        match self {
            Self::Made(id) => Ok(id),
            Self::Lost => Err(fault(How::Lost(Vec::new()))),
            Self::Refused(status) => Err(fault(How::Refused(refusal(status)))),
            Self::Exists => meaning(Meaning::Exists),
            Self::Busy => meaning(Meaning::Busy),
        }
    }
}

/// One call: what each post is answered, and at which look it is found, counted over the whole call from 1.
struct Story {
    answers: Vec<Answer>,
    found_at: Option<usize>,
    duplicates: Duplicates<Machine>,
    noted: bool,
    resumed: bool,
    late: bool,
}

impl Story {
    fn of(answers: &[Answer], found_at: Option<usize>) -> Self {
        let duplicates = Duplicates::Possible { noted: |machine: &mut Machine| &mut machine.asked };
        Self { answers: answers.to_vec(), found_at, duplicates, noted: false, resumed: false, late: false }
    }

    fn unique(answers: &[Answer], found_at: Option<usize>) -> Self {
        Self { duplicates: Duplicates::Refused { known: false }, ..Self::of(answers, found_at) }
    }

    /// The end: what is answered, what is noted, and everything that happened in its order.
    async fn told(self) -> (Result<Made<u32>>, bool, String) {
        let log = Arc::new(Mutex::new(Vec::new()));
        let write = |log: &Arc<Mutex<Vec<&'static str>>>, word| log.lock().expect("one thread").push(word);
        let saving = Arc::clone(&log);
        let save = move |machine: &Value| {
            assert_eq!(machine["asked"], true, "noted before it is posted");
            write(&saving, "save");
            Ok(())
        };
        let mut cx = Context::new("web-1", "machine", "store").on_save(Arc::new(save));
        if self.late {
            cx = cx.deadline(Instant::now());
        }
        let cloud = Cloud::new(&NOWHERE, TIMING);
        let secret = SecretString::from("token");
        let api = cloud.api(&cx, "http://127.0.0.1:1", &secret).expect("a client");
        let answers = Mutex::new(VecDeque::from(self.answers));
        let looks = Mutex::new(0);
        let mut machine = Machine { asked: self.noted };
        let intent = Intent {
            what: "it",
            machine: &mut machine,
            duplicates: self.duplicates,
            resumed: self.resumed,
            waits: true,
        };
        let find = |_| {
            let mut looks = looks.lock().expect("one thread");
            *looks += 1;
            write(&log, "look");
            let found = self.found_at.is_some_and(|at| *looks >= at).then_some(7);
            async move { Ok(found) }
        };
        let post = |_| {
            write(&log, "post");
            let answer = answers.lock().expect("one thread").pop_front().expect("no more is posted than that");
            async move { answer.result() }
        };
        let made = ensure(api, intent, find, async { Ok(Value::Null) }, post).await;
        let mut happened = log.lock().expect("one thread").clone();
        happened.dedup();
        (made, machine.asked, happened.join(" "))
    }
}

#[tokio::test]
async fn what_is_new_is_noted_and_then_posted() {
    let (made, noted, happened) = Story::of(&[Answer::Made(1)], None).told().await;
    assert_eq!((made, noted, happened.as_str()), (Ok(Made::Posted(1)), true, "save post"));
}

#[tokio::test]
async fn after_a_lost_answer_it_is_looked_for_and_adopted() {
    let (made, noted, happened) = Story::of(&[Answer::Lost], Some(3)).told().await;
    assert_eq!((made, noted, happened.as_str()), (Ok(Made::Found(7)), true, "save post look"));
}

#[tokio::test]
async fn what_is_not_found_is_posted_once_more_and_no_oftener() {
    let (made, _, happened) = Story::of(&[Answer::Refused(500), Answer::Made(2)], None).told().await;
    assert_eq!((made, happened.as_str()), (Ok(Made::Posted(2)), "save post look post"));
    let (made, noted, happened) = Story::of(&[Answer::Lost, Answer::Lost], None).told().await;
    assert_eq!((made.unwrap_err().kind, noted), (Kind::Transient, true));
    assert_eq!(happened, "save post look post look");
}

#[tokio::test]
async fn a_refusal_is_final_and_nothing_is_noted() {
    let (made, noted, happened) = Story::of(&[Answer::Refused(422)], None).told().await;
    assert_eq!((made.unwrap_err().kind, noted, happened.as_str()), (Kind::Usage, false, "save post"));
}

#[tokio::test]
async fn d10_after_a_refusal_nothing_is_waited_for() {
    let (made, noted, _) = Story::of(&[Answer::Refused(422)], None).told().await;
    assert_eq!((made.unwrap_err().kind, noted), (Kind::Usage, false));
    // The next command: one look, where another would be found at the second.
    let again = Story { noted, resumed: true, ..Story::of(&[Answer::Made(1)], Some(2)) }.told().await;
    assert_eq!((again.0, again.2.as_str()), (Ok(Made::Posted(1)), "look save post"));
}

#[tokio::test]
async fn what_may_be_there_is_looked_for_first() {
    // What was not noted was not posted: it is not waited for.
    for (noted, resumed, look) in [(true, false, 2), (false, true, 1)] {
        let there = Story { noted, resumed, ..Story::of(&[], Some(look)) }.told().await;
        assert_eq!((there.0, there.2.as_str()), (Ok(Made::Found(7)), "look"));
        let missing = Story { noted, resumed, ..Story::of(&[Answer::Made(1)], None) }.told().await;
        assert_eq!((missing.0, missing.2.as_str()), (Ok(Made::Posted(1)), "look save post"));
    }
}

#[tokio::test]
async fn something_else_that_goes_on_is_waited_for() {
    let (made, _, happened) = Story::of(&[Answer::Busy, Answer::Busy, Answer::Made(1)], None).told().await;
    assert_eq!((made, happened.as_str()), (Ok(Made::Posted(1)), "save post"));
}

#[tokio::test]
async fn what_is_unique_is_looked_for_where_it_is_taken() {
    let (made, noted, happened) = Story::unique(&[Answer::Exists], Some(1)).told().await;
    assert_eq!((made, noted, happened.as_str()), (Ok(Made::Found(7)), false, "post look"));
    let (made, _, happened) = Story::unique(&[Answer::Lost, Answer::Made(3)], None).told().await;
    assert_eq!((made, happened.as_str()), (Ok(Made::Posted(3)), "post look post"));
    // Refused for another reason: it will be the next time, too.
    let (made, _, happened) = Story::unique(&[Answer::Refused(422)], None).told().await;
    assert_eq!((made.unwrap_err().kind, happened.as_str()), (Kind::Usage, "post look"));
    let known = Story { duplicates: Duplicates::Refused { known: true }, ..Story::unique(&[], Some(1)) };
    assert_eq!(known.told().await.0, Ok(Made::Found(7)));
}

#[tokio::test]
async fn the_deadline_ends_the_looking() {
    let late = Story { late: true, ..Story::of(&[Answer::Lost], None) }.told().await;
    assert_eq!((late.0.unwrap_err().kind, late.1), (Kind::Timeout, true));
}
