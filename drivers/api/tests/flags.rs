//! A driver's flags: written short by its author, whole for everybody else, read from words and variables alone.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;

use machine_driver::{
    Ability, AnyDriver, Context, Description, Diagnostic, Driver, Flag, HostKeySupport, InProcess, Kind, Origin, Reply,
    Result, Status, Takes, Typed,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What the user may set.
#[derive(Debug, clap::Args, Serialize, Deserialize)]
#[group(skip)]
#[serde(rename_all = "kebab-case")]
struct Settings {
    /// Memory of the machine
    ///
    /// More is better.
    #[arg(long, env, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..))]
    memory: u32,

    /// Processors
    #[arg(long, alias = "cpus", env)]
    cpu_count: Option<u8>,

    /// A further address too
    #[arg(long, env)]
    ipv6: bool,

    /// Tags
    #[arg(long, env, value_name = "TAG,…", value_delimiter = ',')]
    tag: Vec<String>,

    /// Where packages come from
    #[arg(long, hide = true)]
    mirror: Option<String>,

    /// As it is
    #[arg(long, allow_hyphen_values = true)]
    raw: Vec<String>,
}

struct Demo;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Stage {}

#[derive(Default, Serialize, Deserialize)]
struct Machine {}

impl Driver for Demo {
    type Settings = Settings;
    type Machine = Machine;
    type Stage = Stage;
    const NAME: &'static str = "demo";
    const ABOUT: &'static str = "A driver for this test";
    const STAGES: &'static [Stage] = &[];
    const ORIGIN: Origin = Origin::UrlOnly;
    const HOST_KEY: HostKeySupport = HostKeySupport::FirstUse;
    const HOST_KEY_FLAG: Option<&'static str> = Some("ssh-host-key");

    async fn check(&self, _: &Context, _: &Settings) -> Result<()> {
        Ok(())
    }
    async fn advance(&self, stage: Stage, _: &Context, _: &Settings, _: &mut Machine) -> Result<()> {
        match stage {}
    }
    async fn inspect(&self, _: &Context, _: &Settings, _: &Machine) -> Result<Status> {
        Ok(Status::gone())
    }
    async fn remove(&self, _: &Context, _: &Settings, _: &Machine) -> Result<()> {
        Ok(())
    }
}

static DEMO: InProcess<Demo> = InProcess::new(Demo);

fn demo() -> &'static dyn AnyDriver {
    &DEMO
}

fn flag(name: &str) -> &'static Flag {
    demo().description().flags.iter().find(|flag| flag.name == name).unwrap()
}

fn typed(line: &str, variables: &[(&str, &str)]) -> Typed {
    Typed {
        args: line.split_whitespace().map(str::to_owned).collect(),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        dir: "/".into(),
    }
}

async fn configured(line: &str, variables: &[(&str, &str)]) -> Result<Value> {
    demo().configure(typed(line, variables)).await
}

#[test]
fn the_driver_s_name_stands_in_front() {
    let names: Vec<&str> = demo().description().flags.iter().map(|flag| flag.name.as_str()).collect();
    assert_eq!(names, ["demo-memory", "demo-cpu-count", "demo-ipv6", "demo-tag", "demo-mirror", "demo-raw"]);
    let memory = flag("demo-memory");
    assert_eq!((memory.variable.as_deref(), memory.value_name.as_deref()), (Some("DEMO_MEMORY"), Some("MIB")));
    assert_eq!((memory.default.as_slice(), memory.takes), (["512".to_owned()].as_slice(), Takes::One));
    assert_eq!(memory.help, "Memory of the machine");
    assert!(memory.long_help.as_ref().unwrap().contains("More is better"), "{memory:?}");
    assert_eq!(flag("demo-cpu-count").aliases, ["demo-cpus"]);
    assert_eq!((flag("demo-ipv6").takes, flag("demo-tag").takes), (Takes::Nothing, Takes::Many));
    let mirror = flag("demo-mirror");
    assert_eq!((mirror.variable.as_deref(), mirror.hidden), (None, true));
    assert!(flag("demo-raw").dashes);
    assert_eq!(demo().description().host_key_flag.as_deref(), Some("demo-ssh-host-key"));
}

#[test]
fn the_description_is_made_once_and_crosses_a_pipe() {
    let description = demo().description();
    assert!(std::ptr::eq(description, demo().description()));
    let text = serde_json::to_string(description).unwrap();
    assert_eq!(serde_json::from_str::<Description>(&text).unwrap(), *description);
}

#[test]
fn as_a_command_line_it_is_what_the_author_wrote() {
    let command = demo().description().command();
    let line = "create --demo-cpus 2 --demo-ipv6 --demo-tag a,b --demo-tag c --demo-raw -x";
    let matches = command.clone().try_get_matches_from(line.split_whitespace()).unwrap();
    assert_eq!(matches.get_one::<String>("demo-cpu-count").unwrap(), "2");
    assert!(matches.get_flag("demo-ipv6"));
    let all = |id: &str| matches.get_many::<String>(id).unwrap().cloned().collect::<Vec<_>>();
    assert_eq!((all("demo-tag"), all("demo-raw")), (vec!["a,b".into(), "c".into()], vec!["-x".into()]));
    let help = command.term_width(100).render_help().to_string();
    assert!(help.contains("--demo-memory <MIB>") && help.contains("[default: 512]"), "{help}");
    assert!(help.contains("[env: DEMO_MEMORY=") && !help.contains("--demo-mirror"), "{help}");
}

#[tokio::test]
async fn words_count_more_than_variables_and_those_more_than_defaults() {
    let plain = json!({"memory": 512, "cpu-count": null, "ipv6": false, "tag": [], "mirror": null, "raw": []});
    assert_eq!(configured("", &[]).await.unwrap(), plain);
    let variables = [("DEMO_MEMORY", "1024"), ("DEMO_IPV6", "yes"), ("DEMO_TAG", "a,b"), ("MEMORY", "3")];
    let by_variables = configured("", &variables).await.unwrap();
    assert_eq!((&by_variables["memory"], &by_variables["ipv6"]), (&json!(1024), &json!(true)));
    assert_eq!(by_variables["tag"], json!(["a", "b"]));
    let by_words =
        configured("--demo-memory=2048 --demo-tag=c,d --demo-raw=--x --demo-cpus=4", &variables).await.unwrap();
    assert_eq!((&by_words["memory"], &by_words["tag"]), (&json!(2048), &json!(["c", "d"])));
    assert_eq!((&by_words["raw"], &by_words["cpu-count"]), (&json!(["--x"]), &json!(4)));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_words_of_its_flag() {
    let refused = configured("--demo-memory=many", &[]).await.unwrap_err();
    let wanted =
        Diagnostic::new(Kind::Usage, "invalid value 'many' for '--demo-memory <MIB>': invalid digit found in string");
    assert_eq!(refused, wanted);
    assert_eq!(demo().read_flags(typed("", &[("DEMO_MEMORY", "many")])).await.unwrap_err(), wanted);
    let unknown = configured("--demo-size=1", &[]).await.unwrap_err();
    assert!(unknown.message.starts_with("unexpected argument '--demo-size'"), "{unknown:?}");
    assert_eq!(demo().read_flags(typed("--demo-memory=64", &[])).await, Ok(()));
}

#[tokio::test]
async fn what_is_not_described_is_refused() {
    assert!(!demo().can(Ability::Power));
    let cx = Context::about_no_machine("store");
    assert_eq!(demo().plan(&cx, &Value::Null).await, Ok(None));
    let refused = demo().start(&cx, &Value::Null, &mut Value::Null).await.unwrap_err();
    assert_eq!(refused.message, "driver demo cannot do this: power");
}

/// The lines that a plugin of another language sees.
#[test]
fn calls_and_answers_are_plain_data() {
    use machine_driver::{Call, ListCall, PowerAction, Stop, Stores};
    let text = |call: &Call| serde_json::to_string(call).unwrap();
    assert_eq!(text(&Call::Examine), r#""examine""#);
    let settings = json!({"memory": 1});
    let action = PowerAction::Stop(Stop::AtOnce);
    assert_eq!(
        text(&Call::Power { action, settings: settings.clone() }),
        r#"{"power":{"action":{"stop":"at-once"},"settings":{"memory":1}}}"#
    );
    assert_eq!(
        text(&Call::List { what: ListCall::Resources(Stores::This), settings }),
        r#"{"list":{"what":{"resources":"this"},"settings":{"memory":1}}}"#
    );
    assert_eq!(serde_json::to_string(&Reply::Done).unwrap(), r#""done""#);
}

#[tokio::test]
async fn a_context_crosses_a_pipe_with_the_time_that_is_left() {
    use std::time::{Duration, Instant};
    let secrets = BTreeMap::from([("token".to_owned(), "5ecre7".to_owned().into())]);
    let end = Instant::now() + Duration::from_secs(60);
    let cx = Context::new("web-1", "id", "store").deadline(end).secrets(secrets).resumed(true);
    let text = serde_json::to_value(cx.data()).unwrap();
    let left = text["milliseconds-left"].as_u64().unwrap();
    assert!((50_000..=60_000).contains(&left), "{left}");
    let there = Context::from(serde_json::from_value::<machine_driver::ContextData>(text).unwrap());
    assert!(there.deadline <= end + Duration::from_secs(1) && there.deadline > Instant::now());
    assert_eq!((there.host_name.as_str(), there.resumed, there.secret("token")), ("web-1", true, Some("5ecre7")));
}
