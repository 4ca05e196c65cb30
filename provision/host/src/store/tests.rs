use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::Kind;

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn record(text: &str) -> Record {
    serde_json::from_value(json!({
        "version": 1, "name": text, "id": Uuid::new_v4().to_string(), "created": "2026-11-23T18:48:14Z",
        "driver": {"name": "none", "settings": {"url": "tcp://x:2376"}},
    }))
    .unwrap()
}

/// Every path below a folder with its text, modes and times: what reading must not change.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, Option<std::time::SystemTime>)> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let text = if data.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            if data.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path, (text, data.modified().ok()));
        }
    }
    all
}

fn hidden(store: &Store) -> Vec<String> {
    let entries = fs::read_dir(store.paths.machines()).into_iter().flatten();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).filter(|n| n.starts_with('.')).collect()
}

#[test]
fn reading_a_missing_store_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("no/store");
    let store = Store::open(&root).unwrap();
    assert_eq!((store.id(), store.names().unwrap().len(), store.exists(&name("a"))), (None, 0, false));
    let error = store.read(&name("a")).unwrap_err();
    assert_eq!(error.to_string(), "machine \"a\" does not exist");
    assert_eq!((error.kind(), error.hint().unwrap().contains("machine ls")), (Kind::NotFound, true));
    assert!(!dir.path().join("no").exists());
}

#[test]
fn reading_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = Store::open_or_create(&root).unwrap();
    store.create(&record("a")).unwrap();
    fs::create_dir(store.paths.machines().join(".gone-x~1")).unwrap();
    File::create(store.machine_paths(&name("a")).dir().join(".tmp-left")).unwrap();
    let before = snapshot(&root);
    let store = Store::open(&root).unwrap();
    store.list().unwrap();
    store.read(&name("a")).unwrap();
    let _ = store.read(&name("b"));
    store.locks().holder(&Lock::Machine(name("a"))).unwrap();
    crate::Journal::open(store.machine_paths(&name("a")).journal()).unwrap();
    assert_eq!(snapshot(&root), before);
}

#[test]
fn one_life_of_a_machine() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path().join("deep/store")).unwrap();
    assert_eq!(store.id(), Store::open(dir.path().join("deep/store")).unwrap().id());
    assert_eq!(store.id().unwrap().len(), 36);

    let mut record = record("a");
    assert_eq!(store.save(&record).unwrap_err().kind(), Kind::NotFound, "saving makes no machine");
    store.create(&record).unwrap();
    let error = store.create(&record).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Exists, "machine \"a\" already exists"));
    record.power = Some(crate::record::Power::Running);
    store.save(&record).unwrap();
    assert_eq!(store.read(&name("a")).unwrap(), record);
    store.mark_removing(&name("a")).unwrap();
    assert!(store.read(&name("a")).unwrap().removing);
    store.remove(&name("a")).unwrap();
    assert_eq!(store.remove(&name("a")).unwrap_err().kind(), Kind::NotFound);
    assert_eq!(store.save(&record).unwrap_err().kind(), Kind::NotFound, "saving brings nothing back");
    assert_eq!(hidden(&store), [""; 0]);
}

#[cfg(unix)]
#[test]
fn everything_is_private_from_creation() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let store = Store::open_or_create(&root).unwrap();
    let _guard = store.locks().acquire(Lock::Machine(name("a")), lock::WAIT, "create a").unwrap();
    store.create(&record("a")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&root), 0o700);
    for path in snapshot(&root).keys() {
        assert_eq!(mode(path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
}

#[test]
fn many_are_listed_in_the_order_of_few() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let names: Vec<String> = (1..=300).map(|index| format!("m{index}")).collect();
    for n in &names {
        store.create(&record(n)).unwrap();
    }
    assert_eq!(store.list_with(|row| row.record.unwrap().name).unwrap(), names);
}

#[test]
fn one_broken_machine_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    for n in ["m10", "m2", "m1", "empty", "copied"] {
        store.create(&record(n)).unwrap();
    }
    fs::write(store.machine_paths(&name("m2")).record(), "{\"version\":1,").unwrap();
    fs::remove_file(store.machine_paths(&name("empty")).record()).unwrap();
    fs::copy(store.machine_paths(&name("m1")).record(), store.machine_paths(&name("copied")).record()).unwrap();
    fs::write(store.paths.machines().join("a-file"), "").unwrap();
    fs::create_dir(store.paths.machines().join("not a name")).unwrap();
    let rows: Vec<String> = store
        .list()
        .unwrap()
        .into_iter()
        .map(|row| match row.record {
            Ok(_) => format!("{}: fine", row.name),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Corrupt);
                assert!(error.hint().unwrap().contains("machine rm -f"));
                let text = error.to_string();
                format!("{}: {}", row.name, text.split_once(" is damaged: ").unwrap().1)
            }
        })
        .collect();
    assert_eq!(
        rows,
        [
            "copied: it is the record of machine \"m1\"",
            "empty: the file is missing",
            "m1: fine",
            "m2: EOF while parsing a value at line 1 column 13",
            "m10: fine"
        ]
    );
    store.remove(&name("m2")).unwrap();
    store.remove(&name("empty")).unwrap();
}

#[test]
fn a_newer_record_is_read_and_removed_but_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    let old = record("a");
    store.create(&old).unwrap();
    let path = store.machine_paths(&name("a")).record();
    let mut newer = serde_json::to_value(&old).unwrap();
    newer["version"] = json!(3);
    newer["shiny"] = json!({"b": 1, "a": 2});
    fs::write(&path, newer.to_string()).unwrap();

    let read = store.read(&name("a")).unwrap();
    assert_eq!(read.version, 3);
    for refused in [store.save(&read), store.save(&old), store.create(&read)] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), Kind::Newer);
        assert_eq!(
            error.to_string(),
            "the record of machine \"a\" was written by a newer version of this program (format 3, this one knows 2)"
        );
    }
    store.mark_removing(&name("a")).unwrap();
    newer["removing"] = json!(true);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), newer);

    fs::write(&path, "{\"version\": 4, \"name\": [\"a\"]}").unwrap();
    assert_eq!(store.read(&name("a")).unwrap_err().kind(), Kind::Newer, "not understood, so newer rather than damaged");
    store.remove(&name("a")).unwrap();
}

#[test]
fn records_of_every_release_are_read_and_keep_what_we_do_not_know() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/records");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let name = name(value["name"].as_str().unwrap());
        fs::create_dir_all(store.machine_paths(&name).dir()).unwrap();
        fs::write(store.machine_paths(&name).record(), &text).unwrap();
        let record = store.read(&name).unwrap();
        store.save(&record).unwrap();
        let after: Value = serde_json::from_slice(&fs::read(store.machine_paths(&name).record()).unwrap()).unwrap();
        assert_contains(&after, &value, "");
        assert_eq!(store.read(&name).unwrap(), record);
        seen += 1;
    }
    assert!(seen >= 2, "{seen}");
}

/// What was there is there; defaults may have come along.
fn assert_contains(after: &Value, before: &Value, at: &str) {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            for (key, value) in before {
                let found = after.get(key).unwrap_or_else(|| panic!("{at}/{key} is lost"));
                assert_contains(found, value, &format!("{at}/{key}"));
            }
        }
        _ => assert_eq!(after, before, "{at}"),
    }
}

#[test]
fn folders_that_are_not_ours_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |n: &str, files: &[&str]| {
        let root = dir.path().join(n);
        for file in files {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "{}").unwrap();
        }
        root
    };
    let table = [
        (folder("photos", &["a.jpg"]), "is not a store of this program", "empty or a new folder"),
        (folder("dm", &["machines/dev/config.json"]), "is not a store of this program", "docker-machine's folder"),
        (folder("dm2", &["certs/ca.pem", "machines/x"]), "is not a store of this program", "docker-machine's folder"),
        (folder("lost", &["machines/dev/machine.json"]), "the store's identity is missing", "backup"),
        (folder("damaged", &["store.json"]), "is damaged: missing field `version`", "backup"),
    ];
    for (root, text, hint) in table {
        let before = snapshot(&root);
        for refused in [Store::open(&root).map(drop), Store::open_or_create(&root).map(drop)] {
            let error = refused.unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        }
        assert_eq!(snapshot(&root), before);
    }
    let newer = folder("newer", &[]);
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("store.json"), "{\"version\":2,\"id\":{}}").unwrap();
    assert_eq!(Store::open(&newer).unwrap_err().kind(), Kind::Newer);
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(Store::open(&file).unwrap_err().kind(), Kind::Foreign);
}

#[test]
fn beginnings_of_a_killed_process_are_no_strangers() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("locks")).unwrap();
    fs::write(dir.path().join(".tmp-abc"), "{").unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().id(), None);
    let store = Store::open_or_create(dir.path()).unwrap();
    assert!(store.id().is_some() && !dir.path().join(".tmp-abc").exists());
}

#[cfg(unix)]
#[test]
fn another_users_store_is_refused_with_the_way_back() {
    check_owner(Path::new("/s"), 1000, 1000).unwrap();
    let root = check_owner(Path::new("/s"), 0, 1000).unwrap_err();
    assert_eq!((root.to_string().as_str(), root.kind()), ("/s belongs to user 0, not to user 1000", Kind::Denied));
    assert!(root.hint().unwrap().contains("sudo chown -R"));
    let other = check_owner(Path::new("/s"), 1000, 0).unwrap_err();
    assert!(other.hint().unwrap().contains("not with sudo"));
}

#[cfg(unix)]
#[test]
fn leftovers_of_the_dead_are_swept_and_those_of_the_living_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(dir.path()).unwrap();
    store.create(&record("a")).unwrap();
    for left in [".new-b~1", ".new-c~1", ".gone-d~1"] {
        fs::create_dir(store.paths.machines().join(left)).unwrap();
        fs::write(store.paths.machines().join(left).join("id_ed25519"), "x").unwrap();
    }
    let living = File::open(store.paths.machines().join(".new-c~1")).unwrap();
    living.lock().unwrap();
    assert_eq!(store.names().unwrap(), [name("a")]);
    store.create(&record("b")).unwrap();
    assert_eq!(hidden(&store), [".new-c~1"]);
    drop(living);
    store.remove(&name("a")).unwrap();
    assert_eq!(hidden(&store), [""; 0]);
}

#[test]
fn of_many_creating_one_name_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let wins = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let store = Store::open_or_create(dir.path()).unwrap();
                    let result = store.create(&record("a"));
                    (store.id().unwrap().to_owned(), result.map_err(|error| error.kind()))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let store = Store::open(dir.path()).unwrap();
    assert!(wins.iter().all(|(id, _)| Some(id.as_str()) == store.id()), "one store: {wins:?}");
    assert_eq!(wins.iter().filter(|(_, result)| result.is_ok()).count(), 1);
    assert!(wins.iter().all(|(_, result)| matches!(result, Ok(()) | Err(Kind::Exists))), "{wins:?}");
    assert_eq!(hidden(&store), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a8_a_link_in_place_of_a_machine_is_none_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(folder.path().join("store")).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir_all(store.paths().machines()).unwrap();
    let link = name("link");
    std::os::unix::fs::symlink(&elsewhere, store.machine_paths(&link).dir()).unwrap();
    assert!(!store.exists(&link) && store.names().unwrap().is_empty());
    let error = store.create(&record("link")).unwrap_err();
    assert!(error.to_string().contains("it is a link or a file") && error.hint().is_some(), "{error}");
    assert!(elsewhere.exists(), "what it leads to is somebody's");
}

#[cfg(unix)]
#[test]
fn a9_a_store_that_others_may_write_to_is_refused_and_a_new_one_is_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("pub");
    fs::create_dir(&root).unwrap();
    let mode = |bits: u32| fs::set_permissions(&root, fs::Permissions::from_mode(bits)).unwrap();
    mode(0o777);
    Store::open(&root).expect("an empty folder is a store without machines");
    Store::open_or_create(&root).unwrap();
    assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o755);
    for (bits, good) in [(0o700, true), (0o755, true), (0o775, false), (0o1777, false), (0o722, false)] {
        mode(bits);
        match Store::open(&root) {
            Ok(_) => assert!(good, "{bits:o}"),
            Err(error) => {
                assert!(!good && matches!(error, Error::OthersWrite { .. }), "{bits:o}: {error}");
                assert!(error.hint().unwrap().contains("chmod go-w"), "{error}");
            }
        }
    }
}
