//! Paragraphs of `Field: value` lines: Release, Packages and apt's `.sources` files (deb822(5)).

/// One paragraph, fields in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph(Vec<(String, String)>);

impl Paragraph {
    /// The value of a field, whatever the case of its name; lines of a long value are separated by `\n`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Reads one paragraph. A line that is neither field, continuation nor comment is an error naming its number.
pub(crate) fn paragraph(text: &str) -> Result<Paragraph, String> {
    let mut out = Paragraph::default();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = out.0.last_mut() else {
                return Err(format!("line {number} continues no field"));
            };
            value.push('\n');
            value.push_str(line.trim());
            continue;
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(format!("line {number} has no colon"));
        };
        if name.is_empty() || name.bytes().any(|b| b <= b' ' || b >= 127) {
            return Err(format!("line {number} has no field name"));
        }
        if out.get(name).is_some() {
            return Err(format!("line {number} gives {name} a second time"));
        }
        out.0.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(out)
}

/// Cuts a text at its empty lines; empty pieces are left out.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(['\n', '\r']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find("\n\n").unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_and_continuations() {
        let p = paragraph("Package: a\n# comment\nDepends: b,\n c (>= 1)\n\td\n").unwrap();
        assert_eq!(p.get("package"), Some("a"));
        assert_eq!(p.get("Depends"), Some("b,\nc (>= 1)\nd"));
        assert_eq!(p.get("Size"), None);
        assert_eq!(paragraph(" x").unwrap_err(), "line 1 continues no field");
        assert_eq!(paragraph("A: 1\nnonsense").unwrap_err(), "line 2 has no colon");
        assert_eq!(paragraph("A: 1\na: 2").unwrap_err(), "line 2 gives a a second time");
        assert_eq!(split("A: 1\n\n\nB: 2\nC: 3\n").collect::<Vec<_>>(), ["A: 1", "B: 2\nC: 3\n"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,200}|[A-Za-z: \n\t#-]{0,200}") {
            for piece in split(&text) {
                let _ = paragraph(piece);
            }
        }

        #[test]
        fn what_is_written_is_read(fields in proptest::collection::btree_map("[A-Z][a-z-]{0,10}", "[!-~]([ -~]{0,20}[!-~])?", 1..6)) {
            let text: String = fields.iter().map(|(k, v)| format!("{k}: {v}\n")).collect();
            let p = paragraph(&text).unwrap();
            for (k, v) in &fields {
                prop_assert_eq!(p.get(k), Some(v.as_str()));
            }
        }
    }
}
