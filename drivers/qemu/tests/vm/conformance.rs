//! The suite that every driver passes.

use std::path::PathBuf;

use machine_driver::conformance::{
    Trouble, World, assert_conforms, assert_conforms_behind_a_pipe, settings_round_trip,
};
use machine_driver::{AnyDriver, BoxFuture, InProcess};
use machine_driver_qemu::Qemu;

use crate::tiny::{Computer, FAST, put, qemu};

impl World for Computer {
    fn driver(&self) -> Box<dyn AnyDriver> {
        Box::new(InProcess::new(Qemu::with_pace(FAST)))
    }
    fn arguments(&self) -> Vec<String> {
        Self::arguments(self)
    }
    fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }
    fn things(&self) -> BoxFuture<'_, Vec<String>> {
        let things = Self::things(self);
        Box::pin(async { things })
    }
    fn machines<'a>(&'a self, machine_id: &'a str) -> BoxFuture<'a, usize> {
        let count = self.vms().iter().filter(|(_, id)| id == machine_id).count();
        Box::pin(async move { count })
    }
    fn changes(&self) -> Vec<String> {
        ["--qemu-memory=48", "--qemu-disk-size=32M"].map(str::to_owned).into()
    }
    fn fixed(&self) -> Vec<String> {
        ["--qemu-disk-size=8M", "--qemu-ssh-user=me"].map(str::to_owned).into()
    }
    fn texts(&self) -> Vec<String> {
        // What a machine's QEMU was started with, and what it said.
        let mut texts = Vec::new();
        for (pid, _) in self.vms() {
            texts.extend(["cmdline", "environ"].map(|name| {
                String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()).into_owned()
            }));
        }
        texts
    }
    /// The one changing call is the start of QEMU: it goes wrong by way of a program in between.
    fn arrange(&self, call: usize, trouble: Trouble) -> bool {
        if call != 1 {
            return false;
        }
        put(&self.path("trouble"), format!("{trouble:?}"));
        true
    }
    fn struck(&self) -> bool {
        !self.path("trouble").exists()
    }
}

/// Refused: it says no and nothing runs. Lost: it runs, and whoever started it hears of a failure.
// A shell gives what runs in its background another standard input, unless told.
const IN_BETWEEN: &str = r#"
case $1 in --version) exec "$real" "$@" ;; esac
trouble=$(cat "$cd_root/trouble" 2>/dev/null); rm -f "$cd_root/trouble"
case $trouble in
  Refused) echo "in-between: no" >&2; exit 1 ;;
  Lost) exec 3<&0; "$real" "$@" <&3 3<&- & exit 1 ;;
esac
exec "$real" "$@""#;

fn computer() -> Computer {
    let mut computer = Computer::new();
    let program = computer.script("in-between", IN_BETWEEN);
    computer.flags = format!("--qemu-program {}", program.display());
    computer
}

#[tokio::test]
async fn qemu_conforms() {
    if qemu() {
        assert_conforms(computer).await;
    }
}

#[tokio::test]
async fn qemu_conforms_behind_a_pipe() {
    if qemu() {
        assert_conforms_behind_a_pipe(computer).await;
    }
}

#[test]
fn settings_round_trip_with_every_flag() {
    let driver = InProcess::new(Qemu::new());
    let line = "--qemu-memory 4G --qemu-cpu-count 3 --qemu-disk-size 40960 --qemu-image disk/../base.qcow2 \
                --qemu-image-checksum sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
                --qemu-network bridge=br0 --qemu-address 10.0.0.5/24 --qemu-gateway 10.0.0.1 --qemu-nameserver 10.0.0.1,10.0.0.2 \
                --qemu-arch arm64 --qemu-accel tcg --qemu-program bin/qemu --qemu-arg -device --qemu-arg usb-tablet \
                --qemu-ssh-user debian --qemu-share src:/src --qemu-share /data:/data:ro";
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let value = settings_round_trip(&driver, &words, std::path::Path::new("/home/me")).unwrap();
    assert_eq!(value["memory"], 4096);
    assert_eq!(value["arch"], "aarch64");
    assert_eq!(value["program"], "/home/me/bin/qemu");
    assert_eq!(value["share"], serde_json::json!(["/home/me/src:/src", "/data:/data:ro"]));
    assert_eq!(value["arg"], serde_json::json!(["-device", "usb-tablet"]));
    let plain = settings_round_trip(&driver, &[], std::path::Path::new("/")).unwrap();
    assert_eq!((plain["memory"].clone(), plain["disk-size"].clone()), (2048.into(), 20480.into()));
    assert_eq!((plain["network"].clone(), plain["accel"].clone()), ("user".into(), "auto".into()));
    assert_eq!(plain.get("image"), None);
}
