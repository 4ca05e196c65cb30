//! Debian version numbers, compared as `dpkg` does (deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions: epoch, upstream version, revision.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (ea, ua, ra) = split(a);
    let (eb, ub, rb) = split(b);
    ea.cmp(&eb).then_with(|| part(ua, ub)).then_with(|| part(ra, rb))
}

/// The upstream part without epoch, `+dfsg…` and revision: `2:26.1.5+dfsg1-9` is `26.1.5`.
pub(crate) fn upstream(version: &str) -> &str {
    let (_, upstream, _) = split(version);
    upstream.split(['+', '~']).next().unwrap_or(upstream)
}

fn split(version: &str) -> (u64, &str, &str) {
    let (epoch, rest) = match version.split_once(':') {
        Some((e, rest)) => (e.parse().unwrap_or(0), rest),
        None => (0, version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// `~` sorts before the end, the end before letters, letters before the rest.
fn weight(c: Option<u8>) -> i32 {
    match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(c),
        Some(c) => i32::from(c) + 256,
    }
}

fn part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        while a.first().is_some_and(|c| !c.is_ascii_digit()) || b.first().is_some_and(|c| !c.is_ascii_digit()) {
            let order = weight(a.first().copied()).cmp(&weight(b.first().copied()));
            if order != Ordering::Equal {
                return order;
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let (na, nb) = (digits(&mut a), digits(&mut b));
        let order = na.len().cmp(&nb.len()).then_with(|| na.cmp(nb));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the leading digits, without leading zeros.
fn digits<'a>(s: &mut &'a [u8]) -> &'a [u8] {
    let end = s.iter().position(|c| !c.is_ascii_digit()).unwrap_or(s.len());
    let (number, rest) = s.split_at(end);
    *s = rest;
    let zeros = number.iter().position(|c| *c != b'0').unwrap_or(number.len());
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_dpkg_compares() {
        for (older, newer) in [
            ("1.0", "1.1"),
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0a"),
            ("1.0", "1.0+b1"),
            ("1.9", "1.10"),
            ("9.9", "1:0.1"),
            ("26.1.5+dfsg1-9+deb13u1", "26.1.5+dfsg1-9+deb13u1+b1"),
            ("1.0-1", "1.0-1.1"),
            ("1.0~~", "1.0~"),
            ("1.0.a", "1.0.+"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} < {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{newer} > {older}");
        }
        assert_eq!(compare("0:1.00-0", "1.0"), Ordering::Equal);
        assert_eq!(upstream("5:27.3.1-1~debian.12~bookworm"), "27.3.1");
        assert_eq!(upstream("20.10.24+dfsg1-1+deb12u1+b6"), "20.10.24");
    }

    proptest! {
        #[test]
        fn order_is_total(a in "[0-9a-z.+~:-]{0,12}", b in "[0-9a-z.+~:-]{0,12}", c in "[0-9a-z.+~:-]{0,12}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
