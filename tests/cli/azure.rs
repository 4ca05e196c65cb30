//! Azure through the program: who signs in, from the user's own variables and programs, and where it is not seen.

use std::os::unix::fs::PermissionsExt as _;

use machine_tests::simulators::azure::{CLIENT, SUBSCRIPTION, Simulator, TENANT};
use machine_tests::simulators::frame::Nothing;
use machine_tests::{Env, holding};

const SECRET: &str = "5ecre7f00d~5ecre7f00d";

/// A user of a subscription, who has named nothing but that, as Terraform's users do.
fn user() -> (Simulator, Env) {
    let (simulator, mut env) = (Simulator::start_azure(SECRET, Nothing), Env::new());
    env.set("AZURE_ARM_URL", simulator.url());
    env.set("AZURE_AUTHORITY_HOST", simulator.url());
    env.set("AZURE_POD_IDENTITY_AUTHORITY_HOST", simulator.url());
    env.set("ARM_SUBSCRIPTION_ID", SUBSCRIPTION);
    (simulator, env)
}

fn plan(env: &Env, more: &[&str]) -> machine_tests::Output {
    env.run(&[&["create", "web-1", "-d", "azure", "--dry-run", "--debug"], more].concat())
}

#[test]
fn whoever_az_has_signed_in_is_taken_and_the_token_seen_nowhere() {
    let (simulator, env) = user();
    let token = simulator.token();
    let script = format!(
        "#!/bin/sh\nenv >az.env\necho \"$@\" >az.told\necho '{{\"accessToken\": \"{token}\", \"expires_on\": 4102444800}}'\n"
    );
    let az = env.write("bin/az", &script);
    std::fs::set_permissions(&az, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    let planned = plan(&env, &["--azure-auth", "cli"]).success();
    assert!(planned.stdout.contains("/networkInterfaces/web-1-"), "{planned}");
    let told = env.sh("cat az.told").success().stdout;
    assert!(told.ends_with(&format!("--subscription {SUBSCRIPTION}\n")) && !told.contains(&token), "{told}");
    assert!(!format!("{planned}").contains(&token), "{planned}");
    let root = env.home().parent().expect("the home lies in the test's folder").to_owned();
    assert_eq!(holding(&root, &token), [az], "only where it comes from");
}

#[test]
fn terraform_s_variables_are_known_and_ours_count_more() {
    let (_simulator, mut env) = user();
    for (name, value) in [("ARM_TENANT_ID", TENANT), ("ARM_CLIENT_ID", CLIENT), ("ARM_CLIENT_SECRET", SECRET)] {
        env.set(name, value);
    }
    let planned = plan(&env, &[]).success();
    assert!(!format!("{planned}").contains(SECRET), "{planned}");
    env.set("AZURE_CLIENT_ID", "00000000-0000-4000-8000-0000000000ff");
    plan(&env, &[]).failure(3).says(&["AADSTS700016"]);
}

#[test]
fn what_cannot_sign_in_ends_before_anything_is_made() {
    let (simulator, mut env) = user();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--azure-auth", "cli"], 3, "cannot run az"),
        (&["--azure-auth", "device"], 3, "nobody is here"),
        (&["--azure-auth", "secret"], 3, "no tenant was named"),
        (&["--azure-authority-host", "http://login.example.com"], 3, "in the clear"),
        (&["--azure-pod-identity-authority-host", "http://metadata.example.com"], 3, "in the clear"),
        (&["--azure-auth", "password"], 2, "invalid value 'password'"),
    ];
    for (flags, code, message) in cases {
        plan(&env, flags).failure(*code).says(&[message]);
    }
    env.set("AZURE_TENANT_ID", TENANT);
    env.set("AZURE_CLIENT_ID", CLIENT);
    let pfx = env.write("client.pfx", "0\u{1}not text");
    let flags = ["--azure-client-certificate-path", &pfx.display().to_string()];
    plan(&env, &flags).failure(3).says(&["is not a certificate in PEM", "openssl pkcs12 -in"]);
    env.unset("ARM_SUBSCRIPTION_ID");
    plan(&env, &[]).failure(3).says(&["no subscription was named"]);
    assert!(simulator.exchanges().is_empty());
}
