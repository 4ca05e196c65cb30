//! `machine create --dry-run`: what would be made, as a document.

use machine_host::HostName;
use machine_provision::operations::{self, CreatePlan, CreateRequest, EnginePlan, Stage};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::operation;
use crate::output::document::{self, DocumentFormat};
use crate::report::ReportArgs;
use crate::session::Session;

/// Prints the plans of all that can be made; what cannot is told, and decides the exit code.
pub(crate) fn run(
    session: &Session,
    args: &ReportArgs,
    request: CreateRequest,
    names: Vec<HostName>,
    format: DocumentFormat,
) -> Result<(), CommandError> {
    let store = session.store().map_err(CommandError::before_anything)?;
    operation::run(session, store, args, |world, report| async move {
        let (mut plans, mut codes) = (Vec::new(), Vec::new());
        let one = names.len() == 1;
        for name in names {
            match operations::dry_run(&world, CreateRequest { name: name.clone(), ..request.clone() }).await {
                Ok(plan) => {
                    report.note(name.as_str(), &in_words(&plan));
                    plans.push(as_document(&plan));
                }
                Err(error) => {
                    let error = CommandError::from(error);
                    report.error(Some(name.as_str()).filter(|_| !one), &error);
                    codes.push(error.exit_code());
                }
            }
        }
        if !plans.is_empty() {
            session.out.text(&document::render(format, &Value::from(plans))?)?;
        }
        if codes.is_empty() { Ok(()) } else { Err(CommandError::several(&codes)) }
    })
}

fn in_words(plan: &CreatePlan) -> String {
    match (&plan.stage, &plan.told) {
        (Stage::AlreadySo, _) => "already so".to_owned(),
        (Stage::GoesOn(step), _) => format!("would continue at {step}; nothing was done"),
        (Stage::New, Some(told)) => format!("{told}; nothing was made"),
        (Stage::New, None) => "nothing was made".to_owned(),
    }
}

/// The schema is in docs/output.md.
fn as_document(plan: &CreatePlan) -> Value {
    let record = &plan.record;
    let made = plan.plan.as_ref();
    json!({
        "name": record.name,
        "driver": record.driver.name,
        "stage": match plan.stage {
            Stage::New => "new",
            Stage::GoesOn(_) => "goes-on",
            Stage::AlreadySo => "already-so",
        },
        "settings": record.driver.settings,
        "engine_options": record.engine,
        "tls_sans": record.tls_sans,
        "engine": plan.engine.as_ref().map(|engine| match engine {
            EnginePlan::Kept { name, digest } => json!({ "bundle": name, "digest": digest, "from": null }),
            EnginePlan::Built { from } => json!({ "bundle": null, "digest": null, "from": from }),
            EnginePlan::OfTheHost => json!({ "bundle": null, "digest": null, "from": "host" }),
        }),
        "makes": made.map(|made| &made.makes),
        "price": made.and_then(|made| made.price.as_ref()),
        "notes": made.map(|made| &made.notes),
    })
}
