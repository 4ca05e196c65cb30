//! The steps, one file each, named as in [`crate::plan`].

mod await_boot;
mod await_engine;
mod await_ssh;
mod check_credentials;
mod check_driver;
mod check_engine;
mod check_host;
mod choose_identity;
mod claim_host;
mod close_engine;
mod create_machine;
mod delete_record;
mod forward_ports;
mod issue_certificates;
mod look_at_machine;
mod look_for_engine;
mod make_keys;
mod mark_removing;
mod mount_shares;
mod plan_machine;
mod prepare_engine;
mod read_host_facts;
mod record_settings;
mod record_shares;
mod remove_machine;
mod rotate_host_key;
mod start_engine;
mod stop_watcher;
mod switch_off;
mod switch_off_and_on;
mod switch_on;
mod uninstall_engine;
mod upload_engine;
mod write_client_settings;
mod write_engine_config;

pub use await_boot::AwaitBoot;
pub use await_engine::AwaitEngine;
pub use await_ssh::AwaitSsh;
pub use check_credentials::CheckCredentials;
pub use check_driver::CheckDriver;
pub use check_engine::CheckEngine;
pub use check_host::CheckHost;
pub use choose_identity::ChooseIdentity;
pub(crate) use choose_identity::store_secrets;
pub use claim_host::ClaimHost;
pub use close_engine::CloseEngine;
pub use create_machine::CreateMachine;
pub use delete_record::DeleteRecord;
pub use forward_ports::ForwardPorts;
pub use issue_certificates::{IssueCertificates, Renewal};
pub use look_at_machine::LookAtMachine;
pub use look_for_engine::LookForEngine;
pub use make_keys::MakeKeys;
pub use mark_removing::MarkRemoving;
pub use mount_shares::MountShares;
pub(crate) use mount_shares::Shares;
pub use plan_machine::PlanMachine;
pub(crate) use plan_machine::in_a_line;
pub use prepare_engine::PrepareEngine;
pub use read_host_facts::ReadHostFacts;
pub use record_settings::RecordSettings;
pub use record_shares::RecordShares;
pub use remove_machine::RemoveMachine;
pub use rotate_host_key::RotateHostKey;
pub use start_engine::StartEngine;
pub use stop_watcher::StopWatcher;
pub use switch_off::SwitchOff;
pub use switch_off_and_on::SwitchOffAndOn;
pub use switch_on::SwitchOn;
pub use uninstall_engine::UninstallEngine;
pub use upload_engine::UploadEngine;
pub use write_client_settings::WriteClientSettings;
pub use write_engine_config::WriteEngineConfig;

/// What a step is called for people, by its id; a driver's stage (`create-machine/droplet`) is called as its step. `None`: a
/// step of another version.
pub(crate) fn title(id: &str) -> Option<&'static str> {
    macro_rules! titles {
        ($($step:ident),* $(,)?) => { [$(($step::ID, $step::TITLE)),*] };
    }
    let all = titles![
        AwaitBoot,
        AwaitEngine,
        AwaitSsh,
        CheckCredentials,
        CheckDriver,
        CheckEngine,
        CheckHost,
        ChooseIdentity,
        ClaimHost,
        CloseEngine,
        CreateMachine,
        DeleteRecord,
        ForwardPorts,
        IssueCertificates,
        LookAtMachine,
        LookForEngine,
        MakeKeys,
        MarkRemoving,
        MountShares,
        PlanMachine,
        PrepareEngine,
        ReadHostFacts,
        RecordSettings,
        RecordShares,
        RotateHostKey,
        StartEngine,
        StopWatcher,
        SwitchOffAndOn,
        SwitchOn,
        UninstallEngine,
        UploadEngine,
        WriteClientSettings,
        WriteEngineConfig,
    ];
    // What these are called depends on how they are done.
    let others = [
        ("remove-machine", "removing the machine"),
        ("forget-host", "leaving the host"),
        (SwitchOff::ID, "switching off"),
    ];
    let id = id.split('/').next()?;
    all.into_iter().chain(others).find(|(known, _)| *known == id).map(|(_, title)| title)
}

/// Declares a step: a struct whose `run` is the async function `run` of the same file. One with parameters is given to it.
macro_rules! step {
    ($(#[$doc:meta])* $name:ident, $id:literal, $title:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;
        step!(@ $name, $id, $title, |_step, cx| run(cx));
    };
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty),+ $(,)? }, $id:literal, $title:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[$about])* pub(crate) $field: $type),+ }
        step!(@ $name, $id, $title, |step, cx| run(step, cx));
    };
    (@ $name:ident, $id:literal, $title:literal, |$step:ident, $cx:ident| $run:expr) => {
        impl $name {
            /// Its name in journals and events.
            pub const ID: &'static str = $id;
            /// What it is called for people.
            pub const TITLE: &'static str = $title;
        }

        impl crate::step::Step for $name {
            fn id(&self) -> &'static str {
                $id
            }
            fn title(&self) -> &'static str {
                $title
            }
            fn run<'a>(&'a self, $cx: &'a mut crate::step::Context<'_>) -> crate::step::Running<'a> {
                let $step = self;
                Box::pin($run)
            }
        }
    };
}
pub(crate) use step;

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_has_a_title_and_is_found_by_its_id() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steps");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let ids: Vec<String> =
            files.filter(|file| file != "mod.rs").map(|f| f.replace('_', "-").replace(".rs", "")).collect();
        assert!(ids.len() > 30);
        for id in ids {
            assert!(super::title(&id).is_some_and(|title| title != id), "{id}");
        }
        assert_eq!(super::title("create-machine/droplet"), super::title("create-machine"));
        assert_eq!(super::title("step-of-tomorrow"), None);
    }
}
