//! Every exchange held against the vendor's own document, as strict JSON Schema. Main type: [`Contract`].

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::Exchange;
use super::http::decoded;

/// Where the documents lie, beside a folder above that of the tests.
const FOLDER: &str = "shared/specs/contract";

/// Whether letters' case counts in the literal parts of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// It does.
    Exact,
    /// It does not.
    IgnoringCase,
}

/// The vendor's document.
pub struct Contract {
    document: Value,
    paths: Paths,
    /// By their text: making one takes a fifth of a second.
    validators: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

impl Contract {
    /// Reads the one of this name where it is beside a folder above `below`; it is not part of this repository.
    ///
    /// # Panics
    /// When it is there and cannot be read.
    pub fn find(below: &Path, name: &str, paths: Paths) -> Option<Self> {
        let file = Path::new(FOLDER).join(format!("{name}.strict.json"));
        let file: PathBuf = below.ancestors().map(|folder| folder.join(&file)).find(|file| file.is_file())?;
        let text = std::fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
        let document: Value = serde_json::from_slice(&text).expect("the contract is JSON");
        Some(Self::new(document, paths))
    }

    fn new(document: Value, paths: Paths) -> Self {
        Self { document, paths, validators: Mutex::default() }
    }

    /// Mends what the vendor's document is known to say wrongly.
    #[must_use]
    pub fn mended(mut self, mend: impl FnOnce(&mut Value)) -> Self {
        mend(&mut self.document);
        self
    }

    /// The rights that the document asks for all of these.
    pub fn rights(&self, exchanges: &[Exchange]) -> BTreeSet<String> {
        let operations = exchanges.iter().filter_map(|exchange| self.operation(&exchange.method, &exchange.path));
        let named = operations.flat_map(|operation| operation["security"].as_array().into_iter().flatten());
        let rights = named.flat_map(|by| by.as_object().into_iter().flatten().map(|(_, rights)| rights));
        rights
            .flat_map(|rights| rights.as_array().into_iter().flatten())
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
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
            wrong.extend(headers(operation, exchange).into_iter().map(|why| format!("{about}: {why}")));
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

    fn same(&self, want: &str, is: &str) -> bool {
        match self.paths {
            Paths::Exact => want == is,
            Paths::IgnoringCase => want.eq_ignore_ascii_case(is),
        }
    }

    /// Same number of segments, literal ones equal; the one with most literal segments wins.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let literals = |operation: &&Value| -> Option<usize> {
            let template: Vec<&str> = operation["path"].as_str()?.split('/').collect();
            let fits = template.len() == segments.len()
                && template.iter().zip(&segments).all(|(want, is)| want.starts_with('{') || self.same(want, is));
            fits.then(|| template.iter().filter(|part| !part.starts_with('{')).count())
        };
        let operations = self.document["operations"].as_array()?;
        operations
            .iter()
            .filter(|operation| operation["method"] == method && literals(operation).is_some())
            .max_by_key(literals)
    }
}

/// The headers that are asked for, and the kind of body.
fn headers(operation: &Value, exchange: &Exchange) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, parameter) in operation["header"].as_object().into_iter().flatten() {
        match exchange.header(&name.to_ascii_lowercase()) {
            None if parameter["required"] == true => wrong.push(format!("header {name} is missing")),
            Some(value) if !jsonschema::draft202012::is_valid(&parameter["schema"], &json!(value)) => {
                wrong.push(format!("header {name}: {value} is against the document"));
            }
            _ => {}
        }
    }
    let kind = exchange.header("content-type").unwrap_or_default();
    if let Some(wanted) = operation["request_content_type"].as_str()
        && !exchange.request.is_null()
        && !kind.starts_with(wanted)
    {
        wrong.push(format!("a body of {kind:?}, and the document wants {wanted}"));
    }
    wrong
}

fn query(operation: &Value, query: &str) -> Vec<String> {
    let given: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let known = operation["query"].as_object().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, raw) in &given {
        let Some(parameter) = known.get(*name) else {
            wrong.push(format!("no parameter {name} in the document"));
            continue;
        };
        let value = raw.parse::<i64>().map_or_else(|_| json!(decoded(raw)), |number| json!(number));
        let value = match parameter["schema"]["type"].as_str() {
            // Digits may be text as well.
            Some("string") => json!(decoded(raw)),
            Some("boolean") => raw.parse::<bool>().map_or(value, |known| json!(known)),
            _ => value,
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(path: &str, kind: &str, request: Value) -> Exchange {
        let headers = vec![("content-type".to_owned(), kind.to_owned()), ("metadata".to_owned(), "true".to_owned())];
        let (method, query) = ("POST".to_owned(), String::new());
        Exchange {
            method,
            path: path.to_owned(),
            query,
            headers,
            request,
            status: 204,
            answer: Value::Null,
            whole: true,
        }
    }

    #[test]
    fn paths_forms_and_headers_are_held_against_the_document() {
        let document = json!({ "$defs": {}, "operations": [{
            "method": "POST", "path": "/Groups/{name}/token", "query": null,
            "header": { "Metadata": { "required": true, "schema": { "enum": ["true"] } } },
            "request_content_type": "application/x-www-form-urlencoded",
            "request": { "properties": { "scope": { "type": "string" } }, "additionalProperties": false },
            "responses": { "204": {} },
        }]});
        let form = "application/x-www-form-urlencoded";
        let scope = json!({ "scope": "all" });
        let contract = Contract::new(document.clone(), Paths::IgnoringCase);
        let wrong = |exchange| contract.violations(&[exchange]).join("; ");
        assert_eq!(wrong(exchange("/groups/A/token", form, scope.clone())), "");
        assert!(
            wrong(exchange("/groups/A/token", "application/json", scope.clone())).contains("wants application/x-www")
        );
        assert!(wrong(exchange("/groups/A/token", form, json!({ "scop": "all" }))).contains("scop"));
        let mut bare = exchange("/groups/A/token", form, scope.clone());
        bare.headers.pop();
        assert!(wrong(bare).contains("header Metadata is missing"));
        let exact = Contract::new(document, Paths::Exact).violations(&[exchange("/groups/A/token", form, scope)]);
        assert!(exact.join("; ").contains("no such operation"));
    }
}
