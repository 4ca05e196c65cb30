//! A driver as the steps call it: where the provider refuses the credentials, the error says which they were. Main type:
//! [`DriverHandle`].

use std::ops::Deref;

use machine_driver::{AnyDriver, BoxFuture, Call, Context, Description, Reply};
use serde_json::Value;

use crate::{Diagnostic, GivenSecrets, Kind, References, Result};

/// A driver and the credentials of one machine or account. Every call that uses credentials goes through here.
pub(crate) struct DriverHandle<'d> {
    driver: &'d dyn AnyDriver,
    /// Name and reference of each credential that was not typed just now.
    used: Vec<(String, String)>,
}

impl<'d> DriverHandle<'d> {
    /// With the recorded credentials, except those given now: whoever typed them knows which they are.
    pub(crate) fn new(driver: &'d dyn AnyDriver, recorded: &References, given: &GivenSecrets) -> Self {
        let used = recorded.iter().filter(|(name, _)| !given.contains_key(*name));
        Self { driver, used: used.map(|(name, from)| (name.clone(), from.clone())).collect() }
    }

    /// What the driver is, for longer than this lives.
    pub(crate) fn description(&self) -> &'d Description {
        self.driver.description()
    }

    fn explain(&self, e: Diagnostic) -> Diagnostic {
        if e.kind != Kind::Denied {
            return e;
        }
        let told = self.used.iter().map(|(name, from)| format!("the {} is {from}", name.replace('-', " ")));
        told.fold(e, Diagnostic::cause)
    }
}

impl AnyDriver for DriverHandle<'_> {
    fn description(&self) -> &Description {
        self.driver.description()
    }

    fn call<'a>(&'a self, cx: &'a Context, call: Call, machine: &'a mut Value) -> BoxFuture<'a, Result<Reply>> {
        Box::pin(async move { self.driver.call(cx, call, machine).await.map_err(|e| self.explain(e)) })
    }
}

/// The typed helpers.
impl<'d> Deref for DriverHandle<'d> {
    type Target = dyn AnyDriver + 'd;

    fn deref(&self) -> &Self::Target {
        self
    }
}

#[cfg(test)]
mod tests {
    use machine_driver::{HostKeySupport, Origin};
    use serde_json::json;

    use super::*;
    use crate::GivenSecret;

    /// Refuses everything.
    struct Refuses(Description, Kind);

    impl Refuses {
        fn with(kind: Kind) -> Self {
            let description = Description {
                name: "refuses".into(),
                about: String::new(),
                flags: vec![],
                secrets: vec![],
                stages: vec![],
                abilities: vec![],
                origin: Origin::Made,
                host_key: HostKeySupport::Injected,
                host_gateway: None,
                runs_here: false,
                host_key_flag: None,
                key_flag: None,
            };
            Self(description, kind)
        }
    }

    impl AnyDriver for Refuses {
        fn description(&self) -> &Description {
            &self.0
        }

        fn call<'a>(&'a self, _: &'a Context, _: Call, _: &'a mut Value) -> BoxFuture<'a, Result<Reply>> {
            Box::pin(async { Err(Diagnostic::new(self.1, "refused").cause("by the provider")) })
        }
    }

    #[tokio::test]
    async fn refused_credentials_are_named_unless_they_were_typed_just_now() {
        let recorded: References =
            [("access-token", "keyring:cloud"), ("key", "env:KEY")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let typed = GivenSecrets::from([("key".to_owned(), GivenSecret::Typed(machine_host::Secret::new("x")))]);
        let cx = Context::about_no_machine("store");
        let causes = async |kind| {
            let driver = Refuses::with(kind);
            let handle = DriverHandle::new(&driver, &recorded, &typed);
            handle.check(&cx, &json!({})).await.unwrap_err().causes
        };
        assert_eq!(causes(Kind::Denied).await, ["by the provider", "the access token is keyring:cloud"]);
        assert_eq!(causes(Kind::Quota).await, ["by the provider"]);
    }
}
