//! The suite, as far as it applies to a URL.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use machine_driver::conformance::{World, assert_conforms, assert_conforms_behind_a_pipe, settings_round_trip};
use machine_driver::{AnyDriver, BoxFuture, InProcess};
use machine_driver_none::NoDriver;

struct Url(tempfile::TempDir);

impl World for Url {
    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(NoDriver))
    }
    fn arguments(&self) -> Vec<String> {
        vec!["--url".to_owned(), "tcp://[fd00::1]:2376".to_owned()]
    }
    fn folder(&self) -> PathBuf {
        self.0.path().to_owned()
    }
    /// What it could touch: its folder.
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        let found =
            std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().path().display().to_string()).collect();
        Box::pin(async { found })
    }
    fn machines<'a>(&'a self, _: &'a str) -> BoxFuture<'a, usize> {
        Box::pin(async { 0 })
    }
}

#[tokio::test]
async fn none_conforms() {
    assert_conforms(|| Url(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn none_conforms_behind_a_pipe() {
    assert_conforms_behind_a_pipe(|| Url(tempfile::tempdir().unwrap())).await;
}

#[test]
fn settings_round_trip_and_missing_ones_are_refused() {
    let url = ["--url".to_owned(), "unix:///run/docker.sock".to_owned()];
    let value = settings_round_trip(&InProcess::new(NoDriver), &url, Path::new("/")).unwrap();
    assert_eq!(value, serde_json::json!({"url": "unix:///run/docker.sock"}));
    let error = settings_round_trip(&InProcess::new(NoDriver), &[], Path::new("/")).unwrap_err();
    assert!(error.contains("driver none requires the --url option"), "{error}");
    let error =
        settings_round_trip(&InProcess::new(NoDriver), &["--url".to_owned(), "10.0.0.5".to_owned()], Path::new("/"))
            .unwrap_err();
    assert!(error.contains("tcp://10.0.0.5:2376"), "{error}");
}
