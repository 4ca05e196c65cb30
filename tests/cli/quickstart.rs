//! `./quickstart`, its parts with stand-ins for what they call: cargo, apt-get, the program itself and docker. The whole of it
//! runs for real on a bare machine in `e2e`.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use machine_tests::{Env, Output, Pty};

const SOON: Duration = Duration::from_secs(30);

/// What every stand-in begins with: `reach WORK` writes down that a work was begun, and where the test wants it stopped works
/// for ever; `did WORK` writes down that it was done.
const HEAD: &str = r#"#!/bin/sh
reach() { if [ "$(cat "$HOME/stop" 2>/dev/null)" = "$1" ]; then echo "at work: $1" >&2; exec tail -f /dev/null; fi; }
did() { echo "$1" >>"$HOME/done"; }
"#;

/// The programs of the computer, one after the other.
const STAND_INS: &[(&str, &str)] = &[
    ("sudo", r#"while [ "${1#-}" != "$1" ]; do shift; done; exec "$@""#),
    (
        "cc",
        r#"case " $* " in *" - "*) cat >/dev/null ;; esac; while [ $# -gt 0 ]; do if [ "$1" = -o ]; then : >"$2"; fi; shift; done"#,
    ),
    // Installs into the folder where the stand-ins are. What it does beside the build ends when the test lets it.
    (
        "apt-get",
        r#"case "$*" in *" update") reach packages; exit ;; esac
        if [ -p "$HOME/gate" ]; then read -r _ <"$HOME/gate"; fi
        for program in qemu-system-$(uname -m) mmdebstrap mke2fs ssh newuidmap; do
          ln -sf /bin/true "$HOME/bin/$program"
        done
        did packages"#,
    ),
    // It builds what is not built; what it makes is the stand-in for the program.
    (
        "cargo",
        r#"reach machine
        to=$CARGO_TARGET_DIR/quickstart/machine
        if [ -e "$to" ]; then exit; fi
        mkdir -p "${to%/*}"
        cp "$HOME/machine" "$to"
        did machine"#,
    ),
];

/// The program: as strict as it is, it builds anew whatever it is not asked to keep.
const MACHINE: &str = r#"once() {
  reach "$1"
  if [ "$2" != --if-missing ] || [ ! -e "$HOME/kept-$1" ]; then did "$1"; fi
  : >"$HOME/kept-$1"
}
case "$1 $2" in
  'image build') once image "$3" ;;
  'bundle build') once bundle "$3" ;;
  'bundle client') reach client; cp "$HOME/docker" "$HOME/.local/bin/docker"; did client ;;
  'create --timings') reach create; if [ ! -e "$HOME/kept-create" ]; then did create; fi; : >"$HOME/kept-create" ;;
  'status dev') cat "$HOME/status" ;;
  'start dev') did start; echo Running >"$HOME/status" ;;
esac
"#;

const DOCKER: &str = r#"case "$1" in
  image) [ -e "$HOME/kept-container" ] ;;
  import) reach container; cat >/dev/null; did container; : >"$HOME/kept-container" ;;
  run) echo Hello ;;
esac
"#;

struct Newcomer {
    env: Env,
}

impl Newcomer {
    /// Somebody on a computer without QEMU and what builds disks.
    fn new() -> Self {
        let mut env = Env::new();
        for (name, body) in STAND_INS {
            executable(&env.write(&format!("bin/{name}"), &format!("{HEAD}{body}\n")));
        }
        executable(&env.write("machine", &format!("{HEAD}{MACHINE}")));
        executable(&env.write("docker", &format!("{HEAD}{DOCKER}")));
        env.write("status", "Running\n");
        std::fs::remove_file(env.home().join("bin/docker")).ok();
        let tools = "bash cat cp dirname env id install ln mkdir mktemp rm sed setsid sh tail tar uname";
        for tool in tools.split(' ') {
            symlink(Path::new("/usr/bin").join(tool), env.home().join("bin").join(tool)).expect("a link of our own");
        }
        env.set("PATH", env.home().join("bin"));
        env.set("CARGO_TARGET_DIR", env.home().join("target"));
        Self { env }
    }

    fn start(&self) -> Pty {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("quickstart");
        self.env.command(script, &["-y"]).pty()
    }

    /// Runs it until `work` is being done, and no further.
    fn stop_at(&self, work: &str) -> Pty {
        self.env.write("stop", work);
        let mut terminal = self.start();
        terminal.expect(&format!("at work: {work}"), SOON);
        terminal.send("\x03");
        terminal
    }

    fn go_on(&self) -> Output {
        self.env.write("stop", "");
        self.start().wait()
    }

    fn done(&self) -> Vec<String> {
        let all = std::fs::read_to_string(self.env.home().join("done")).unwrap_or_default();
        all.lines().map(str::to_owned).collect()
    }
}

fn executable(path: &PathBuf) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
}

#[test]
fn l2_the_quickstart_goes_on_where_ctrl_c_stopped_it_and_builds_nothing_twice() {
    let newcomer = Newcomer::new();
    let parts = [
        ("packages", "Packages"),
        ("machine", "Building machine"),
        ("bundle", "Engine"),
        ("image", "Guest disk"),
        ("client", "Docker client"),
        ("create", "machine create dev"),
        ("container", "A container"),
    ];
    for (work, part) in parts {
        let stopped = newcomer.stop_at(work).wait().failure(130);
        for words in [format!("quickstart: stopped at: {part}\r\n"), "to go on: ./quickstart -y\r\n".to_owned()] {
            assert!(stopped.stdout.contains(&words), "{words:?} is missing in:\n{stopped}");
        }
    }
    let done = newcomer.go_on().success();
    assert!(done.stdout.contains("Hello\r\n") && done.stdout.contains("\"dev\" is a Docker host now"), "{done}");
    let each_once = ["packages", "machine", "bundle", "image", "client", "create", "container"];
    assert_eq!(newcomer.done(), each_once);

    // Once more, and once more after the machine was switched off.
    newcomer.go_on().success();
    assert_eq!(newcomer.done(), each_once);
    newcomer.env.write("status", "Stopped\n");
    newcomer.go_on().success();
    assert_eq!(newcomer.done()[each_once.len()..], ["start"]);
    assert_eq!(std::fs::read_dir(newcomer.env.tmp()).expect("our own folder").count(), 0, "its own files are gone");
}

#[test]
fn p6_what_needs_no_machine_is_done_beside_the_build_and_never_cut_off() {
    let newcomer = Newcomer::new();
    let gate = newcomer.env.home().join("gate");
    newcomer.env.command("mkfifo", &[&gate.display().to_string()]).env("PATH", "/usr/bin:/bin").run().success();
    // cargo is at work while apt-get still is.
    let mut terminal = newcomer.stop_at("machine");
    terminal.expect("waiting for apt-get", SOON);
    assert_eq!(newcomer.done(), [""; 0]);
    let mut gate = std::fs::File::options().write(true).open(gate).expect("apt-get waits for it");
    gate.write_all(b"go\n").expect("apt-get reads it");
    let stopped = terminal.wait().failure(130);
    assert!(stopped.stdout.contains("stopped at: Building machine"), "{stopped}");
    assert_eq!(newcomer.done(), ["packages"]);
}

#[test]
fn l2_a_bundle_that_is_chosen_is_not_built_again() {
    let env = Env::new();
    for name in ["dockerd", "containerd", "containerd-shim-runc-v2", "docker", "docker-init", "docker-proxy", "runc"] {
        executable(&env.write(&format!("engine/bin/{name}"), "#!/bin/sh\necho 99.1.2\n"));
    }
    let name = env.run(&["bundle", "build", "dir:engine"]).success().stdout;
    env.run(&["bundle", "use", name.trim()]).success();
    let kept = env.run(&["bundle", "build", "--if-missing"]).success();
    assert_eq!((kept.stdout, kept.stderr.as_str()), (name, ""));
}
