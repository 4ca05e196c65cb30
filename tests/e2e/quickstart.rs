//! `./quickstart` on a bare machine.

use std::path::Path;
use std::time::Duration;

use machine_tests::{Env, skipped};

#[test]
#[ignore = "long: builds the release program on a bare Debian, and boots a guest"]
fn long_quickstart_on_a_bare_machine() {
    if !rustix::process::geteuid().is_root() {
        skipped("a bare Debian to change into is made by root");
        return;
    }
    let home = std::env::var("HOME").expect("cargo needs it too");
    let of = |variable: &str, folder: &str| std::env::var(variable).unwrap_or_else(|_| format!("{home}/{folder}"));
    let (cargo, rustup) = (of("CARGO_HOME", ".cargo"), of("RUSTUP_HOME", ".rustup"));
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = here.join("e2e/quickstart/bare.sh").display().to_string();
    let repository = here.parent().expect("the tests lie in the project").display().to_string();
    let env = Env::new();
    let folder = env.home().join("bare");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.display().to_string();
    let own = ["--mount", "--pid", "--fork", "--kill-child"];
    let args = [&own[..], &["bash", &script, &folder, &repository, &cargo, &rustup]].concat();
    let done = env.command("unshare", &args).deadline(Duration::from_secs(3000)).run().success();
    let all = format!("{}{}", done.stdout, done.stderr);
    for words in [
        "Nobody can be asked here: run ./quickstart -y, or install them yourself.",
        "\nunasked: 2\n",
        "\nHello from a container on Linux ",
        "\n── Where the time went\n",
        "\n\"dev\" is a Docker host now. Go on with:\n",
        "\nimages: 1, bundles: 1\n",
        "\nengine linux\n",
        "\nthe end\n",
    ] {
        assert!(all.contains(words), "{words:?} is missing in:\n{done}");
    }
    // What `ls -q` says of a machine that is gone.
    assert!(done.stdout.ends_with("engine linux\nthe end\n"), "{done}");
}
