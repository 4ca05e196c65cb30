//! Pieces into a tree.

use serde_json::Value;

use super::functions;
use super::lexer::{Piece, Token, TokenKind};
use super::{Result, TemplateError};

/// Deeper nesting than any person writes; keeps hostile input from overflowing the stack.
const MAX_DEPTH: usize = 64;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// Print a pipeline's value, unless it only sets a variable.
    Print(Pipeline),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `{{if …}} then {{else}} otherwise {{end}}`, and its likes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch {
    pub(super) pipeline: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x := a | b | c`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `=` and not `:=`.
    pub(super) assign: bool,
    pub(super) commands: Vec<Command>,
}

/// `printf "%s" .Name`: operands, of which the first may be a function.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
}

/// A value, and the fields to follow from it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    Dot,
    Nil,
    Variable(String),
    Literal(Value),
    Function(String),
    Group(Box<Pipeline>),
}

/// Builds the tree.
pub(super) fn parse(pieces: Vec<Piece>) -> Result<Vec<Node>> {
    let mut parser = Parser { pieces: pieces.into_iter(), variables: vec![String::new()], depth: 0, loops: 0 };
    let (nodes, end) = parser.block()?;
    match end {
        End::Text => Ok(nodes),
        End::Stop => Err(TemplateError::new("unexpected {{end}}")),
        End::Else(_) => Err(TemplateError::new("unexpected {{else}}")),
    }
}

/// What ended a block.
enum End {
    Text,
    Stop,
    Else(Vec<Token>),
}

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    /// Names in sight: an unknown one is an error before anything is printed.
    variables: Vec<String>,
    depth: usize,
    loops: usize,
}

impl Parser {
    fn block(&mut self) -> Result<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let keyword = match tokens.first().map(|t| &t.kind) {
                Some(TokenKind::Word(word)) => word.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" if tokens.len() == 1 => return Ok((nodes, End::Stop)),
                "else" => return Ok((nodes, End::Else(tokens[1..].to_vec()))),
                "if" | "with" | "range" => nodes.push(self.branch(&keyword, &tokens[1..])?),
                "break" | "continue" if tokens.len() == 1 => {
                    if self.loops == 0 {
                        return Err(TemplateError::new(format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                    }
                    nodes.push(if keyword == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "template" | "block" => {
                    return Err(TemplateError::new(format!("{{{{{keyword}}}}} is not supported")));
                }
                _ => nodes.push(Node::Print(self.whole_pipeline(&tokens, false)?)),
            }
        }
        Ok((nodes, End::Text))
    }

    fn branch(&mut self, keyword: &str, tokens: &[Token]) -> Result<Node> {
        self.deeper()?;
        let in_sight = self.variables.len();
        let is_range = keyword == "range";
        let pipeline = self.whole_pipeline(tokens, is_range)?;
        self.loops += usize::from(is_range);
        let (then, end) = self.block()?;
        self.loops -= usize::from(is_range);
        let otherwise = match end {
            End::Text => return Err(TemplateError::new(format!("{{{{{keyword}}}}} without {{{{end}}}}"))),
            End::Stop => Vec::new(),
            End::Else(rest) => match rest.first().map(|t| &t.kind) {
                None => match self.block()? {
                    (nodes, End::Stop) => nodes,
                    (_, End::Else(_)) => return Err(TemplateError::new("expected end; found {{else}}")),
                    (_, End::Text) => return Err(TemplateError::new(format!("{{{{{keyword}}}}} without {{{{end}}}}"))),
                },
                // `{{else if …}}` shares the `{{end}}` of the outer one.
                Some(TokenKind::Word(word)) if word == keyword && !is_range => vec![self.branch(keyword, &rest[1..])?],
                Some(_) => return Err(TemplateError::new("unexpected words after {{else}}")),
            },
        };
        self.variables.truncate(in_sight);
        self.depth -= 1;
        let branch = Branch { pipeline, then, otherwise };
        Ok(match keyword {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(TemplateError::new("nested too deeply")) } else { Ok(()) }
    }

    fn whole_pipeline(&mut self, tokens: &[Token], range: bool) -> Result<Pipeline> {
        let mut rest = tokens;
        let pipeline = self.pipeline(&mut rest, range)?;
        match rest.first() {
            None => Ok(pipeline),
            Some(token) => Err(TemplateError::new(format!("unexpected {} in an action", describe(&token.kind)))),
        }
    }

    fn pipeline(&mut self, rest: &mut &[Token], range: bool) -> Result<Pipeline> {
        let (variables, assign) = self.declaration(rest, range)?;
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(rest, !commands.is_empty())?);
            match rest.first().map(|t| &t.kind) {
                Some(TokenKind::Pipe) => *rest = &rest[1..],
                _ => break,
            }
        }
        // Only now: a variable is not in sight in its own value.
        if !assign {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, assign, commands })
    }

    fn declaration(&mut self, rest: &mut &[Token], range: bool) -> Result<(Vec<String>, bool)> {
        let kinds: Vec<&TokenKind> = rest.iter().take(4).map(|t| &t.kind).collect();
        let (names, operator, used) = match kinds.as_slice() {
            [TokenKind::Variable(a), op @ (TokenKind::Declare | TokenKind::Assign), ..] => (vec![a.clone()], *op, 2),
            [
                TokenKind::Variable(a),
                TokenKind::Comma,
                TokenKind::Variable(b),
                op @ (TokenKind::Declare | TokenKind::Assign),
            ] if range => (vec![a.clone(), b.clone()], *op, 4),
            _ => return Ok((Vec::new(), false)),
        };
        let assign = *operator == TokenKind::Assign;
        for name in &names {
            if name.is_empty() {
                return Err(TemplateError::new("$ cannot be set"));
            }
            if assign {
                self.in_sight(name)?;
            }
        }
        *rest = &rest[used..];
        Ok((names, assign))
    }

    fn command(&mut self, rest: &mut &[Token], piped: bool) -> Result<Command> {
        let mut operands = Vec::new();
        while let Some(token) = rest.first() {
            if matches!(token.kind, TokenKind::Pipe | TokenKind::Close) {
                break;
            }
            if !operands.is_empty() && !token.after_blank {
                return Err(TemplateError::new(format!("unexpected {} in an operand", describe(&token.kind))));
            }
            operands.push(self.operand(rest)?);
        }
        let Some(first) = operands.first() else {
            return Err(TemplateError::new("missing value for command"));
        };
        let is_function = matches!(first.base, Base::Function(_));
        if !is_function && (piped || operands.len() > 1) {
            return Err(TemplateError::new("only a function can be given arguments"));
        }
        Ok(Command { operands })
    }

    fn operand(&mut self, rest: &mut &[Token]) -> Result<Operand> {
        let Some((token, mut left)) = rest.split_first() else {
            return Err(TemplateError::new("missing value for command"));
        };
        let mut fields = Vec::new();
        let base = match &token.kind {
            TokenKind::Dot => Base::Dot,
            TokenKind::Field(name) => {
                fields.push(name.clone());
                Base::Dot
            }
            TokenKind::Variable(name) => {
                self.in_sight(name)?;
                Base::Variable(name.clone())
            }
            TokenKind::Literal(value) => Base::Literal(value.clone()),
            TokenKind::Word(word) => match word.as_str() {
                "true" => Base::Literal(Value::from(true)),
                "false" => Base::Literal(Value::from(false)),
                "nil" => Base::Nil,
                name if functions::NAMES.contains(&name) => Base::Function(name.to_owned()),
                name => {
                    return Err(TemplateError::new(format!(
                        "function {name:?} not defined (there are {})",
                        functions::NAMES.join(", ")
                    )));
                }
            },
            TokenKind::Open => {
                self.deeper()?;
                let pipeline = self.pipeline(&mut left, false)?;
                self.depth -= 1;
                match left.split_first() {
                    Some((Token { kind: TokenKind::Close, .. }, after)) => left = after,
                    _ => return Err(TemplateError::new("unclosed left paren")),
                }
                Base::Group(Box::new(pipeline))
            }
            other => return Err(TemplateError::new(format!("unexpected {} in an action", describe(other)))),
        };
        while let Some((Token { kind: TokenKind::Field(name), after_blank: false }, after)) = left.split_first() {
            if matches!(base, Base::Literal(_) | Base::Nil | Base::Function(_)) {
                return Err(TemplateError::new(format!("unexpected .{name} after a literal or function")));
            }
            fields.push(name.clone());
            left = after;
        }
        *rest = left;
        Ok(Operand { base, fields })
    }

    fn in_sight(&self, name: &str) -> Result<()> {
        if self.variables.iter().any(|v| v == name) {
            Ok(())
        } else {
            Err(TemplateError::new(format!("undefined variable \"${name}\"")))
        }
    }
}

fn describe(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Word(word) => format!("{word:?}"),
        TokenKind::Field(name) => format!("\".{name}\""),
        TokenKind::Dot => "\".\"".to_owned(),
        TokenKind::Variable(name) => format!("\"${name}\""),
        TokenKind::Literal(value) => value.to_string(),
        TokenKind::Open => "\"(\"".to_owned(),
        TokenKind::Close => "\")\"".to_owned(),
        TokenKind::Pipe => "\"|\"".to_owned(),
        TokenKind::Declare => "\":=\"".to_owned(),
        TokenKind::Assign => "\"=\"".to_owned(),
        TokenKind::Comma => "\",\"".to_owned(),
    }
}
