#![expect(clippy::disallowed_methods, reason = "tests put files there as others leave them")]

use super::*;

const KEYS: StepId = StepId::new("make-keys");
const MAKE: StepId = StepId::new("create-machine");

fn begin(operation: &str) -> Event {
    Event::Begin { operation: operation.into() }
}
fn end(operation: &str) -> Event {
    Event::End { operation: operation.into(), unfinished: None }
}
fn started(step: StepId, stage: Option<&str>) -> Event {
    Event::Started { step, stage: stage.map(Into::into) }
}
fn finished(step: StepId, stage: Option<&str>) -> Event {
    Event::Finished { step, stage: stage.map(Into::into), warning: None }
}
fn failed(step: StepId, stage: Option<&str>, message: &str) -> Event {
    Event::Failed { step, stage: stage.map(Into::into), message: message.into() }
}

fn story() -> Vec<Event> {
    vec![
        begin("create"),
        started(KEYS, None),
        finished(KEYS, None),
        started(MAKE, None),
        started(MAKE, Some("disk")),
        finished(MAKE, Some("disk")),
        started(MAKE, Some("boot")),
        failed(MAKE, Some("boot"), "no \"KVM\"\nhere"),
        begin("create"),
        started(MAKE, None),
        started(MAKE, Some("boot")),
        finished(MAKE, Some("boot")),
        finished(MAKE, None),
        end("create"),
        begin("provision"),
    ]
}

#[test]
fn a_create_that_fails_and_goes_on() {
    let mut state = State::default();
    let mut seen = Vec::new();
    for event in story() {
        state = next(state, &event).unwrap();
        seen.push((state.done.len(), state.stopped_at().map(ToString::to_string), state.complete()));
    }
    let make = Some("create-machine".to_owned());
    assert_eq!(seen[7], (1, make.clone(), false));
    assert_eq!(seen[8], (1, None, false), "going on keeps what is done");
    assert_eq!(seen[10], (1, make, false));
    assert_eq!(seen[13], (2, None, true));
    assert_eq!(seen[14], (0, None, false), "another operation starts over");
    assert!(state.has_completed("create") && !state.has_completed("provision"));
}

#[test]
fn live_and_read_back_agree_wherever_the_writer_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    assert!(!path.exists(), "opening makes nothing");
    assert_eq!(Journal::last(&path).unwrap(), None);
    let mut states = vec![(0, State::default())];
    for event in story() {
        journal.append(event.clone()).unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        states.push((length, journal.state().clone()));
        assert_eq!(Journal::last(&path).unwrap().unwrap().event, event);
    }
    let whole = std::fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        let path = dir.path().join("cut");
        std::fs::write(&path, &whole[..cut]).unwrap();
        let mut journal = Journal::open(&path).unwrap();
        // A line without its line feed is whole, too.
        let (_, expected) = states.iter().rfind(|(length, _)| *length <= cut as u64 + 1).unwrap();
        assert_eq!(journal.state(), expected, "cut at {cut}");
        if cut % 7 == 0 || cut > whole.len() - 3 {
            journal.append(begin("rm")).unwrap();
            let again = Journal::open(&path).unwrap();
            assert_eq!(again.state(), journal.state());
            assert_eq!(again.state().operation.as_deref(), Some("rm"));
        }
    }
}

/// What these events make of an empty journal.
fn after(events: &[Event]) -> State {
    events.iter().try_fold(State::default(), next).unwrap()
}

#[test]
fn a_create_outlives_what_comes_in_between() {
    let half = [begin("create"), started(KEYS, None), finished(KEYS, None), started(MAKE, None)];
    let ordered = [started(MAKE, Some("disk")), finished(MAKE, Some("disk")), started(MAKE, Some("boot"))];
    let stopped = [begin("stop"), started(StepId::new("switch-off"), None)];
    let state = after(&[&half[..], &ordered, &stopped].concat());
    assert!(state.is_half_way() && !state.has_completed("create"));
    assert_eq!(state.suspended.as_ref().unwrap().stopped_at, Some(MAKE));
    assert_eq!(state.to_go_on("create"), Some(&[KEYS][..]), "the provider may have been asked: it goes on there");
    assert_eq!(state.to_go_on("rm"), None);
    let again = next(state, &begin("create")).unwrap();
    assert_eq!((again.done.as_slice(), again.stages_done.as_slice()), (&[KEYS][..], &["disk".to_owned()][..]));
    assert_eq!((again.stage_begun.as_deref(), again.suspended), (Some("boot"), None));
    // Nobody was asked for anything: everything is worth another look.
    let state = after(&[&half[..], &[finished(MAKE, None)], &[begin("provision"), end("provision")]].concat());
    assert!(state.suspended.is_some() && !state.is_half_way());
    assert_eq!(state.to_go_on("create"), None);
    assert_eq!(next(state, &begin("create")).unwrap().done, []);
    // A create that was complete is no more in question.
    let state = after(&[begin("create"), end("create"), begin("stop"), begin("create")]);
    assert_eq!(state.suspended, None);
    assert!(state.has_completed("create"));
}

#[test]
fn the_last_line_tells_of_a_create_that_is_not_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    for event in
        [begin("create"), begin("stop"), Event::End { operation: "stop".into(), unfinished: Some("create".into()) }]
    {
        journal.append(event).unwrap();
    }
    let last = Journal::last(&path).unwrap().unwrap();
    assert!(matches!(last.event, Event::End { unfinished: Some(create), .. } if create == "create"));
    journal.close();
    journal.append(begin("rm")).unwrap();
    assert_eq!(journal.state().operation.as_deref(), Some("rm"));
    assert_eq!(Journal::events(&path).unwrap().len(), 3, "a closed one writes nothing");
}

#[test]
fn what_is_held_is_written_once_there_is_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web-1/journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    journal.hold();
    journal.append(begin("create")).unwrap();
    journal.append(started(KEYS, None)).unwrap();
    assert!(!path.parent().unwrap().exists());
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    journal.release().unwrap();
    journal.append(finished(KEYS, None)).unwrap();
    assert_eq!(Journal::open(&path).unwrap().state(), journal.state());
    assert_eq!(Journal::events(&path).unwrap().len(), 3);
}

#[test]
fn refusals_leave_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    assert!(journal.append(started(KEYS, None)).is_err());
    journal.append(begin("create")).unwrap();
    let bad = [finished(KEYS, None), started(KEYS, Some("disk")), failed(KEYS, None, "x"), end("rm")];
    for event in bad {
        let error = journal.append(event).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Internal);
    }
    journal.append(started(KEYS, None)).unwrap();
    let error = journal.append(started(MAKE, None)).unwrap_err();
    assert_eq!(error.to_string(), "the journal refuses \"started create-machine\" now: another step is running");
    assert!(journal.append(end("create")).is_err());
    assert_eq!(Journal::events(&path).unwrap().len(), 2);
}

#[test]
fn newer_events_are_passed_over_and_impossible_stories_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    std::fs::write(
        &path,
        "{\"time\":\"t\",\"event\":\"begin\",\"operation\":\"create\",\"more\":1}\n{\"time\":\"t\",\"event\":\"paused\"}\n\0\0\0\n",
    )
    .unwrap();
    assert_eq!(Journal::open(&path).unwrap().state().operation.as_deref(), Some("create"));
    std::fs::write(&path, "{\"time\":\"t\",\"event\":\"end\",\"operation\":\"create\"}\n").unwrap();
    let mut journal = Journal::open(&path).unwrap();
    assert!(journal.damage().unwrap().starts_with("line 1: the journal refuses \"end create\""));
    assert_eq!(journal.state(), &State::default());
    journal.append(begin("rm")).unwrap();
    assert_eq!(journal.damage(), None);
    assert_eq!(Journal::open(&path).unwrap().damage(), None);
}

#[test]
fn the_last_event_is_found_behind_a_long_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let mut journal = Journal::open(&path).unwrap();
    journal.append(begin("create")).unwrap();
    journal.append(started(KEYS, None)).unwrap();
    journal.append(failed(KEYS, None, &"long ".repeat(2000))).unwrap();
    assert!(matches!(Journal::last(&path).unwrap().unwrap().event, Event::Failed { .. }));
}

#[cfg(unix)]
#[test]
fn the_file_is_private_from_creation() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    Journal::open(&path).unwrap().append(begin("create")).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
