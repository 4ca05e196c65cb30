//! Go's `printf`, as far as JSON values go.

use std::fmt::Write as _;

use serde_json::Value;

use super::functions::{inner, type_name};

/// Go refuses a larger width or precision; we refuse a much larger one than any table has.
const MAX_WIDTH: usize = 10_000;

/// Go's `Sprint`: a blank between operands neither of which is a string.
pub(super) fn sprint(values: &[&Value]) -> String {
    let mut out = String::new();
    for (i, value) in values.iter().enumerate() {
        if i > 0 && !value.is_string() && !values[i - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&inner(value));
    }
    out
}

/// Flags, width and precision of one verb.
#[derive(Default, Clone, Copy)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    zero: bool,
    blank: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Go's `Sprintf`, with its way of saying what is wrong inside the text.
pub(super) fn sprintf(format: &str, arguments: &[&Value]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                _ => spec.blank = true,
            }
        }
        spec.width = number(&mut chars, &mut arguments, &mut out, "%!(BADWIDTH)", &mut spec.minus);
        if chars.next_if_eq(&'.').is_some() {
            let precision = number(&mut chars, &mut arguments, &mut out, "%!(BADPREC)", &mut false);
            spec.precision = Some(precision.unwrap_or(0));
        }
        // Blanks, not zeros, go on the right.
        spec.zero &= !spec.minus;
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(MISSING)"]),
                Some(value) => out.push_str(&verb_text(verb, spec, value)),
            },
        }
    }
    let extra: Vec<String> = arguments.map(|v| format!("{}={}", type_name(v), inner(v))).collect();
    if !extra.is_empty() {
        out.extend(["%!(EXTRA ", &extra.join(", "), ")"]);
    }
    out
}

fn number<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &mut impl Iterator<Item = &'a &'a Value>,
    out: &mut String,
    bad: &str,
    negative: &mut bool,
) -> Option<usize> {
    let value = if chars.next_if_eq(&'*').is_some() {
        let given = arguments.next().and_then(|v| v.as_i64());
        *negative |= given.is_some_and(i64::is_negative);
        given.and_then(|n| usize::try_from(n.unsigned_abs()).ok()).or(Some(usize::MAX))
    } else {
        let mut value = None;
        while let Some(digit) = chars.next_if(char::is_ascii_digit).and_then(|c| c.to_digit(10)) {
            let before: usize = value.unwrap_or(0);
            value = Some(before.saturating_mul(10).saturating_add(usize::try_from(digit).unwrap_or(0)));
        }
        value
    };
    if value.is_some_and(|n| n > MAX_WIDTH) {
        out.push_str(bad);
        return None;
    }
    value
}

fn verb_text(verb: char, spec: Spec, value: &Value) -> String {
    let wrong = || format!("%!{verb}({}={})", type_name(value), inner(value));
    let integer = || value.as_i64();
    let text = match (verb, value) {
        ('v', Value::Number(n)) if n.is_f64() => return float('g', spec, n.as_f64().unwrap_or_default()),
        ('v' | 'd', Value::Number(_)) if value.as_i64().is_some() => {
            return signed(10, false, spec, integer().unwrap_or(0));
        }
        ('v', Value::String(s)) if spec.sharp => quote(s),
        ('v', _) => inner(value),
        ('s', Value::String(s)) => match spec.precision {
            Some(n) => s.chars().take(n).collect(),
            None => s.clone(),
        },
        ('s' | 'd', Value::Array(items)) => {
            let bare = Spec { width: None, ..spec };
            format!("[{}]", items.iter().map(|v| verb_text(verb, bare, v)).collect::<Vec<_>>().join(" "))
        }
        ('q', Value::String(s)) => quote(s),
        ('q', Value::Array(items)) => {
            format!("[{}]", items.iter().map(|v| verb_text(verb, spec, v)).collect::<Vec<_>>().join(" "))
        }
        ('t', Value::Bool(b)) => b.to_string(),
        ('T', _) => type_name(value).to_owned(),
        ('x', Value::String(s)) => s.bytes().map(|b| format!("{b:02x}")).collect(),
        ('X', Value::String(s)) => s.bytes().map(|b| format!("{b:02X}")).collect(),
        ('x' | 'X' | 'o' | 'b', Value::Number(n)) if !n.is_f64() => {
            let Some(n) = integer() else { return wrong() };
            let base = match verb {
                'o' => 8,
                'b' => 2,
                _ => 16,
            };
            return signed(base, verb == 'X', spec, n);
        }
        ('c' | 'U', Value::Number(n)) if !n.is_f64() => {
            let c = integer().and_then(|n| u32::try_from(n).ok()).and_then(char::from_u32);
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            if verb == 'c' { c.to_string() } else { format!("U+{:04X}", u32::from(c)) }
        }
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Number(n)) if n.is_f64() => {
            return float(verb, spec, n.as_f64().unwrap_or_default());
        }
        _ => return wrong(),
    };
    // Zeros in front of text: Go does the same.
    pad(&text, spec, false)
}

fn signed(base: u32, upper: bool, spec: Spec, n: i64) -> String {
    let magnitude = n.unsigned_abs();
    let mut digits = match base {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        16 if upper => format!("{magnitude:X}"),
        16 => format!("{magnitude:x}"),
        _ => magnitude.to_string(),
    };
    if let Some(least) = spec.precision {
        digits = format!("{digits:0>least$}");
    }
    let prefix = match (spec.sharp, base, upper) {
        (true, 2, _) => "0b",
        (true, 8, _) => "0",
        (true, 16, true) => "0X",
        (true, 16, false) => "0x",
        _ => "",
    };
    let text = format!("{}{prefix}{digits}", sign(n < 0, spec));
    pad(&text, spec, spec.precision.is_none())
}

fn float(verb: char, spec: Spec, f: f64) -> String {
    let magnitude = f.abs();
    let body = match (verb.to_ascii_lowercase(), spec.precision) {
        ('f', precision) => format!("{magnitude:.*}", precision.unwrap_or(6)),
        ('e', precision) => exponent(&format!("{magnitude:.*e}", precision.unwrap_or(6))),
        (_, None) => shortest(magnitude),
        (_, Some(precision)) => significant(magnitude, precision.max(1)),
    };
    let body = if verb.is_ascii_uppercase() { body.to_uppercase() } else { body };
    pad(&format!("{}{body}", sign(f.is_sign_negative(), spec)), spec, true)
}

fn sign(negative: bool, spec: Spec) -> &'static str {
    match (negative, spec.plus, spec.blank) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

/// Go's `%v` of a float: the fewest digits that read back the same, an exponent from 1e21 and below 1e-4.
pub(super) fn shortest(f: f64) -> String {
    if f == 0.0 {
        return if f.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    if (1e-4..1e21).contains(&f.abs()) { f.to_string() } else { exponent(&format!("{f:e}")) }
}

/// `%.Ng`.
fn significant(f: f64, digits: usize) -> String {
    let scientific = format!("{f:.*e}", digits - 1);
    let power: i64 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let trim =
        |s: &str| if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_owned() } else { s.to_owned() };
    let wanted = i64::try_from(digits).unwrap_or(i64::MAX);
    if power < -4 || power >= wanted {
        let (mantissa, e) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        exponent(&format!("{}e{e}", trim(mantissa)))
    } else {
        trim(&format!("{f:.*}", usize::try_from(wanted - 1 - power).unwrap_or(0)))
    }
}

/// `1e6` → `1e+06`.
fn exponent(text: &str) -> String {
    let Some((mantissa, power)) = text.split_once('e') else { return text.to_owned() };
    match power.strip_prefix('-') {
        Some(power) => format!("{mantissa}e-{power:0>2}"),
        None => format!("{mantissa}e+{power:0>2}"),
    }
}

/// Go's `%q`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() && u32::from(c) < 0x80 => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn pad(text: &str, spec: Spec, number: bool) -> String {
    let width = spec.width.unwrap_or(0);
    let short = width.saturating_sub(text.chars().count());
    if short == 0 {
        text.to_owned()
    } else if spec.minus {
        format!("{text}{}", " ".repeat(short))
    } else if spec.zero && number {
        let signs = text.len() - text.trim_start_matches(['+', '-', ' ']).len();
        let (sign, digits) = text.split_at(signs);
        format!("{sign}{}{digits}", "0".repeat(short))
    } else if spec.zero {
        format!("{}{text}", "0".repeat(short))
    } else {
        format!("{}{text}", " ".repeat(short))
    }
}
