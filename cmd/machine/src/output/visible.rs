//! Text that is not ours, made safe to show: what a host, an engine, a provider or a file says may hold sequences that move
//! the cursor, hide letters or forge lines. Everything for people passes through here; documents for programs do not, they
//! have rules of their own.

use serde_json::Value;

/// The text as one line: what breaks lines or jumps becomes a blank, what else is not seen is spelt out (`\u{1b}`).
pub(crate) fn line(text: &str) -> String {
    written(text, |c| if c == ' ' || breaks(c) { Some(' ') } else { None })
}

/// The text with its line breaks and tabs; what else is not seen is spelt out.
pub(crate) fn lines(text: &str) -> String {
    written(&text.replace("\r\n", "\n"), |c| matches!(c, '\n' | '\t').then_some(c))
}

/// Every text in it as one line.
pub(crate) fn value(value: &Value) -> Value {
    each(value, line)
}

/// Every text in it with its lines.
pub(crate) fn value_with_lines(value: &Value) -> Value {
    each(value, lines)
}

fn each(value: &Value, show: fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(show(text)),
        Value::Array(items) => items.iter().map(|item| each(item, show)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (show(name), each(field, show))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn written(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match keep(c) {
            // Several breaks in a row are one blank, as between two lines.
            Some(' ') if c != ' ' => {
                if !shown.ends_with(' ') {
                    shown.push(' ');
                }
            }
            Some(c) => shown.push(c),
            None if c.is_control() || turns(c) || breaks(c) => shown.extend(c.escape_unicode()),
            None => shown.push(c),
        }
    }
    shown
}

/// Ends a line or jumps to another place in it, in a terminal or an editor.
fn breaks(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Changes how its neighbours are read, unseen: marks of writing direction, and letters of no width. Source: Unicode
/// Standard Annex #9, explicit directional formatting characters, and Technical Report #36.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a2_what_is_not_seen_is_spelt_out() {
        assert_eq!(line("26.1\x1b[2J\x1b]0;title\x07"), r"26.1\u{1b}[2J\u{1b}]0;title\u{7}");
        assert_eq!(line("a\0b\u{9b}31mc\u{202e}txt.exe\u{200b}"), r"a\u{0}b\u{9b}31mc\u{202e}txt.exe\u{200b}");
        assert_eq!(line("one\r\n\ntwo\tthree\u{2028}four"), "one two three four", "no row can be forged");
        assert_eq!(line("Zürich 東京 😀  two blanks"), "Zürich 東京 😀  two blanks");
    }

    #[test]
    fn a2_lines_stay_lines() {
        assert_eq!(lines("one\r\n\ttwo\n\x1b[31mred\rover"), "one\n\ttwo\n\\u{1b}[31mred\\u{d}over");
    }

    #[test]
    fn a2_texts_are_found_wherever_they_are_in_a_value() {
        let found = json!({"a\x1b": ["x\ny", 1, null, {"b": true, "c": "\x07"}]});
        assert_eq!(value(&found), json!({"a\\u{1b}": ["x y", 1, null, {"b": true, "c": "\\u{7}"}]}));
        assert_eq!(value_with_lines(&found)["a\\u{1b}"][0], "x\ny");
    }
}
