//! The fault matrix, and the refusals that the vendor documents.

use machine_driver::Kind;

use crate::cloud::{Core, TOKEN, assert_contract, new_core};
use crate::digitalocean::DigitalOcean;
use crate::frame::{Call, Fault, Matrix, Refusal, Trouble, shown};

const FLAGS: &str = "--digitalocean-firewall 80 --digitalocean-reserved-ip new \
    --digitalocean-project 00000000-0000-4000-8000-0000000000e1";

const CALLS: &[Call] = &[
    Call::needed("create", "GET", "/v2/account", "account:read").optional(),
    Call::needed("create", "GET", "/v2/images/*", "image:read"),
    Call::needed("create", "GET", "/v2/regions", "regions:read").optional(),
    Call::needed("create", "GET", "/v2/sizes", "sizes:read").optional(),
    Call::needed("create", "GET", "/v2/droplets", "droplet:read"),
    Call::needed("create", "GET", "/v2/projects/*", "project:read").optional(),
    Call::needed("create", "POST", "/v2/account/keys", "ssh_key:create"),
    Call::needed("create", "POST", "/v2/tags", "tag:create"),
    Call::needed("create", "POST", "/v2/firewalls", "firewall:create"),
    Call::needed("create", "POST", "/v2/droplets", "droplet:create"),
    Call::needed("create", "GET", "/v2/droplets/*/**", "droplet:read"),
    Call::needed("create", "POST", "/v2/projects/*/resources", "project:assign_resource"),
    Call::needed("create", "POST", "/v2/reserved_ips", "reserved_ip:create"),
    Call::needed("create", "GET", "/v2/reserved_ips/**", "reserved_ip:read"),
    Call::needed("stop", "GET", "/v2/droplets/*/**", "droplet:read"),
    Call::needed("stop", "POST", "/v2/droplets/*/actions", "droplet:update"),
    Call::needed("start", "POST", "/v2/droplets/*/actions", "droplet:update"),
    Call::needed("restart", "POST", "/v2/droplets/*/actions", "droplet:update"),
    Call::needed("inspect", "GET", "/v2/droplets/*", "droplet:read"),
    Call::needed("create", "GET", "/v2/account/keys/*", "ssh_key:read"),
    Call::needed("create", "GET", "/v2/firewalls", "firewall:read"),
    // What is known by its id is removed by its id.
    Call::needed("remove", "GET", "/v2/droplets", "droplet:read").spared(),
    Call::needed("remove", "DELETE", "/v2/droplets/*", "droplet:delete"),
    // A reserved IP in the middle of something answers 422 too.
    Call::needed("remove", "DELETE", "/v2/reserved_ips/*", "reserved_ip:delete").awaiting(422),
    Call::needed("remove", "DELETE", "/v2/firewalls/*", "firewall:delete"),
    Call::needed("remove", "DELETE", "/v2/account/keys/*", "ssh_key:delete"),
    Call::needed("remove", "DELETE", "/v2/tags/*", "tag:delete").optional(),
];

const REFUSALS: &[Refusal] = &[
    Refusal { status: 401, code: "unauthorized", message: "Unable to authenticate you.", kind: Kind::Denied },
    Refusal {
        status: 403,
        code: "forbidden",
        message: "You are not authorized to perform this operation",
        kind: Kind::Denied,
    },
    Refusal { status: 422, code: "unprocessable_entity", message: "The request is not understood.", kind: Kind::Usage },
];

fn core() -> Core {
    new_core(FLAGS)
}

fn limited(seconds: &str) -> Trouble {
    Trouble::Answer {
        status: 429,
        code: "too_many_requests".to_owned(),
        message: "API rate limit exceeded.".to_owned(),
        headers: vec![("retry-after".to_owned(), seconds.to_owned())],
    }
}

const MATRIX: Matrix<DigitalOcean> = Matrix {
    provider: "DigitalOcean",
    secret: TOKEN,
    core,
    calls: CALLS,
    refusals: REFUSALS,
    passing: &[(500, "server_error", "Unexpected server-side error"), (503, "service_unavailable", "Service is down")],
    limited,
    silent: &["/v2/images/*", "/v2/account/keys"],
    made: (5, &["droplet", "key"]),
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

#[tokio::test]
async fn a_wrong_token_or_none_is_denied_before_anything_is_made() {
    for token in ["", "dop_v1_wrong"] {
        let mut core = new_core("");
        let _ = core.secrets.insert("access-token".to_owned(), token.to_owned());
        let error = core.create().await.unwrap_err();
        assert_eq!(error.kind, Kind::Denied);
        assert!(error.hint.unwrap().contains("DIGITALOCEAN_ACCESS_TOKEN"));
        assert!(core.simulator.exchanges().iter().all(|e| e.method == "GET"));
    }
}

#[tokio::test]
async fn a_token_sent_back_is_not_shown() {
    let core = new_core("");
    let echo = Trouble::status(400, "bad_request", &format!("bad header: Bearer {TOKEN}"));
    core.simulator.arrange(Fault::next("GET", "/v2/account", echo));
    let error = core.check().await.unwrap_err();
    assert!(shown(&error).contains("Bearer (token)"), "{}", shown(&error));
}
