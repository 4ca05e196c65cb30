//! Text into pieces: literal text, and the tokens of each `{{…}}`.

use serde_json::Value;

use super::{Result, TemplateError};

/// One piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Printed as it is.
    Text(String),
    /// What stands between `{{` and `}}`.
    Action(Vec<Token>),
}

/// One word of an action, and whether a blank stands before it (`.A .B` is two operands, `.A.B` one).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) after_blank: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// `range`, `len`, `true`.
    Word(String),
    /// `.Name`.
    Field(String),
    /// `.`
    Dot,
    /// `$` (empty) or `$name`.
    Variable(String),
    /// A string, number or character.
    Literal(Value),
    Open,
    Close,
    Pipe,
    Declare,
    Assign,
    Comma,
}

/// Splits a template into pieces.
pub(super) fn lex(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    loop {
        let (before, after) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        let mut literal = if trim_next { before.trim_start() } else { before };
        let Some(after) = after else {
            push_text(&mut pieces, literal);
            return Ok(pieces);
        };
        // `{{- ` trims what stands before it; `{{-3}}` is a number.
        let inner = match after.strip_prefix('-') {
            Some(inner) if inner.starts_with(char::is_whitespace) => {
                literal = literal.trim_end();
                inner
            }
            _ => after,
        };
        push_text(&mut pieces, literal);
        if inner.trim_start().starts_with("/*") {
            let (_, end) = inner.split_once("*/").ok_or_else(|| TemplateError::new("unclosed comment"))?;
            (trim_next, rest) = match (end.strip_prefix("}}"), end.trim_start().strip_prefix("-}}")) {
                (Some(rest), _) => (false, rest),
                (_, Some(rest)) if end.starts_with(char::is_whitespace) => (true, rest),
                _ => return Err(TemplateError::new("comment ends before closing delimiter")),
            };
            continue;
        }
        let (tokens, trim, left) = lex_action(inner)?;
        pieces.push(Piece::Action(tokens));
        (trim_next, rest) = (trim, left);
    }
}

fn push_text(pieces: &mut Vec<Piece>, literal: &str) {
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

/// Reads up to `}}`: the tokens, whether the text after is trimmed, and what follows.
fn lex_action(text: &str) -> Result<(Vec<Token>, bool, &str)> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut after_blank = true;
    loop {
        let blank = rest.trim_start();
        if blank.len() != rest.len() {
            after_blank = true;
            if let Some(left) = blank.strip_prefix("-}}") {
                return Ok((tokens, true, left));
            }
        }
        rest = blank;
        if let Some(left) = rest.strip_prefix("}}") {
            return Ok((tokens, false, left));
        }
        let (kind, left) = lex_token(rest)?;
        tokens.push(Token { kind, after_blank });
        after_blank = false;
        rest = left;
    }
}

fn lex_token(text: &str) -> Result<(TokenKind, &str)> {
    let first = text.chars().next().ok_or_else(|| TemplateError::new("unclosed action"))?;
    let one = |kind| Ok((kind, &text[first.len_utf8()..]));
    match first {
        '(' => one(TokenKind::Open),
        ')' => one(TokenKind::Close),
        '|' => one(TokenKind::Pipe),
        ',' => one(TokenKind::Comma),
        '=' => one(TokenKind::Assign),
        ':' => match text.strip_prefix(":=") {
            Some(left) => Ok((TokenKind::Declare, left)),
            None => Err(TemplateError::new("expected :=")),
        },
        '"' => quoted(text),
        '`' => match text[1..].split_once('`') {
            Some((raw, left)) => Ok((TokenKind::Literal(Value::from(raw)), left)),
            None => Err(TemplateError::new("unterminated raw quoted string")),
        },
        '\'' => character(text),
        '$' => {
            let (name, left) = word(&text[1..]);
            Ok((TokenKind::Variable(name.to_owned()), left))
        }
        '.' if !text[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let (name, left) = word(&text[1..]);
            match name {
                "" => Ok((TokenKind::Dot, left)),
                name => Ok((TokenKind::Field(name.to_owned()), left)),
            }
        }
        '+' | '-' | '.' | '0'..='9' => number(text),
        c if c.is_alphabetic() || c == '_' => {
            let (name, left) = word(text);
            Ok((TokenKind::Word(name.to_owned()), left))
        }
        c => Err(TemplateError::new(format!("unexpected {c:?} in an action"))),
    }
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len()))
}

fn number(text: &str) -> Result<(TokenKind, &str)> {
    let mut end = 0;
    let mut previous = ' ';
    let hex = text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
    for (i, c) in text.char_indices() {
        let sign = matches!(c, '+' | '-') && (i == 0 || (!hex && matches!(previous, 'e' | 'E')));
        if !(sign || c.is_alphanumeric() || c == '_' || c == '.') {
            break;
        }
        end = i + c.len_utf8();
        previous = c;
    }
    let (digits, left) = text.split_at(end);
    let bad = || TemplateError::new(format!("bad number syntax: {digits:?}"));
    let plain = digits.replace('_', "");
    let (negative, magnitude) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = magnitude.to_ascii_lowercase();
    let radix = |prefix: &str, base| lower.strip_prefix(prefix).map(|d| (d.to_owned(), base));
    let integer = radix("0x", 16)
        .or_else(|| radix("0b", 2))
        .or_else(|| radix("0o", 8))
        .or_else(|| (lower.len() > 1 && lower.chars().all(|c| c.is_ascii_digit())).then(|| radix("0", 8)).flatten())
        .unwrap_or_else(|| (lower.clone(), 10));
    let signed = format!("{}{}", if negative { "-" } else { "" }, integer.0);
    if !integer.0.starts_with(['+', '-'])
        && let Ok(n) = i64::from_str_radix(&signed, integer.1)
    {
        return Ok((TokenKind::Literal(Value::from(n)), left));
    }
    if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(bad());
    }
    match plain.parse::<f64>() {
        Ok(f) if f.is_finite() => Ok((TokenKind::Literal(Value::from(f)), left)),
        _ => Err(bad()),
    }
}

fn quoted(text: &str) -> Result<(TokenKind, &str)> {
    let mut out = String::new();
    let mut chars = text[1..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((TokenKind::Literal(Value::from(out)), &text[1 + i + 1..])),
            '\n' => break,
            '\\' => out.push(escape(&mut chars)?),
            c => out.push(c),
        }
    }
    Err(TemplateError::new("unterminated quoted string"))
}

fn character(text: &str) -> Result<(TokenKind, &str)> {
    let bad = || TemplateError::new("malformed character constant");
    let mut chars = text[1..].char_indices();
    let c = match chars.next().ok_or_else(bad)?.1 {
        '\\' => escape(&mut chars)?,
        '\'' | '\n' => return Err(bad()),
        c => c,
    };
    match chars.next() {
        Some((i, '\'')) => Ok((TokenKind::Literal(Value::from(u32::from(c))), &text[1 + i + 1..])),
        _ => Err(bad()),
    }
}

/// What stands after a backslash, in Go's strings.
fn escape(chars: &mut std::str::CharIndices<'_>) -> Result<char> {
    let bad = || TemplateError::new("invalid escape in a quoted string");
    let (_, first) = chars.next().ok_or_else(bad)?;
    let (digits, radix, start) = match first {
        'a' => return Ok('\x07'),
        'b' => return Ok('\x08'),
        'f' => return Ok('\x0c'),
        'n' => return Ok('\n'),
        'r' => return Ok('\r'),
        't' => return Ok('\t'),
        'v' => return Ok('\x0b'),
        '\\' | '\'' | '"' => return Ok(first),
        'x' => (2, 16, 0),
        'u' => (4, 16, 0),
        'U' => (8, 16, 0),
        c => (2, 8, c.to_digit(8).ok_or_else(bad)?),
    };
    let mut code = start;
    for _ in 0..digits {
        let digit = chars.next().and_then(|(_, c)| c.to_digit(radix)).ok_or_else(bad)?;
        code = code.checked_mul(radix).and_then(|code| code.checked_add(digit)).ok_or_else(bad)?;
    }
    char::from_u32(code).ok_or_else(bad)
}
