//! What `create` would ask for, with everything resolved.

use machine_driver::{Context, Plan, Planned, Planner, Result};
use serde_json::{Map, Value};

use crate::arm::{GROUP, ThingKind, VM};
use crate::names::Names;
use crate::{Azure, Settings, check, group, network, vm};

impl Planner for Azure {
    async fn plan(&self, cx: &Context, s: &Settings) -> Result<Plan> {
        let session = self.signed_in(cx, s);
        let arm = session.arm()?;
        let (names, selection) = (Names::of(cx, s), check::select(arm).await?);
        let mut makes = Vec::new();
        if s.resource_group.is_none()
            || machine_cloud::permitted(group::find(arm).await)?.is_some_and(|it| it.is_none())
        {
            makes.push(Planned {
                kind: GROUP.kebab.to_owned(),
                name: names.group.clone(),
                details: Map::new().into_iter().collect(),
            });
        }
        for (kind, id, body) in network::bodies(arm)? {
            makes.push(planned(kind, &id, body));
        }
        let mut body = vm::body(arm, &selection)?;
        // It will hold a key; how long it is is all that can be told.
        if let Some(os) = body.pointer_mut("/properties/osProfile").and_then(Value::as_object_mut) {
            os.remove("customData");
            os.remove("linuxConfiguration");
        }
        makes.push(planned(&VM, &vm::id(arm), body));
        let mut notes = vec![format!(
            "the price is not known: see https://azure.microsoft.com/pricing/details/virtual-machines/linux/ for {}",
            s.size
        )];
        if selection.size.is_none() {
            notes.push("the client may not list sizes: whether there is this one is not known".to_owned());
        }
        let summary = format!("{} in {} with {}", s.size, s.location, selection.image.urn);
        Ok(Plan { summary, makes, price: None, notes })
    }
}

fn planned(kind: &ThingKind, id: &str, body: Value) -> Planned {
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let mut details = match body {
        Value::Object(details) => details,
        _ => Map::new(),
    };
    details.remove("tags");
    Planned { kind: kind.kebab.to_owned(), name, details: details.into_iter().collect() }
}
