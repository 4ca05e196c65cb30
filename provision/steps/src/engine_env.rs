//! The engine's variables (`--engine-env`): a file that only root reads, since a proxy's password may be among them.
//! Main function: [`environment`].

use machine_engine::layout;
use machine_host::secrets::Reference;
use machine_templates::TextFile;
use machine_templates::host::EngineEnvironment;

use crate::engine_config::File;
use crate::step::Context;
use crate::{Asking, Diagnostic, Result};

/// What the engine gets.
#[derive(Default)]
pub(crate) struct Environment {
    /// `None`: nothing was asked for.
    pub(crate) file: Option<File>,
    /// Why it stays as it is.
    pub(crate) warning: Option<String>,
}

/// The file of the record's variables, references to secrets resolved. Where one cannot be, what lies on the host stays.
pub(crate) async fn environment(cx: &mut Context<'_>) -> Result<Environment> {
    let mut variables = Vec::new();
    for line in cx.record.engine.env.clone() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = match Reference::is_one(value) {
            false => value.to_owned(),
            true => match cx.world.secrets.resolve(value, Asking::Allowed).await {
                Ok(secret) => secret.expose().trim_end_matches(['\n', '\r']).to_owned(),
                Err(e) => return unresolved(cx, name, e).await,
            },
        };
        variables.push((name.to_owned(), value));
    }
    if variables.is_empty() {
        return Ok(Environment::default());
    }
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let text = EngineEnvironment { variables: &variables }.text();
    // Not the template's own words: they might repeat the value.
    let text = text.map_err(|_| Diagnostic::failure("a variable of --engine-env cannot be written: it holds a NUL"))?;
    Ok(Environment { file: Some(File::new(layout::ENVIRONMENT, "0600", text)), warning: None })
}

async fn unresolved(cx: &mut Context<'_>, name: &str, e: Diagnostic) -> Result<Environment> {
    let Some(sum) = cx.facts().await?.environment_sum().map(str::to_owned) else {
        return Err(e.within(format!("the value of --engine-env {name} cannot be had")));
    };
    let warning = format!("the engine keeps the variables it has: {name} cannot be had here ({})", e.one_line());
    Ok(Environment { file: Some(File::there(layout::ENVIRONMENT, "0600", sum)), warning: Some(warning) })
}
