//! What a list of an account's resources needs, whatever the resources are.

use machine_base::{Diagnostic, Kind, Result};
use machine_driver::Resource;

use crate::Ids;

/// A resource made around a machine: without power, age and price of its own.
#[must_use]
pub fn around(kind: &str, id: String, name: String, ids: Ids) -> Resource {
    Resource {
        kind: kind.to_owned(),
        id,
        name,
        machine_id: ids.machine,
        store_id: ids.store,
        power: None,
        created: None,
        price: None,
    }
}

/// The id of a resource of a kind whose ids are numbers.
///
/// # Errors
/// It is no number.
pub fn numeric_id(resource: &Resource) -> Result<u64> {
    let bad = |_| Diagnostic::new(Kind::Usage, format!("{:?} is not an id of a {}", resource.id, resource.kind));
    resource.id.parse().map_err(bad)
}

/// Somebody may have taken the resource over since it was listed.
///
/// # Errors
/// It carries other ids now, or none.
pub fn assert_unchanged(resource: &Resource, found: Option<&Ids>) -> Result<()> {
    if found == Some(&Ids { machine: resource.machine_id.clone(), store: resource.store_id.clone() }) {
        return Ok(());
    }
    let changed = format!("{} {} is not what it was when it was listed", resource.kind, resource.id);
    Err(Diagnostic::failure(changed).hint("list again"))
}
