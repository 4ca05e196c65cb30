//! Whose a thing is, by its tags or, where it has none, by its name. Main type: [`Ids`].

use std::collections::BTreeMap;

use machine_driver::Context;

/// What a machine's id follows in the tag that all its things carry.
pub const MACHINE_TAG: &str = "machine-id:";
/// What a store's id follows in the tag that all its things carry.
pub const STORE_TAG: &str = "machine-store:";

/// The length of a UUID in text.
const UUID: usize = 36;

/// A machine, and the store it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The machine.
    pub machine: String,
    /// Its store; `None`: the thing does not say.
    pub store: Option<String>,
}

impl Ids {
    /// The ids of this call.
    #[must_use]
    pub fn of(cx: &Context) -> Self {
        Self { machine: cx.machine_id.clone(), store: Some(cx.store_id.clone()) }
    }

    /// Read from tags that have a name and a value, `machine-id` and `machine-store`.
    #[must_use]
    pub fn in_map(tags: &BTreeMap<String, String>) -> Option<Self> {
        let find = |tag: &str| {
            let named = |(name, _): &(&String, &String)| same(name, tag.trim_end_matches(':'));
            tags.iter().find(named).map(|(_, value)| value.to_ascii_lowercase())
        };
        Some(Self { machine: find(MACHINE_TAG)?, store: find(STORE_TAG) })
    }

    /// The tag that all things of this machine carry.
    #[must_use]
    pub fn machine_tag(cx: &Context) -> String {
        format!("{MACHINE_TAG}{}", cx.machine_id)
    }

    /// The tag that all things of this store carry.
    #[must_use]
    pub fn store_tag(cx: &Context) -> String {
        format!("{STORE_TAG}{}", cx.store_id)
    }

    /// `…-MACHINE-STORE`, both UUIDs: how the names of untagged things of ours end.
    #[must_use]
    pub fn suffix(cx: &Context) -> String {
        format!("{}-{}", cx.machine_id, cx.store_id)
    }

    /// Read from such a name; a name of anybody else's has none.
    #[must_use]
    pub fn in_name(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("machine-")?;
        let (rest, store) = rest.split_at_checked(rest.len().checked_sub(UUID)?)?;
        let rest = rest.strip_suffix('-')?;
        let (before, machine) = rest.split_at_checked(rest.len().checked_sub(UUID)?)?;
        let ours = (before.is_empty() || before.ends_with('-')) && is_uuid(machine) && is_uuid(store);
        ours.then(|| Self { machine: machine.to_owned(), store: Some(store.to_owned()) })
    }

    /// The machine's name in such a name: only keys have it.
    #[must_use]
    pub fn host_in_name(name: &str) -> Option<&str> {
        let host = name.strip_prefix("machine-")?;
        host.get(..host.len().checked_sub(2 * (UUID + 1))?)
    }

    /// Read from tags.
    #[must_use]
    pub fn in_tags(tags: &[String]) -> Option<Self> {
        let find = |start: &str| {
            let after = |tag: &String| {
                Some(tag.split_at_checked(start.len())?)
                    .filter(|(s, _)| same(s, start))
                    .map(|(_, id)| id.to_ascii_lowercase())
            };
            tags.iter().find_map(after)
        };
        Some(Self { machine: find(MACHINE_TAG)?, store: find(STORE_TAG) })
    }
}

/// Whether this tag is among those. Letters' case does not count: a provider keeps the spelling in which somebody first
/// wrote a tag.
#[must_use]
pub fn has_tag(tags: &[String], tag: &str) -> bool {
    tags.iter().any(|known| same(known, tag))
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn is_uuid(text: &str) -> bool {
    text.len() == UUID
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0c0a2b6e-0000-4000-8000-000000000001";
    const STORE: &str = "0c0a2b6e-0000-4000-8000-00000000000a";

    #[test]
    fn names_are_told_from_those_of_others() {
        let ids = Ids { machine: MACHINE.to_owned(), store: Some(STORE.to_owned()) };
        assert_eq!(Ids::in_name(&format!("machine-web-1-{MACHINE}-{STORE}")), Some(ids.clone()));
        assert_eq!(Ids::in_name(&format!("machine-{MACHINE}-{STORE}")), Some(ids));
        assert_eq!(Ids::host_in_name(&format!("machine-web-1-{MACHINE}-{STORE}")), Some("web-1"));
        assert_eq!(Ids::host_in_name(&format!("machine-{MACHINE}-{STORE}")), None);
        for other in [
            String::new(),
            "machine-".to_owned(),
            "my key".to_owned(),
            format!("machine-web-1-{MACHINE}"),
            format!("{MACHINE}-{STORE}"),
            format!("machine-web{MACHINE}-{STORE}"),
            format!("machine-web-1-{MACHINE}-{STORE}x"),
            format!("machine-é{MACHINE}é{}", &STORE[1..]),
        ] {
            assert_eq!(Ids::in_name(&other), None, "{other}");
        }
    }

    #[test]
    fn tags_may_lack_the_store() {
        let tags = |tags: &[&str]| Ids::in_tags(&tags.iter().map(|&tag| tag.to_owned()).collect::<Vec<_>>());
        assert_eq!(tags(&["machine", "web"]), None);
        assert_eq!(tags(&["machine-store:s"]), None);
        assert_eq!(tags(&["x", "machine-id:m"]), Some(Ids { machine: "m".to_owned(), store: None }));
        let both = Ids { machine: "m".to_owned(), store: Some("s".to_owned()) };
        assert_eq!(tags(&["machine-store:s", "machine-id:m"]), Some(both));
    }

    #[test]
    fn tags_with_values_are_read_whatever_their_case() {
        let tags = |all: &[(&str, &str)]| all.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
        let ours = Ids { machine: "0c0a".to_owned(), store: Some("s".to_owned()) };
        assert_eq!(Ids::in_map(&tags(&[("Machine-Id", "0C0A"), ("machine-store", "s"), ("x", "y")])), Some(ours));
        assert_eq!(Ids::in_map(&tags(&[("machine-store", "s")])), None);
    }

    #[test]
    fn d8_the_case_of_a_tag_does_not_count() {
        let tags = ["MACHINE", "Machine-ID:0C0A", "é"].map(str::to_owned);
        assert!(has_tag(&tags, "machine") && !has_tag(&tags, "machin"));
        assert_eq!(Ids::in_tags(&tags), Some(Ids { machine: "0c0a".to_owned(), store: None }));
    }
}
