//! What Azure answers, as far as we read it. It writes `null` where its documents have nothing.

use std::collections::BTreeMap;

use machine_cloud::null_as_default;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A thing with its tags.
#[derive(Debug, Clone, Deserialize)]
#[serde(bound = "T: DeserializeOwned + Default")]
pub(crate) struct Tagged<T> {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) location: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_as_default", rename = "createdTime")]
    pub(crate) created: Option<String>,
    #[serde(default, deserialize_with = "null_as_default", rename = "managedBy")]
    pub(crate) managed_by: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) properties: T,
}

/// A virtual machine, with how it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct VmProperties {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) provisioning_state: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) instance_view: InstanceView,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) time_created: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) priority: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceView {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) statuses: Vec<InstanceStatus>,
}

/// `{"code": "PowerState/running"}`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceStatus {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) code: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) message: String,
}

/// A public address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct AddressProperties {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ip_address: Option<String>,
}

/// A network interface.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct NicProperties {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ip_configurations: Vec<IpConfiguration>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IpConfiguration {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) properties: IpConfigurationProperties,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IpConfigurationProperties {
    #[serde(deserialize_with = "null_as_default", rename = "privateIPAddress")]
    pub(crate) private_address: Option<String>,
}

/// A size in a region.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Sku {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) resource_type: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) family: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) location_info: Vec<LocationInfo>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) capabilities: Vec<Capability>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) restrictions: Vec<Restriction>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LocationInfo {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) zones: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Capability {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) value: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Restriction {
    #[serde(deserialize_with = "null_as_default", rename = "type")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) restriction_info: RestrictionInfo,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RestrictionInfo {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) zones: Vec<String>,
}

/// How much of something is used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Usage {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) current_value: u64,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) limit: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) name: UsageName,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct UsageName {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) value: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) localized_value: String,
}

/// The subscription.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Subscription {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) state: String,
}

/// A region.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Location {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) name: String,
}

/// Whether a part of Azure may be used in the subscription.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Registered {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) registration_state: String,
}

/// An image's version.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ImageProperties {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) plan: Option<Plan>,
    #[serde(deserialize_with = "null_as_default", rename = "hyperVGeneration")]
    pub(crate) generation: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) architecture: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) features: Vec<Capability>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) image_deprecation_status: Deprecation,
}

/// What an image of the marketplace is sold as.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) publisher: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) product: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Deprecation {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) image_state: String,
}
