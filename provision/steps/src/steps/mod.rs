//! The steps, one file each, named as in [`crate::plan`].

mod await_engine;
mod await_ssh;
mod check_driver;
mod check_host;
mod choose_identity;
mod claim_host;
mod create_machine;
mod issue_certificates;
mod make_keys;
mod prepare_engine;
mod read_host_facts;
mod rotate_host_key;
mod start_engine;
mod upload_engine;
mod write_client_settings;
mod write_engine_config;

pub use await_engine::AwaitEngine;
pub use await_ssh::AwaitSsh;
pub use check_driver::CheckDriver;
pub use check_host::CheckHost;
pub use choose_identity::ChooseIdentity;
pub use claim_host::ClaimHost;
pub use create_machine::CreateMachine;
pub(crate) use create_machine::take_over;
pub use issue_certificates::IssueCertificates;
pub use make_keys::MakeKeys;
pub use prepare_engine::PrepareEngine;
pub use read_host_facts::ReadHostFacts;
pub use rotate_host_key::RotateHostKey;
pub use start_engine::StartEngine;
pub use upload_engine::UploadEngine;
pub use write_client_settings::WriteClientSettings;
pub use write_engine_config::WriteEngineConfig;

/// Declares a step: a unit struct whose `run` is the async function `run` of the same file.
macro_rules! step {
    ($(#[$doc:meta])* $name:ident, $id:literal, $title:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl crate::step::Step for $name {
            fn id(&self) -> &'static str {
                $id
            }
            fn title(&self) -> &'static str {
                $title
            }
            fn run<'a>(&self, cx: &'a mut crate::step::Context<'_>) -> crate::step::Running<'a> {
                Box::pin(run(cx))
            }
        }
    };
}
pub(crate) use step;
