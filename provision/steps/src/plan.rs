//! Everything that changes a machine, in order: one list of steps for each verb.
//!
//! A step looks, then acts, and answers done, already so, or done with a warning. Every step may run twice; what it
//! learns is in the record, and what it is told stands in the list. The order in this file is the order in life.

use machine_driver::{Origin, Share, Stop};

use crate::bundle::Target;
use crate::list::{List, steps};
use crate::step::{Context, SeenEngine};
use crate::steps::*;

/// `machine create`.
pub fn create(origin: Origin) -> List {
    preflight() + steps![ChooseIdentity] + machine(origin)
}

/// `machine create` of a machine that has a record, which was through the preflight. Versions without one asked the driver
/// after they had written the record: it is asked where their journals do not say so.
pub fn go_on(origin: Origin) -> List {
    steps![ChooseIdentity, CheckDriver] + machine(origin)
}

/// Everything cheap is looked at while nothing exists yet, not even a folder here. `machine create --dry-run` is this, and
/// no more.
pub fn preflight() -> List {
    steps![CheckEngine, CheckDriver, PlanMachine]
}

/// The machine exists and is on, and whatever it is to have runs on it.
fn machine(origin: Origin) -> List {
    steps![MakeKeys, PrepareEngine, CreateMachine]
        + engine(&EngineWant::default()).only_if(origin.has_host())
        + client()
}

/// An engine runs on it, and only we can talk to it.
pub fn engine(want: &EngineWant) -> List {
    let EngineWant { target, unit_seconds, renewal } = want.clone();
    steps![
        AwaitSsh,
        RotateHostKey,
        ReadHostFacts,
        CheckHost { target: target.clone() },
        ClaimHost,
        IssueCertificates { renewal },
        UploadEngine { target: target.clone() },
        WriteEngineConfig { target: target.clone() },
        StartEngine { target, unit_seconds },
        AwaitEngine,
    ]
}

/// What [`engine`] brings to a host. By default what the record says.
#[derive(Debug, Clone, Default)]
pub struct EngineWant {
    /// Which engine.
    pub target: Target,
    /// For a unit to start before it counts as hanging.
    pub unit_seconds: Option<u32>,
    /// Which certificates are issued.
    pub renewal: Renewal,
}

/// The docker command can reach it.
pub fn client() -> List {
    steps![WriteClientSettings]
}

/// `machine provision`.
pub fn provision() -> List {
    engine(&EngineWant::default()) + client()
}

/// `machine upgrade`.
pub fn upgrade(target: Target, unit_seconds: Option<u32>) -> List {
    engine(&EngineWant { target, unit_seconds, ..EngineWant::default() }) + client()
}

/// `machine regenerate-certs`.
pub fn regenerate_certs(renewal: Renewal) -> List {
    engine(&EngineWant { renewal, ..EngineWant::default() }) + client()
}

/// `machine set`. Before there is an engine, and for a machine that is off, only the record changes.
pub fn set(change: RecordSettings, changing: Changing) -> List {
    let mount = || steps![MountShares { shares: Shares::Recorded }];
    let Changing { machine, restarts, engine, was } = changing;
    steps![change]
        + steps![SwitchOffAndOn].only_if(restarts)
        + steps![LookAtMachine].only_if(machine && !restarts)
        + match was {
            // To have one is what `create` goes on for.
            Was::WithoutEngine => List::default(),
            _ => (provision() + mount().only_if(machine)).only_if(engine) + come_up(was).only_if(restarts && !engine),
        }
}

/// What [`set`] has to do.
#[derive(Debug, Clone, Copy)]
pub struct Changing {
    /// What its driver has to know of it changes.
    pub machine: bool,
    /// It is as wanted once it was off.
    pub restarts: bool,
    /// The engine or its certificates change, or the way to them.
    pub engine: bool,
    /// What it was.
    pub was: Was,
}

/// `machine start`. One that is on, and whose engine answers, is left alone.
pub fn start(was: Was) -> List {
    steps![SwitchOn] + steps![LookForEngine].only_if(was == Was::Whole) + come_up(was)
}

/// `machine restart`.
pub fn restart(was: Was) -> List {
    steps![SwitchOffAndOn] + come_up(was)
}

/// What a machine was before it is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// Its `create` never got as far as an engine: that is brought there.
    WithoutEngine,
    /// Something that was begun did not come to its end: everything is looked at.
    Unsettled,
    /// Its engine comes up by itself.
    Whole,
}

/// A machine that was switched on is what it was before. Its address may be another one: then it needs other certificates.
fn come_up(was: Was) -> List {
    let mount = || steps![MountShares { shares: Shares::Recorded }];
    let settings = || {
        steps![
            IssueCertificates { renewal: Renewal::IfNeeded },
            WriteEngineConfig { target: Target::Recorded },
            StartEngine { target: Target::Recorded, unit_seconds: None },
        ]
    };
    let on_the_host = match was {
        Was::WithoutEngine => engine(&EngineWant::default()) + mount(),
        Was::Unsettled => steps![AwaitSsh] + mount() + settings() + steps![AwaitEngine],
        Was::Whole => {
            let up = |cx: &Context<'_>| !matches!(cx.engine, SeenEngine::Unknown);
            let here = |cx: &Context<'_>| matches!(cx.engine, SeenEngine::FromHere);
            (steps![AwaitSsh] + mount() + steps![AwaitBoot] + settings().unless(up) + steps![AwaitEngine]).unless(here)
        }
    };
    on_the_host + client()
}

/// `machine stop` and `machine kill`.
pub fn stop(how: Stop) -> List {
    steps![StopWatcher, SwitchOff { how }]
}

/// `machine share`.
pub fn share(shares: &[Share], change: Sharing) -> List {
    let record = || steps![RecordShares { shares: shares.to_vec() }];
    if change.is_off {
        return record();
    }
    // What comes is written down first, what goes last: until then the same command finds what is left to do.
    record().only_if(change.adds)
        + steps![SwitchOffAndOn].only_if(change.restarts)
        + come_up(change.was).only_if(change.restarts || change.goes_on)
        + steps![MountShares { shares: Shares::Exactly(shares.to_vec()) }]
        + record().only_if(!change.adds)
}

/// What [`share`] has to do.
#[derive(Debug, Clone, Copy)]
pub struct Sharing {
    /// One folder more, not one less.
    pub adds: bool,
    /// The hypervisor offers them from the machine's next start on.
    pub restarts: bool,
    /// The machine is off: its next start mounts what is written down then.
    pub is_off: bool,
    /// An earlier run did not come to its end: it may have restarted the machine.
    pub goes_on: bool,
    /// What the machine was.
    pub was: Was,
}

/// `machine forward`.
pub fn forward(low_ports: Option<bool>) -> List {
    steps![ForwardPorts { low_ports }]
}

/// `machine rm`.
pub fn remove(removal: Removal) -> List {
    steps![CheckCredentials].only_if(removal.check_credentials)
        + steps![MarkRemoving, StopWatcher]
        + match removal.release {
            Release::Nothing => List::default(),
            Release::CloseEngine => steps![CloseEngine],
            Release::UninstallEngine => steps![UninstallEngine],
        }
        + steps![RemoveMachine { made: removal.made }]
        + delete_record()
}

/// The end of `machine rm`; all that is left of it where `--force` has to do without the rest.
pub fn delete_record() -> List {
    steps![DeleteRecord]
}

/// What [`remove`] has to do.
#[derive(Debug, Clone, Copy)]
pub struct Removal {
    /// What only the provider can finish is not begun where it does not let us in.
    pub check_credentials: bool,
    /// The driver made the machine.
    pub made: bool,
    /// What becomes of a host that was there before us.
    pub release: Release,
}

/// What becomes of a host that was there before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// It was never changed, or is the driver's to remove.
    Nothing,
    /// The engine stays, its port is closed.
    CloseEngine,
    /// What we installed goes.
    UninstallEngine,
}
