//! Azure Resource Manager as one call of the core sees it. Main types: [`Arm`] and [`ThingKind`].

use std::collections::BTreeMap;

use machine_cloud::{Answer, Api, Fault, How, Ids, What};
use machine_driver::{Diagnostic, Result};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Azure, Settings};

pub(crate) const COMPUTE: &str = "2024-07-01";
pub(crate) const DISKS: &str = "2024-03-02";
pub(crate) const NETWORK: &str = "2024-01-01";
pub(crate) const RESOURCES: &str = "2024-03-01";
pub(crate) const SKUS: &str = "2021-07-01";
pub(crate) const SUBSCRIPTIONS: &str = "2022-12-01";

/// What carries the machine's name.
pub(crate) const NAME_TAG: &str = "machine-name";

/// A kind of thing there: what people call it, what ARM does, and the rights it takes.
#[derive(Debug)]
pub(crate) struct ThingKind {
    pub(crate) word: &'static str,
    /// As in [`machine_driver::Resource::kind`].
    pub(crate) kebab: &'static str,
    pub(crate) arm: &'static str,
    pub(crate) version: &'static str,
    pub(crate) read: &'static str,
    pub(crate) write: &'static str,
    pub(crate) delete: &'static str,
}

impl ThingKind {
    /// Whether an answer's `type` is this one. Groups are called otherwise there than roles call them.
    pub(crate) fn is_type(&self, word: &str) -> bool {
        let group =
            std::ptr::eq(self, &raw const GROUP) && word.eq_ignore_ascii_case("Microsoft.Resources/resourceGroups");
        group || self.arm.eq_ignore_ascii_case(word)
    }
}

macro_rules! kind {
    ($name:ident, $word:literal, $kebab:literal, $arm:literal, $version:expr) => {
        pub(crate) static $name: ThingKind = ThingKind {
            word: $word,
            kebab: $kebab,
            arm: $arm,
            version: $version,
            read: concat!($arm, "/read"),
            write: concat!($arm, "/write"),
            delete: concat!($arm, "/delete"),
        };
    };
}

kind!(GROUP, "resource group", "resource-group", "Microsoft.Resources/subscriptions/resourceGroups", RESOURCES);
kind!(VNET, "virtual network", "virtual-network", "Microsoft.Network/virtualNetworks", NETWORK);
kind!(FIREWALL, "network security group", "network-security-group", "Microsoft.Network/networkSecurityGroups", NETWORK);
kind!(ADDRESS, "public address", "public-address", "Microsoft.Network/publicIPAddresses", NETWORK);
kind!(NIC, "network interface", "network-interface", "Microsoft.Network/networkInterfaces", NETWORK);
kind!(VM, "virtual machine", "vm", "Microsoft.Compute/virtualMachines", COMPUTE);
kind!(DISK, "disk", "disk", "Microsoft.Compute/disks", DISKS);

/// Every kind that is made, in the order in which they are removed.
pub(crate) static KINDS: [&ThingKind; 7] = [&VM, &NIC, &ADDRESS, &DISK, &VNET, &FIREWALL, &GROUP];

/// The provider, signed in.
#[derive(Clone, Copy)]
pub(crate) struct Arm<'a> {
    pub(crate) driver: &'a Azure,
    pub(crate) api: Api<'a>,
    pub(crate) s: &'a Settings,
}

impl Arm<'_> {
    /// A path in the subscription, with the version its document has.
    pub(crate) fn path(&self, rest: &str, version: &str) -> String {
        let and = if rest.contains('?') { '&' } else { '?' };
        format!("/subscriptions/{}{rest}{and}api-version={version}", self.s.subscription())
    }

    /// The id of a thing in a group; of a group its own.
    pub(crate) fn id(&self, kind: &ThingKind, group: &str, name: &str) -> String {
        let subscription = self.s.subscription();
        if std::ptr::eq(kind, &raw const GROUP) {
            return format!("/subscriptions/{subscription}/resourcegroups/{group}");
        }
        format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{}/{name}", kind.arm)
    }

    /// What is at this id; `None`: nothing.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        kind: &'static ThingKind,
        id: &str,
    ) -> Result<Option<T>, Fault> {
        let what = (&*format!("look at the {}", kind.word), kind.read);
        self.api.find(what, &versioned(kind, id)).await
    }

    /// Has it made so, or changed.
    pub(crate) async fn put(&self, kind: &'static ThingKind, id: &str, body: &Value) -> Result<Answer<Value>, Fault> {
        let what = (&*format!("make the {} of {}", kind.word, self.api.cx.host_name), kind.write);
        self.api.act(what, Method::PUT, &versioned(kind, id), Some(body)).await
    }

    /// All pages of a list. A page elsewhere is not asked for: the token goes to nobody else.
    pub(crate) async fn list<T: DeserializeOwned>(&self, what: What<'_>, path: String) -> Result<Vec<T>, Fault> {
        let mut elsewhere = None;
        let next = |answer: &Value| {
            let link = answer.get("nextLink").and_then(Value::as_str).filter(|link| !link.is_empty())?;
            let path = self.api.path_of(link);
            if path.is_none() {
                elsewhere = Some(link.to_owned());
            }
            path
        };
        let all = self.api.pages(what, path, "value", next).await?;
        match elsewhere {
            None => Ok(all),
            Some(link) => Err(self.misled(what, &link)),
        }
    }

    /// A URL that would take the token elsewhere.
    pub(crate) fn misled(&self, (doing, _): What<'_>, url: &str) -> Fault {
        let host = url.split('/').nth(2).unwrap_or_default();
        let error = Diagnostic::failure(format!("cannot {doing}: Azure's answer leads to another host, {host:?}"))
            .hint("nothing was sent there; a proxy may stand between here and Azure (AZURE_ARM_URL)");
        Fault { provider: &crate::provider::AZURE, doing: doing.to_owned(), how: How::NotSignedIn(error) }
    }

    /// What everything that is made carries.
    pub(crate) fn tags(&self) -> Result<Map<String, Value>> {
        let cx = self.api.cx;
        let ours = [("machine-id", &cx.machine_id), ("machine-store", &cx.store_id), (NAME_TAG, &cx.host_name)];
        let ours = ours.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
        Ok(ours.chain(self.s.user_tags()?).map(|(name, value)| (name, Value::String(value))).collect())
    }

    /// Whether it carries this machine's ids.
    pub(crate) fn is_ours(&self, tags: &BTreeMap<String, String>) -> bool {
        Ids::in_map(tags).is_some_and(|ids| ids.machine.eq_ignore_ascii_case(&self.api.cx.machine_id))
    }
}

pub(crate) fn versioned(kind: &ThingKind, id: &str) -> String {
    format!("{id}?api-version={}", kind.version)
}
