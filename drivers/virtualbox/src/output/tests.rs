//! Over every call of VirtualBox 7.2 that was recorded, whole and cut off at every byte.

use serde_json::Value;

use super::*;
use crate::failure::Failure;

/// One recorded call.
struct Recorded {
    name: String,
    asked: String,
    exit: i64,
    stdout: String,
    stderr: String,
}

fn recorded() -> Vec<Recorded> {
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let asked: Vec<_> = value["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        Recorded {
            name: text("name"),
            asked: asked.join(" "),
            exit: value["exit"].as_i64().unwrap(),
            stdout: text("stdout"),
            stderr: text("stderr"),
        }
    };
    include_str!("../../tests/recorded.jsonl").lines().map(line).collect()
}

fn call(name: &str) -> Recorded {
    recorded().into_iter().find(|call| call.name == name).unwrap_or_else(|| panic!("{name} was not recorded"))
}

fn described(name: &str) -> Vm {
    vm(&call(name).stdout).unwrap()
}

/// The beginnings of a text that are text.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    (0..text.len()).filter(|at| text.is_char_boundary(*at)).map(|at| &text[..at])
}

#[test]
fn every_refusal_has_words_and_only_what_is_not_there_is_not_found() {
    let all = recorded();
    assert!(all.len() > 200, "{}", all.len());
    for call in &all {
        let failure = Failure::read("x", &call.stderr);
        // One says so on its output.
        assert!(
            failure.is_some() || call.exit == 0 || call.name == "snapshot-list-empty",
            "{} has no words",
            call.name
        );
        let missing = failure.as_ref().is_some_and(Failure::not_found);
        let expected = ["not-found", "nosuch", "multiple-missing", "findlease", "dev2nope"];
        assert_eq!(missing, missing && expected.iter().any(|word| call.name.contains(word)), "{}", call.name);
        assert!(!missing || call.exit != 0, "{}", call.name);
    }
    for name in ["showvminfo-not-found", "showvminfo-not-found-uuid", "unregistervm-not-found", "modifyvm-not-found"] {
        assert!(Failure::read("x", &call(name).stderr).unwrap().not_found(), "{name}");
    }
}

#[test]
fn an_error_on_stderr_is_one_also_where_the_exit_status_is_0() {
    let failure = Failure::read("discardstate", &call("discardstate-none").stderr).unwrap();
    assert_eq!((call("discardstate-none").exit, failure.code), (0, Some(0x80bb_0002)));
}

#[test]
fn what_is_cut_off_never_says_that_there_is_no_vm() {
    for call in recorded() {
        let whole = Failure::read("x", &call.stderr);
        for text in beginnings(&call.stderr) {
            if let Some(failure) = Failure::read("x", text) {
                let whole = whole.as_ref().unwrap();
                assert!(failure.code.is_none() || failure.code == whole.code, "{}: {text:?}", call.name);
            }
        }
        for text in beginnings(&call.stdout) {
            // Nothing panics, and nothing that is not in the whole is found. Each is read by what reads it.
            match call.asked.as_str() {
                "list vms" => {
                    let all = vms(&call.stdout);
                    assert!(vms(text).iter().all(|vm| all.contains(vm)), "{}: {text:?}", call.name);
                }
                "list hdds" | "list dvds" => assert!(media(text).len() <= media(&call.stdout).len()),
                "list hostinfo" => assert!(memory(text).is_none_or(|found| Some(found) <= memory(&call.stdout))),
                "--version" => drop(version(text)),
                asked if asked.starts_with("getextradata") => drop(extra_data(text)),
                asked if asked.starts_with("showvminfo") => {
                    if let (Some(part), Some(whole)) = (vm(text), vm(&call.stdout)) {
                        assert_eq!((part.uuid, part.state), (whole.uuid, whole.state), "{}", call.name);
                    }
                }
                _ => break,
            }
        }
    }
}

#[test]
fn the_states_of_a_vm() {
    let states = [
        ("created", State::Off, false),
        ("poweroff", State::Off, false),
        ("aborted", State::Off, false),
        ("running", State::Running, true),
        ("paused", State::Paused, true),
        ("saved", State::Saved, false),
        ("after-restore-kill", State::Saved, false),
        ("killed-during-restore", State::Saved, false),
        ("guru", State::Stuck, true),
    ];
    for (name, state, session) in states {
        let vm = described(&format!("showvminfo-machinereadable-{name}"));
        if name == "after-restore-kill" || name == "killed-during-restore" {
            assert!(matches!(vm.state, State::Saved | State::Off | State::Starting), "{name}: {:?}", vm.state);
            continue;
        }
        assert_eq!((vm.state, vm.session), (state, session), "{name}");
    }
}

#[test]
fn a_vm_with_all_that_is_in_it() {
    let vm = described("showvminfo-machinereadable-running");
    assert_eq!((vm.name.as_str(), vm.uuid.as_str()), ("dev", "80e01367-104e-4857-8a08-7f8a3ba8c9a1"));
    assert_eq!(vm.settings_file, PathBuf::from("/vm/c/machines/dev/dev.vbox"));
    assert_eq!(vm.logs, PathBuf::from("/vm/c/machines/dev/Logs"));
    assert_eq!(vm.controllers, ["SATA"]);
    let attached: Vec<_> = vm.attached.iter().map(|at| (at.port, at.device, at.medium.to_str().unwrap())).collect();
    assert_eq!(attached, [(0, 0, "/vm/c/machines/dev/halt.vdi"), (1, 0, "/vm/c/seed.iso"), (9, 0, "/vm/c/seed.iso")]);
    let rule = Rule { name: "ssh".to_owned(), address: "127.0.0.1".to_owned(), port: 2201, to: 22 };
    assert_eq!(vm.rules, [rule]);
    assert!(described("showvminfo-machinereadable-emptydrive").attached.iter().all(|at| at.port != 1));
    assert_eq!(described("showvminfo-machinereadable-odd-name").name, "qu\"ote");
}

#[test]
fn lists() {
    let list = vms(&call("list-vms-odd-names").stdout);
    let names: Vec<_> = list.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dev2", "lk", "dev3-renamed", "my dev box", "qu\"ote"]);
    assert_eq!(list[3].1, "66f12cac-a9eb-40cd-ae24-bc4bc3e5cb78");
    assert_eq!(vms(&call("list-vms-inaccessible").stdout)[2].0, "<inaccessible>");
    assert_eq!(vms(&call("list-vms-empty").stdout), []);
    let disks = media(&call("list-hdds").stdout);
    assert!(disks.len() > 3 && disks.iter().all(|disk| disk.location.is_absolute()), "{disks:?}");
    assert_eq!(media(&call("list-dvds").stdout)[0].location, PathBuf::from("/vm/c/seed.iso"));
    let said = extra_data(&call("getextradata-enumerate").stdout);
    assert_eq!(said["VBoxInternal2/SharedFoldersEnableSymlinksCreate/hosthome"], "1");
    assert!(memory(&call("list-hostinfo").stdout).unwrap() > 1000);
}

#[test]
fn versions() {
    let numbers = |text: &str| version(text).map(|v| (v.major, v.minor));
    for name in ["version", "version-no-vboxdrv-wrapper"] {
        assert_eq!(numbers(&call(name).stdout), Some((7, 2)), "{name}");
    }
    assert_eq!(numbers("7.0.14r161095\n"), Some((7, 0)));
    assert_eq!(numbers("6.1.0_RC1r135406\n"), Some((6, 1)));
    for text in ["", "\n", "hello", "7.0", "7.0.14", "7.x.1r1", "QEMU emulator version 10.0.2"] {
        assert_eq!(version(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_it_says_nothing_panics(text in "[ -~\n\"={}\\\\äß]{0,200}") {
        vms(&text);
        media(&text);
        extra_data(&text);
        vm(&text);
        version(&text);
        memory(&text);
        Failure::read("x", &text);
    }
}
