//! Every exchange held against the vendor's own document, as strict JSON Schema. Main type: [`Contract`].

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use serde_json::{Value, json};

use super::Exchange;

const FILE: &str = "shared/specs/contract/digitalocean.strict.json";

/// The vendor's document.
pub struct Contract {
    document: Value,
    /// By their text: making one takes a fifth of a second.
    validators: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

impl Contract {
    /// Reads it where it is beside a folder above `below`; it is not part of this repository.
    ///
    /// # Panics
    /// When it is there and cannot be read.
    pub fn find(below: &Path) -> Option<Self> {
        let file: PathBuf = below.ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file())?;
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let mut document: Value = serde_json::from_slice(&text).expect("the contract is JSON");
        // The vendor's YAML says `- off` without quotes, which is `false`; its own text says "off".
        document["$defs"]["droplet"]["properties"]["status"]["enum"] = json!(["new", "active", "off", "archive"]);
        Some(Self { document, validators: Mutex::default() })
    }

    /// What is wrong with these exchanges: each request, and each answer that was made.
    pub fn violations(&self, exchanges: &[Exchange]) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for exchange in exchanges {
            let about = format!("{} {}", exchange.method, exchange.path);
            let Some(operation) = self.operation(&exchange.method, &exchange.path) else {
                wrong.push(format!("{about}: the document has no such operation"));
                continue;
            };
            wrong.extend(query(operation, &exchange.query).into_iter().map(|why| format!("{about}: {why}")));
            let empty = json!({});
            let request = operation.get("request").filter(|schema| !schema.is_null());
            match (request, exchange.request.is_null()) {
                (Some(schema), false) => {
                    self.check(&format!("{about}: request"), schema, &exchange.request, &mut seen, &mut wrong)
                }
                (None, false) => wrong.push(format!("{about}: it takes no body")),
                (Some(_), true) if operation["request_required"] == true => {
                    wrong.push(format!("{about}: it needs a body"))
                }
                _ => {}
            }
            if exchange.status == 0 || (exchange.answer.is_null() && exchange.status != 204) {
                continue;
            }
            let responses = &operation["responses"];
            let response = responses.get(exchange.status.to_string()).or_else(|| responses.get("default"));
            match response {
                None => wrong.push(format!("{about}: no answer {} in the document", exchange.status)),
                Some(_) if exchange.answer.is_null() => {}
                Some(response) => {
                    let schema = response.get("schema").filter(|schema| !schema.is_null()).unwrap_or(&empty);
                    self.check(
                        &format!("{about}: answer {}", exchange.status),
                        schema,
                        &exchange.answer,
                        &mut seen,
                        &mut wrong,
                    );
                }
            }
        }
        wrong.sort();
        wrong.dedup();
        wrong
    }

    fn check(&self, about: &str, schema: &Value, body: &Value, seen: &mut BTreeSet<String>, wrong: &mut Vec<String>) {
        // The same body is judged once; most answers repeat.
        if !seen.insert(format!("{schema}{body}")) {
            return;
        }
        let validator = self.validator(schema);
        wrong.extend(validator.iter_errors(body).map(|error| format!("{about}: {}: {error}", error.instance_path())));
    }

    fn validator(&self, schema: &Value) -> Arc<jsonschema::Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(schema.to_string()).or_insert_with(|| {
            let mut whole = schema.clone();
            whole["$defs"] = self.document["$defs"].clone();
            Arc::new(jsonschema::draft202012::new(&whole).expect("the contract's schemas are schemas"))
        });
        Arc::clone(made)
    }

    /// Same number of segments, literal ones equal; the one with most literal segments wins.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let literals = |operation: &&Value| -> Option<usize> {
            let template: Vec<&str> = operation["path"].as_str()?.split('/').collect();
            let fits = template.len() == segments.len()
                && template.iter().zip(&segments).all(|(want, is)| want.starts_with('{') || want == is);
            fits.then(|| template.iter().filter(|part| !part.starts_with('{')).count())
        };
        let operations = self.document["operations"].as_array()?;
        operations
            .iter()
            .filter(|operation| operation["method"] == method && literals(operation).is_some())
            .max_by_key(literals)
    }
}

fn query(operation: &Value, query: &str) -> Vec<String> {
    let given: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let known = operation["query"].as_object().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, value) in &given {
        let Some(parameter) = known.get(*name) else {
            wrong.push(format!("no parameter {name} in the document"));
            continue;
        };
        let value = value.parse::<i64>().map_or_else(|_| json!(value.replace("%3A", ":")), |number| json!(number));
        let value =
            if parameter["schema"]["type"] == "string" { json!(value.as_str().unwrap_or_default()) } else { value };
        if !jsonschema::draft202012::is_valid(&parameter["schema"], &value) {
            wrong.push(format!("{name}={value} is against the document"));
        }
    }
    let missing = known
        .iter()
        .filter(|(name, parameter)| parameter["required"] == true && !given.iter().any(|(given, _)| given == name));
    wrong.extend(missing.map(|(name, _)| format!("parameter {name} is missing")));
    wrong
}

/// MD5 over the key: how DigitalOcean names one.
pub(crate) fn fingerprint(public_key: &str) -> Option<String> {
    let encoded = public_key.split_whitespace().nth(1)?;
    let blob = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    Some(md5::compute(blob).0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
}
