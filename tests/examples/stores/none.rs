//! Driver none: a URL.

use machine_tests::Env;

use crate::recorder::{MACHINE, Recorder};

pub(crate) fn whole(recorder: &mut Recorder) {
    let env = Env::new();
    let command = env.machine(&["create", MACHINE, "-d", "none", "--url", "tcp://203.0.113.7:2376"]);
    let points =
        ["choose-identity", "check-driver", "make-keys", "prepare-engine", "create-machine", "write-client-settings"];
    recorder.walk(&env, &command, &points);
    command.run().success();
    recorder.keep(&env, "finished");
    let rm = env.machine(&["rm", "-y", MACHINE]);
    recorder.kill_at(&env, &rm, "being-removed", &|store| store.record["removing"] == true);
}
