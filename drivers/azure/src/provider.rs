//! What is to be known of Azure before anybody is asked: its limits, its times, what its refusals mean.

use std::time::Duration;

use machine_cloud::{Limits, Meaning, Provider, Refusal, Refused, Timing, retry_after};
use machine_driver::Kind;
use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::refusal::{Told, quoted};

pub(crate) static AZURE: Provider = Provider {
    name: "Azure",
    authorize: |request, token| request.bearer_auth(token),
    judge,
    closed_for,
    unreached: "look at the network, and at AZURE_ARM_URL if it is set",
    limited: LIMITED,
    redacted: "(token)",
};

/// A subscription's bucket holds 200 writes and gets 10 more each second, for each principal; reads have a larger one. Azure's
/// own time for a guest to report is 20 minutes.
pub(crate) const TIMING: Timing = Timing {
    poll: Duration::from_secs(5),
    request: Duration::from_secs(90),
    backoff: Duration::from_secs(1),
    backoff_max: Duration::from_secs(60),
    tries: 5,
    lag: Duration::from_secs(60),
    unknown: Duration::from_secs(60),
    boot: Duration::from_secs(25 * 60),
    shutdown: Duration::from_secs(5 * 60),
    action: Duration::from_secs(10 * 60),
    gone: Duration::from_secs(30 * 60),
    patience: Duration::from_secs(10 * 60),
    replacements: 0,
    limits: Limits::Bucket { at_once: 190, each: Duration::from_millis(100) },
};

const LIMITED: &str = "wait until Azure's limits for the subscription let more through";

fn closed_for(headers: &HeaderMap, too_much: bool) -> Option<Duration> {
    if too_much { retry_after(headers) } else { None }
}

/// What a word of Azure's means for us, and what is to be done about it. No status decides where there is a word: the
/// same is at times a 400, at times a 409.
const WORDS: &[(&str, Kind, Meaning, &str)] = {
    use Kind::{Denied, Quota, Transient, Usage};
    use Meaning::{Account, Busy, Other};
    &[
        ("AnotherOperationInProgress", Transient, Busy, BUSY),
        ("RetryableError", Transient, Busy, BUSY),
        ("ReferencedResourceNotProvisioned", Transient, Busy, BUSY),
        ("NicReservedForAnotherVm", Transient, Busy, BUSY),
        ("ResourceGroupBeingDeleted", Transient, Busy, BUSY),
        ("NicInUse", Transient, Busy, BUSY),
        ("PublicIPAddressCannotBeDeleted", Transient, Busy, BUSY),
        ("InUseNetworkSecurityGroupCannotBeDeleted", Transient, Busy, BUSY),
        ("InUseSubnetCannotBeDeleted", Transient, Busy, BUSY),
        ("OperationNotAllowedOnDiskInUse", Transient, Busy, BUSY),
        ("ScopeLocked", Denied, Other, "remove the lock at Azure (`az lock list`), then run the command again"),
        (
            "RequestDisallowedByPolicy",
            Denied,
            Other,
            "ask who made the policy, or fit --azure-tags, -location and -size to it",
        ),
        ("SubscriptionNotFound", Denied, Account, SUBSCRIPTION),
        ("InvalidSubscriptionId", Denied, Account, SUBSCRIPTION),
        ("InvalidAuthenticationTokenTenant", Denied, Account, SUBSCRIPTION),
        ("ReadOnlyDisabledSubscription", Denied, Account, "the subscription is disabled: see https://portal.azure.com"),
        (
            "MissingSubscriptionRegistration",
            Denied,
            Other,
            "have it registered: `az provider register -n Microsoft.Compute` and `… Microsoft.Network`",
        ),
        ("SkuNotAvailable", Quota, Other, CAPACITY),
        ("AllocationFailed", Quota, Other, CAPACITY),
        ("ZonalAllocationFailed", Quota, Other, CAPACITY),
        ("OverconstrainedZonalAllocationRequest", Quota, Other, CAPACITY),
        ("OverconstrainedAllocationRequest", Quota, Other, CAPACITY),
        ("OperationNotAllowed", Quota, Other, MORE),
        ("QuotaExceeded", Quota, Other, MORE),
        ("PublicIPCountLimitReached", Quota, Other, MORE),
        ("ImageNotFound", Usage, Other, IMAGE),
        ("PlatformImageNotFound", Usage, Other, IMAGE),
        ("VMMarketplaceInvalidInput", Usage, Other, TERMS),
        ("MarketplacePurchaseEligibilityFailed", Usage, Other, TERMS),
        ("ResourcePurchaseValidationFailed", Usage, Other, TERMS),
    ]
};

const BUSY: &str = "wait for what Azure is doing with it, then run the command again: it goes on where it stopped";
const SUBSCRIPTION: &str =
    "look at --azure-subscription-id and --azure-tenant-id; `az account list` has those there are";
const CAPACITY: &str = "choose another --azure-size, --azure-location or --azure-availability-zone, or try again later";
pub(crate) const MORE: &str =
    "remove something, or ask for more: https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade";
const IMAGE: &str = "choose another --azure-image; `az vm image list --all` has those there are";
const TERMS: &str =
    "accept the image's terms once: `az vm image terms accept --urn URN`, or choose another --azure-image";

fn judge(refused: &Refused<'_>) -> Refusal {
    let body: Value = serde_json::from_slice(refused.body).unwrap_or_default();
    let mut told = Told::read(&body);
    // A gateway's page.
    if told.code.is_empty() && told.message.is_empty() {
        told.message.clone_from(&refused.start);
    }
    let request = refused.header("x-ms-correlation-request-id").to_owned();
    Refusal { request, ..meant(told, refused.status, refused.right) }
}

/// What had been accepted and failed later.
pub(crate) fn gave_up(error: &Value) -> Refusal {
    meant(Told::read(error), 0, "")
}

fn meant(told: Told, status: u16, right: &'static str) -> Refusal {
    let known = WORDS.iter().find(|(code, ..)| *code == told.code);
    let (kind, meaning, hint) = match known {
        Some(&(_, kind, meaning, hint)) => (kind, meaning, Some(hint.to_owned())),
        None => by_status(&told, status, right),
    };
    let message = match told.policy {
        Some(policy) => format!("{} (policy {policy:?})", told.message),
        None => told.message,
    };
    Refusal { status, code: told.code, message, request: String::new(), meaning, kind, hint }
}

fn by_status(told: &Told, status: u16, right: &'static str) -> (Kind, Meaning, Option<String>) {
    let some = |kind, hint: &str| (kind, Meaning::Other, Some(hint.to_owned()));
    match status {
        401 => (
            Kind::Denied,
            Meaning::Account,
            Some("look at the tenant, the client and its secret (`machine credentials set azure`, or AZURE_CLIENT_SECRET)".to_owned()),
        ),
        403 => some(Kind::Denied, &missing_right(told, right)),
        404 => (Kind::NotFound, Meaning::Other, None),
        429 => some(Kind::Transient, LIMITED),
        500.. | 408 => some(Kind::Transient, "Azure has trouble: see https://status.azure.com"),
        400 | 409 | 422 => some(Kind::Usage, "Azure takes no such request: look at the --azure-… flags"),
        0 => some(Kind::Failure, "run the command again: it goes on where it stopped"),
        _ => (Kind::Failure, Meaning::Other, None),
    }
}

/// Azure names the action and the scope; else what the call is known to need.
fn missing_right(told: &Told, right: &'static str) -> String {
    let named = quoted(&told.message);
    let action = named.iter().find(|word| word.starts_with("Microsoft.")).copied().unwrap_or(right);
    let scope = named.iter().find(|word| word.starts_with("/subscriptions/"));
    let scope = scope.map(|scope| format!(" on {scope}")).unwrap_or_default();
    format!(
        "give the client a role that allows {action}{scope} (docs/azure.md has a small one); a new role works after some minutes"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_word_decides_and_not_the_status() {
        for status in [400, 409, 429] {
            let error = json!({ "error": { "code": "NicReservedForAnotherVm", "message": "wait 180 seconds" } });
            let refusal = meant(Told::read(&error), status, "");
            assert_eq!((refusal.kind, refusal.meaning), (Kind::Transient, Meaning::Busy), "{status}");
        }
        let unknown = meant(Told::default(), 400, "");
        assert_eq!((unknown.kind, unknown.meaning), (Kind::Usage, Meaning::Other));
        let elsewhere = meant(Told { code: "SubscriptionNotFound".to_owned(), ..Told::default() }, 404, "");
        assert_eq!((elsewhere.kind, elsewhere.meaning), (Kind::Denied, Meaning::Account));
    }

    #[test]
    fn a_missing_right_is_named_with_its_scope() {
        let message = "The client 'c' with object id 'o' does not have authorization to perform action \
            'Microsoft.Network/virtualNetworks/subnets/join/action' over scope '/subscriptions/s/x' or the scope is invalid.";
        let told = Told { code: "AuthorizationFailed".to_owned(), message: message.to_owned(), policy: None };
        let hint = meant(told, 403, "Microsoft.Network/networkInterfaces/write").hint.unwrap();
        assert!(hint.contains("subnets/join/action on /subscriptions/s/x"), "{hint}");
        let bare = meant(Told::default(), 403, "Microsoft.Network/networkInterfaces/write").hint.unwrap();
        assert!(bare.contains("allows Microsoft.Network/networkInterfaces/write ("), "{bare}");
    }
}
