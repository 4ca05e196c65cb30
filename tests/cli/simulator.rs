//! The simulator that is shipped for people: bad days are arranged as docs/digitalocean.md says.

use std::path::Path;
use std::process::Command;

use machine_tests::simulators::digitalocean::Simulator;
use machine_tests::simulators::frame::Nothing;
use serde_json::Value;

fn sh(simulator: &Simulator, line: &str) -> Value {
    let line = line.replace("curl ", "curl -sS ");
    let said = Command::new("sh").args(["-c", &line]).env("DIGITALOCEAN_API_URL", simulator.url()).output();
    let said = said.expect("there is a shell");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
}

#[test]
fn bad_days_are_arranged_as_the_page_says() {
    let simulator = Simulator::start("dop_v1_simulated", Nothing);
    // Tests' own are nobody else's to arrange.
    assert_eq!(sh(&simulator, "curl $DIGITALOCEAN_API_URL/simulator")["id"], "unauthorized");
    simulator.open();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/digitalocean.md");
    let page = std::fs::read_to_string(page).expect("docs/digitalocean.md");
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(lines.len(), 5);
    let states: Vec<Value> = lines.iter().map(|line| sh(&simulator, line)).collect();
    assert_eq!(
        (&states[0]["account"]["droplet_limit"], &states[1]["account"]["droplet_limit"]),
        (&150.into(), &1.into())
    );
    assert_eq!(states[1]["behaviour"]["denied"][0], "tag:create");
    assert_eq!(states[2]["faults"][0]["trouble"], "lost");
    assert_eq!((states[3]["faults"].as_array().map(Vec::len), &states[3]["faults"][1]["times"]), (Some(2), &3.into()));
    assert_eq!(states[4]["faults"].as_array().map(Vec::len), Some(0));
    assert_eq!(states[4]["account"]["droplet_limit"], 1, "only the faults are over");

    // All or nothing, and no word is passed over.
    let change = |body: &str| sh(&simulator, &format!("curl -X PATCH $DIGITALOCEAN_API_URL/simulator -d '{body}'"));
    for (body, why) in [
        (r#"{"account": {"droplet_limit": 9}, "behaviour": {"lagg": 1}}"#, "behaviour has no lagg"),
        (
            r#"{"account": {"droplet_limit": 9}, "faults": [{"path": "/v2/sizes", "trouble": "none"}]}"#,
            "unknown variant",
        ),
        (r#"{"account": {"droplet_limit": "many"}}"#, "droplet_limit is a number"),
        (r#"{"acount": {}}"#, "no acount"),
        ("[]", "not a JSON object"),
    ] {
        let answer = change(body);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(why)), "{body}: {answer}");
        assert_eq!(sh(&simulator, "curl $DIGITALOCEAN_API_URL/simulator")["account"]["droplet_limit"], 1, "{body}");
    }
}
