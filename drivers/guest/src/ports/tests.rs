//! No two VMs ever get one port: whatever is cleared, killed, or runs at once.

use std::collections::BTreeSet;

use machine_driver::Folders;

use super::*;
use crate::seed::tests::context;

/// A user's computer with two stores.
struct Computer(tempfile::TempDir);

impl Computer {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As a driver sees a machine: `store/name`. Its folder is made.
    fn machine(&self, name: &str) -> Context {
        let (dir, data_dir, cache_dir) = (self.path(name), self.path("data"), self.path("cache"));
        files::create_dir_private(&dir).unwrap();
        context().folders(Folders { dir, data_dir, cache_dir, ..Folders::default() })
    }

    fn clear_caches(&self) {
        let _ = std::fs::remove_dir_all(self.path("cache"));
    }

    /// What a program of before does: a file in the cache says whose a port is.
    fn promised_before(&self, port: u16, machine: &Context) {
        files::create_dir_private(&self.path("cache/qemu/ports")).unwrap();
        let path = self.path("cache/qemu/ports").join(port.to_string());
        files::write(&path, bytes(&machine.dir), files::Mode::Private).unwrap();
    }
}

/// So many ports in a row that were free a moment ago, below those that systems give to whoever asks for any.
fn range(count: u16) -> PortRange {
    let row = (0..100).find_map(|_| {
        let first = 10_000 + u16::try_from(random() % 20_000).unwrap();
        let range = PortRange { first, last: first + count - 1 };
        (range.first..=range.last).all(|port| free(port).is_some()).then_some(range)
    });
    row.expect("free ports in a row")
}

async fn choose(cx: &Context, range: PortRange) -> Option<(u16, u16)> {
    Promises::lock(cx).await.unwrap().choose(Some(range)).unwrap()
}

#[tokio::test]
async fn a_range_is_used_to_its_end_and_not_beyond_and_a_promise_is_kept() {
    let computer = Computer::new();
    let (a, b, range) = (computer.machine("a"), computer.machine("b"), range(3));
    let held = free(range.first).unwrap();
    let (first, second) = Promises::lock(&a).await.unwrap().choose_from(Some(range), 12345).unwrap().unwrap();
    assert!(first != second && [first, second].iter().all(|p| (range.first + 1..=range.last).contains(p)));
    // Nobody listens there now; they are another machine's all the same.
    assert_eq!(choose(&b, range).await, None);
    let keeps = async |cx: &Context| Promises::lock(cx).await.unwrap().keep(&[first]).unwrap();
    assert!(keeps(&a).await && !keeps(&b).await);
    Promises::lock(&b).await.unwrap().release(first).unwrap();
    assert!(!keeps(&b).await, "only its own promises can be ended");
    // What was found in vain is not kept.
    drop(held);
    std::fs::remove_dir(&a.dir).unwrap();
    assert!(choose(&b, range).await.is_some());
}

#[tokio::test]
async fn cleared_caches_and_another_store_give_nobody_a_port_that_is_promised() {
    let computer = Computer::new();
    let (dev, range) = (computer.machine("store/dev"), range(4));
    let (ssh, engine) = choose(&dev, range).await.unwrap();
    computer.clear_caches();
    let other = computer.machine("other-store/dev");
    let (other_ssh, other_engine) = choose(&other, range).await.unwrap();
    assert_eq!(BTreeSet::from([ssh, engine, other_ssh, other_engine]).len(), 4);
    computer.clear_caches();
    assert_eq!(choose(&computer.machine("store/third"), range).await, None);
    assert!(Promises::lock(&dev).await.unwrap().keep(&[ssh, engine]).unwrap());
    Promises::lock(&dev).await.unwrap().release_all().unwrap();
    assert_eq!(ports_in(&computer.path("data/ports")).count(), 2);
    assert_eq!(choose(&computer.machine("store/third"), range).await.map(|_| ()), Some(()));
}

#[tokio::test]
async fn what_a_program_of_before_promised_is_honoured_also_when_its_cache_is_cleared_later() {
    let computer = Computer::new();
    let (before, new, range) = (computer.machine("before"), computer.machine("new"), range(4));
    computer.promised_before(range.first, &before);
    computer.promised_before(range.first + 1, &before);
    // Somebody looks; whoever it is, everything is taken over.
    let (ssh, engine) = choose(&new, range).await.unwrap();
    assert!(![ssh, engine].contains(&range.first) && ![ssh, engine].contains(&(range.first + 1)));
    computer.clear_caches();
    assert_eq!(choose(&computer.machine("third"), range).await, None);
    assert!(Promises::lock(&before).await.unwrap().keep(&[range.first, range.first + 1]).unwrap());
    // And the program of before, which looks at the cache alone, sees what was promised since.
    assert_eq!(owner(&computer.path("cache/qemu/ports"), range.first), Some(before.dir.clone()));
    Promises::lock(&before).await.unwrap().release_all().unwrap();
    assert_eq!(owner(&computer.path("cache/qemu/ports"), range.first), None);
    assert_eq!(choose(&computer.machine("third"), range).await.map(|_| ()), Some(()));
}

#[tokio::test]
async fn killed_between_two_files_a_port_still_has_one_owner() {
    let computer = Computer::new();
    let (a, b, range) = (computer.machine("a"), computer.machine("b"), range(2));
    // In the old folder and not yet in the new one; half a file that never got its name.
    computer.promised_before(range.first, &a);
    files::create_dir_private(&computer.path("data/ports")).unwrap();
    std::fs::File::create(computer.path("data/ports/.tmpXyz")).unwrap();
    assert_eq!(choose(&b, range).await, None);
    assert_eq!(owner(&computer.path("data/ports"), range.first), Some(a.dir.clone()));
    // In the record of nobody: the machine takes them up again, and gives them back when it goes.
    assert!(choose(&a, range).await.is_some());
    assert_eq!(choose(&a, range).await.map(|_| ()), Some(()));
    Promises::lock(&a).await.unwrap().release_all().unwrap();
    assert!(choose(&b, range).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_take_what_the_gone_had_and_never_meet() {
    let computer = Computer::new();
    let range = range(16);
    for port in range.first..=range.last {
        computer.promised_before(port, &computer.machine("gone"));
    }
    std::fs::remove_dir(computer.path("gone")).unwrap();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..8 {
        let cx = computer.machine(&format!("m{number}"));
        all.spawn(async move { choose(&cx, range).await });
    }
    let chosen = all.join_all().await;
    let ports: BTreeSet<u16> = chosen.iter().flatten().flat_map(|(ssh, engine)| [*ssh, *engine]).collect();
    assert_eq!(ports.len(), 16, "{chosen:?}");
}
