//! The fault matrix: every call of a life, answered by everything that can come back.

use machine_driver::Kind;

use crate::azure::Azure;
use crate::cloud::{Core, SECRET, assert_contract, new_core};
use crate::frame::{Call, Matrix, Refusal, Trouble};

const GROUP: &str = "/subscriptions/*/resourcegroups/*";
const NSG: &str = "/subscriptions/*/resourceGroups/*/providers/Microsoft.Network/networkSecurityGroups/*";
const VNET: &str = "/subscriptions/*/resourceGroups/*/providers/Microsoft.Network/virtualNetworks/*";
const ADDRESS: &str = "/subscriptions/*/resourceGroups/*/providers/Microsoft.Network/publicIPAddresses/*";
const NIC: &str = "/subscriptions/*/resourceGroups/*/providers/Microsoft.Network/networkInterfaces/*";
const VM: &str = "/subscriptions/*/resourceGroups/*/providers/Microsoft.Compute/virtualMachines/*";
// Of the machine alone: others are waited for side by side.
const OPERATION: &str = "/subscriptions/*/providers/Microsoft.Compute/locations/*/operations/*";
const IMAGES: &str = "/subscriptions/*/providers/Microsoft.Compute/locations/*/publishers/*/artifacttypes/vmimage/offers/*/skus/*/versions";

const CALLS: &[Call] = &[
    Call::needed("create", "GET", "/subscriptions/*", "Microsoft.Resources/subscriptions/read").optional(),
    Call::needed("create", "GET", "/subscriptions/*/locations", "Microsoft.Resources/subscriptions/locations/read")
        .optional(),
    Call::needed(
        "create",
        "GET",
        "/subscriptions/*/providers/Microsoft.Network",
        "Microsoft.Resources/subscriptions/providers/read",
    )
    .optional(),
    Call::needed("create", "GET", "/subscriptions/*/providers/Microsoft.Compute/skus", "Microsoft.Compute/skus/read")
        .optional(),
    Call::needed("create", "GET", "/subscriptions/*/providers/Microsoft.Compute/locations/*/usages", "usages/read")
        .optional(),
    Call::needed("create", "GET", IMAGES, "skus/versions/read"),
    Call::needed("create", "PUT", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/write"),
    Call::needed("create", "PUT", NSG, "Microsoft.Network/networkSecurityGroups/write"),
    Call::needed("create", "PUT", VNET, "Microsoft.Network/virtualNetworks/write"),
    Call::needed("create", "PUT", ADDRESS, "Microsoft.Network/publicIPAddresses/write"),
    Call::needed("create", "PUT", NIC, "Microsoft.Network/networkInterfaces/write"),
    Call::needed("create", "PUT", VM, "Microsoft.Compute/virtualMachines/write"),
    Call::needed("create", "GET", NIC, "Microsoft.Network/networkInterfaces/read"),
    Call::needed("create", "GET", OPERATION, "/read"),
    Call::needed("stop", "GET", VM, "Microsoft.Compute/virtualMachines/read"),
    Call::needed(
        "stop",
        "POST",
        "/subscriptions/*/resourceGroups/*/providers/*/virtualMachines/*/powerOff",
        "powerOff/action",
    ),
    Call::needed(
        "start",
        "POST",
        "/subscriptions/*/resourceGroups/*/providers/*/virtualMachines/*/start",
        "start/action",
    ),
    Call::needed(
        "restart",
        "POST",
        "/subscriptions/*/resourceGroups/*/providers/*/virtualMachines/*/restart",
        "restart/action",
    ),
    Call::needed("inspect", "GET", VM, "Microsoft.Compute/virtualMachines/read"),
    Call::needed("remove", "GET", "/subscriptions/*/resourceGroups/*/resources", "resources/read").spared(),
    Call::needed("remove", "DELETE", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/delete"),
];

const REFUSALS: &[Refusal] = &[
    Refusal {
        status: 403,
        code: "AuthorizationFailed",
        message: "The client does not have authorization.",
        kind: Kind::Denied,
    },
    Refusal { status: 400, code: "InvalidParameter", message: "The request is not understood.", kind: Kind::Usage },
    Refusal { status: 409, code: "ScopeLocked", message: "The scope is locked.", kind: Kind::Denied },
];

fn core() -> Core {
    new_core("")
}

fn limited(seconds: &str) -> Trouble {
    Trouble::Answer {
        status: 429,
        code: "TooManyRequests".to_owned(),
        message: "The request is being throttled.".to_owned(),
        headers: vec![("retry-after".to_owned(), seconds.to_owned())],
    }
}

const MATRIX: Matrix<Azure> = Matrix {
    provider: "Azure",
    secret: SECRET,
    core,
    calls: CALLS,
    refusals: REFUSALS,
    passing: &[(500, "InternalServerError", "An error occurred."), (503, "ServerTimeout", "The request timed out.")],
    limited,
    silent: &[IMAGES, VNET],
    made: (7, &["virtualMachines", "networkInterfaces", "resourceGroups", "disks"]),
    contract: assert_contract,
};

#[tokio::test]
async fn what_will_not_change_is_asked_once_and_named() {
    MATRIX.assert_refusals_are_final().await;
}

#[tokio::test]
async fn what_passes_is_got_over() {
    MATRIX.assert_passing_is_got_over().await;
}

#[tokio::test]
async fn what_does_not_pass_is_given_up() {
    MATRIX.assert_lasting_is_given_up().await;
}
