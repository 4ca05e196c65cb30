//! What a provider holds of ours, asked once for many machines. Main types: [`ListAll`] and [`Resource`].

use std::future::Future;

use serde::{Deserialize, Serialize};

use crate::{Context, Driver, Power, Price, Result};

/// One resource at a provider that carries our ids: a machine, or something made for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    /// The provider's word for it, in kebab-case: `droplet`, `ssh-key`, `firewall`, `reserved-ip`.
    pub kind: String,
    /// Names it among those of its kind.
    pub id: String,
    /// The name of the machine it was made for; empty where nothing there tells.
    pub name: String,
    /// The machine it was made for: its [`Context::machine_id`].
    pub machine_id: String,
    /// The store that machine is of: its [`Context::store_id`]. `None`: the resource does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_id: Option<String>,
    /// Set for machines, `None` for what was made around one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<Power>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What it costs, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

/// Whose resources are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stores {
    /// Those of [`Context::store_id`].
    This,
    /// Those of any store.
    All,
}

/// A provider that says in a few calls what an account holds of ours, however many machines that is.
///
/// The contexts are about no machine. Only `delete` changes anything.
pub trait ListAll: Driver {
    /// Whether the provider could be asked with what is at hand, without asking any person. Sends nothing.
    fn can_ask(&self, cx: &Context, s: &Self::Settings) -> bool {
        let _ = s;
        Self::SECRETS.iter().all(|secret| cx.secrets.contains_key(secret.name))
    }

    /// Names the account that the settings speak of, without asking anybody: machines whose accounts have the same name
    /// and whose secrets are the same are asked for together.
    fn account(&self, s: &Self::Settings) -> String;

    /// The machines of this store, and nothing around them. The provider's lists may lag: one made a moment ago may be
    /// missing.
    fn machines(&self, cx: &Context, s: &Self::Settings) -> impl Future<Output = Result<Vec<Resource>>> + Send;

    /// Everything that carries ids, in the order in which it can be deleted: nothing becomes unknown by deleting what
    /// stands before it. What may be the user's own is left out.
    fn resources(
        &self,
        cx: &Context,
        s: &Self::Settings,
        of: Stores,
    ) -> impl Future<Output = Result<Vec<Resource>>> + Send;

    /// Deletes one of them, if it carries the ids it was listed with. What is not there any more counts as deleted.
    fn delete(&self, cx: &Context, s: &Self::Settings, resource: &Resource) -> impl Future<Output = Result<()>> + Send;
}
