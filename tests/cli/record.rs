//! Records written as a file: what the commands that read the store alone see. The form is that of version 1.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use machine_tests::Env;
use serde_json::{Value, json};

/// A machine of driver generic that is finished and runs at 10.0.0.7.
pub(crate) fn running(name: &str) -> Value {
    json!({
        "version": 1,
        "name": name,
        "id": "7f0c9f4e-2f5c-4b7e-9d0b-3c1f5d3a1e01",
        "created": "2026-01-02T03:04:05Z",
        "driver": {"name": "generic", "settings": {"ip_address": "10.0.0.7"}, "machine": {}},
        "engine": {"labels": ["team=web"]},
        "ssh": {"host": "10.0.0.7", "port": 2222, "user": "admin", "identity": "machine"},
        "installed": {"bundle": "abc", "bundle_name": "docker-26.1.5-trixie-amd64", "version": "26.1.5", "daemon_json": {}},
        "endpoint": {"kind": "direct", "host": "10.0.0.7", "port": 2376, "host_port": 2376},
        "power": "running",
    })
}

/// The same with some fields replaced (`null` takes one away).
pub(crate) fn with(mut record: Value, changes: &Value) -> Value {
    let fields = record.as_object_mut().expect("a record is an object");
    for (key, value) in changes.as_object().expect("changes are an object") {
        if value.is_null() {
            fields.remove(key);
        } else {
            fields.insert(key.clone(), value.clone());
        }
    }
    record
}

/// Puts a record into the store, which is made where there is none; returns the machine's folder.
pub(crate) fn put(env: &Env, record: &Value) -> PathBuf {
    let name = record["name"].as_str().expect("a record has a name");
    put_text(env, name, &record.to_string())
}

/// The same with any text in place of the record.
pub(crate) fn put_text(env: &Env, name: &str, text: &str) -> PathBuf {
    let dir = env.store().join("machines").join(name);
    fs::create_dir_all(&dir).expect("a folder of our own");
    let write = |path: PathBuf, text: &str| {
        fs::File::create(path).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file of our own");
    };
    write(env.store().join("store.json"), r#"{"version":1,"id":"3a54a8a8-5d1f-4d0c-8a59-0f6d2f1c9d10"}"#);
    write(dir.join("machine.json"), text);
    write(
        dir.join("journal.jsonl"),
        "{\"time\":\"2026-01-02T03:04:05Z\",\"event\":\"end\",\"operation\":\"create\"}\n",
    );
    dir
}
