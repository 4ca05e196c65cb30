//! The functions, and how values are printed.

use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::Value;

use super::{Result, TemplateError, printf};

/// Every function there is.
pub(super) const NAMES: &[&str] = &[
    "and",
    "eq",
    "ge",
    "gt",
    "index",
    "join",
    "json",
    "le",
    "len",
    "lower",
    "lt",
    "ne",
    "not",
    "or",
    "pad",
    "prettyjson",
    "print",
    "printf",
    "println",
    "slice",
    "split",
    "title",
    "truncate",
    "upper",
];

/// `range` over a larger number is refused: it is a slip, or meant to hurt.
pub(super) const MAX_RANGE: i64 = 100_000;

/// Longest padding.
const MAX_PAD: usize = 10_000;

/// Calls a function. `and` and `or` are the evaluator's: they do not look at all their arguments.
pub(super) fn call(name: &str, arguments: &[Rc<Value>]) -> Result<Value> {
    let a: Vec<&Value> = arguments.iter().map(|v| &**v).collect();
    let wrong =
        |want: &str| TemplateError::new(format!("wrong number of args for {name}: want {want} got {}", a.len()));
    Ok(match (name, a.as_slice()) {
        ("not", [v]) => Value::from(!truth(v)),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let mut any = false;
            for v in rest {
                any |= equal(first, v)?;
            }
            Value::from(any)
        }
        ("ne", [x, y]) => Value::from(!equal(x, y)?),
        ("lt", [x, y]) => Value::from(order(x, y)?.is_lt()),
        ("le", [x, y]) => Value::from(order(x, y)?.is_le()),
        ("gt", [x, y]) => Value::from(order(x, y)?.is_gt()),
        ("ge", [x, y]) => Value::from(order(x, y)?.is_ge()),
        ("index", [collection, keys @ ..]) => index(collection, keys)?,
        ("slice", [collection, bounds @ ..]) if bounds.len() <= 2 => slice(collection, bounds)?,
        ("len", [v]) => Value::from(match v {
            Value::String(s) => s.len(),
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            other => return Err(TemplateError::new(format!("len of type {}", type_name(other)))),
        }),
        ("json", [v]) => Value::from(v.to_string()),
        ("prettyjson", [v]) => Value::from(serde_json::to_string_pretty(v).unwrap_or_default()),
        ("join", [list, separator]) => Value::from(join(list, text("join", separator)?)?),
        ("split", [whole, separator]) => {
            let (whole, separator) = (text("split", whole)?, text("split", separator)?);
            if separator.is_empty() {
                whole.chars().map(|c| Value::from(c.to_string())).collect()
            } else {
                whole.split(separator).map(Value::from).collect()
            }
        }
        ("upper", [v]) => Value::from(text("upper", v)?.to_uppercase()),
        ("lower", [v]) => Value::from(text("lower", v)?.to_lowercase()),
        ("title", [v]) => Value::from(title(text("title", v)?)),
        ("truncate", [v, n]) => {
            Value::from(text("truncate", v)?.chars().take(count("truncate", n)?).collect::<String>())
        }
        ("pad", [v, before, after]) => {
            let blanks = |n| Ok(" ".repeat(count("pad", n)?.min(MAX_PAD)));
            Value::from(format!("{}{}{}", blanks(before)?, text("pad", v)?, blanks(after)?))
        }
        ("print", all) => Value::from(printf::sprint(all)),
        ("println", all) => Value::from(all.iter().map(|v| inner(v)).collect::<Vec<_>>().join(" ") + "\n"),
        ("printf", [format, rest @ ..]) => Value::from(printf::sprintf(text("printf", format)?, rest)),
        ("not" | "len" | "json" | "prettyjson" | "upper" | "lower" | "title", _) => return Err(wrong("1")),
        ("ne" | "lt" | "le" | "gt" | "ge" | "join" | "split" | "truncate", _) => return Err(wrong("2")),
        ("pad", _) => return Err(wrong("3")),
        ("slice", _) => return Err(wrong("1 to 3")),
        ("eq", _) => return Err(wrong("at least 2")),
        _ => return Err(wrong("at least 1")),
    })
}

/// How a value of its own is printed: Go's `%v`, and `<no value>` for nothing.
pub(super) fn print(value: &Value) -> String {
    if value.is_null() { "<no value>".to_owned() } else { inner(value) }
}

/// How a value within another is printed.
pub(super) fn inner(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) if n.is_f64() => printf::shortest(n.as_f64().unwrap_or_default()),
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let entries: Vec<String> = keys.iter().map(|k| format!("{k}:{}", inner(&map[k.as_str()]))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// What `if` sees.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Go's name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn equal(x: &Value, y: &Value) -> Result<bool> {
    match (x, y) {
        (Value::Null, _) | (_, Value::Null) => Ok(x.is_null() && y.is_null()),
        (Value::Bool(x), Value::Bool(y)) => Ok(x == y),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(TemplateError::new("non-comparable type"))
        }
        _ => Ok(order(x, y)?.is_eq()),
    }
}

fn order(x: &Value, y: &Value) -> Result<Ordering> {
    let bad =
        || TemplateError::new(format!("incompatible types for comparison: {} and {}", type_name(x), type_name(y)));
    match (x, y) {
        (Value::String(x), Value::String(y)) => Ok(x.cmp(y)),
        (Value::Number(x), Value::Number(y)) => match (x.as_i64(), y.as_i64()) {
            (Some(x), Some(y)) => Ok(x.cmp(&y)),
            _ => x.as_f64().partial_cmp(&y.as_f64()).ok_or_else(bad),
        },
        _ => Err(bad()),
    }
}

fn index(collection: &Value, keys: &[&Value]) -> Result<Value> {
    let mut value = collection;
    for key in keys {
        value = match (value, key) {
            (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
            (Value::Array(items), Value::Number(n)) => n
                .as_u64()
                .and_then(|n| items.get(usize::try_from(n).ok()?))
                .ok_or_else(|| TemplateError::new(format!("index out of range: {n}")))?,
            (Value::Null, _) => return Err(TemplateError::new("index of untyped nil")),
            (other, key) => {
                return Err(TemplateError::new(format!("can't index {} with {}", type_name(other), type_name(key))));
            }
        };
    }
    Ok(value.clone())
}

fn slice(collection: &Value, bounds: &[&Value]) -> Result<Value> {
    let length = match collection {
        Value::String(s) => s.len(),
        Value::Array(items) => items.len(),
        other => return Err(TemplateError::new(format!("can't slice item of type {}", type_name(other)))),
    };
    let bound = |i: usize, otherwise| bounds.get(i).map_or(Ok(otherwise), |v| count("slice", v));
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    let out = || TemplateError::new(format!("index out of range: {from}:{to}"));
    match collection {
        Value::String(s) => s.get(from..to).map(Value::from).ok_or_else(out),
        Value::Array(items) => items.get(from..to).map(|part| Value::from(part.to_vec())).ok_or_else(out),
        _ => Err(out()),
    }
}

fn join(list: &Value, separator: &str) -> Result<String> {
    match list {
        Value::Array(items) => Ok(items.iter().map(inner).collect::<Vec<_>>().join(separator)),
        Value::Null => Ok(String::new()),
        // A column title stands for the list it heads.
        Value::String(title) => Ok(title.clone()),
        other => Err(TemplateError::new(format!("can't join {}", type_name(other)))),
    }
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        if previous.is_alphanumeric() || previous == '_' || previous == '\'' {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        previous = c;
    }
    out
}

fn text<'a>(function: &str, value: &'a Value) -> Result<&'a str> {
    match value {
        Value::String(s) => Ok(s),
        Value::Null => Ok(""),
        other => Err(TemplateError::new(format!("{function} needs a string, not {}", type_name(other)))),
    }
}

fn count(function: &str, value: &Value) -> Result<usize> {
    value
        .as_u64()
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| TemplateError::new(format!("{function} needs a number of at least 0, not {}", print(value))))
}
