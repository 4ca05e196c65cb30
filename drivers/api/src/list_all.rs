//! What a provider holds of ours, asked once for many machines. Main types: [`ListAll`] and [`Thing`].

use std::future::Future;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::any::from_value;
use crate::{BoxFuture, Context, Driver, Power, Price, Result};

/// One thing at a provider that carries our ids: a machine, or something made for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thing {
    /// The provider's word for it, in kebab-case: `droplet`, `ssh-key`, `firewall`, `reserved-ip`.
    pub kind: String,
    /// Names it among those of its kind.
    pub id: String,
    /// The name of the machine it was made for; empty where nothing there tells.
    pub name: String,
    /// The machine it was made for: its [`Context::machine_id`].
    pub machine_id: String,
    /// The store that machine is of: its [`Context::store_id`]. `None`: the thing does not say.
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

/// Whose things are listed.
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
/// The contexts are [`Context::for_account`]'s: they are about no machine. Only `delete` changes anything.
pub trait ListAll<D: Driver + ?Sized>: Send + Sync {
    /// Names the account that the settings speak of, without asking anybody: machines whose accounts have the same name
    /// and whose secrets are the same are asked for together.
    fn account(&self, s: &D::Settings) -> String;

    /// The machines of this store, and nothing around them. The provider's lists may lag: one made a moment ago may be
    /// missing.
    fn machines(&self, cx: &Context, s: &D::Settings) -> impl Future<Output = Result<Vec<Thing>>> + Send;

    /// Everything that carries ids, in the order in which it can be deleted: nothing becomes unknown by deleting what
    /// stands before it. What may be the user's own is left out.
    fn things(&self, cx: &Context, s: &D::Settings, of: Stores) -> impl Future<Output = Result<Vec<Thing>>> + Send;

    /// Deletes one of them, if it carries the ids it was listed with. What is not there any more counts as deleted.
    fn delete(&self, cx: &Context, s: &D::Settings, thing: &Thing) -> impl Future<Output = Result<()>> + Send;
}

/// The list that is not there; cannot be made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NoList {}

impl<D: Driver + ?Sized> ListAll<D> for NoList {
    fn account(&self, _: &D::Settings) -> String {
        match *self {}
    }
    async fn machines(&self, _: &Context, _: &D::Settings) -> Result<Vec<Thing>> {
        match *self {}
    }
    async fn things(&self, _: &Context, _: &D::Settings, _: Stores) -> Result<Vec<Thing>> {
        match *self {}
    }
    async fn delete(&self, _: &Context, _: &D::Settings, _: &Thing) -> Result<()> {
        match *self {}
    }
}

/// [`ListAll`] with its types rubbed out.
pub trait AnyListAll: Send + Sync {
    /// See [`ListAll::account`].
    ///
    /// # Errors
    /// The settings are not of this driver's form.
    fn account(&self, settings: &Value) -> Result<String>;
    /// See [`ListAll::machines`].
    fn machines<'a>(&'a self, cx: &'a Context, settings: &'a Value) -> BoxFuture<'a, Result<Vec<Thing>>>;
    /// See [`ListAll::things`].
    fn things<'a>(&'a self, cx: &'a Context, settings: &'a Value, of: Stores) -> BoxFuture<'a, Result<Vec<Thing>>>;
    /// See [`ListAll::delete`].
    fn delete<'a>(&'a self, cx: &'a Context, settings: &'a Value, thing: &'a Thing) -> BoxFuture<'a, Result<()>>;
}

/// A driver's list, with the driver it is for.
pub(crate) struct Erased<'d, D, L>(&'d L, PhantomData<fn() -> D>);

impl<'d, D, L> Erased<'d, D, L> {
    pub(crate) fn new(list: &'d L) -> Self {
        Self(list, PhantomData)
    }
}

impl<D: Driver, L: ListAll<D>> AnyListAll for Erased<'_, D, L> {
    fn account(&self, settings: &Value) -> Result<String> {
        Ok(self.0.account(&from_value("settings", settings)?))
    }

    fn machines<'a>(&'a self, cx: &'a Context, settings: &'a Value) -> BoxFuture<'a, Result<Vec<Thing>>> {
        Box::pin(async move { self.0.machines(cx, &from_value("settings", settings)?).await })
    }

    fn things<'a>(&'a self, cx: &'a Context, settings: &'a Value, of: Stores) -> BoxFuture<'a, Result<Vec<Thing>>> {
        Box::pin(async move { self.0.things(cx, &from_value("settings", settings)?, of).await })
    }

    fn delete<'a>(&'a self, cx: &'a Context, settings: &'a Value, thing: &'a Thing) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { self.0.delete(cx, &from_value("settings", settings)?, thing).await })
    }
}
