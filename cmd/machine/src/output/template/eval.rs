//! The tree, over data.

use std::rc::Rc;

use serde_json::Value;

use super::parser::{Base, Branch, Command, Node, Operand, Pipeline};
use super::{Missing, Result, TemplateError, functions};

/// What a block did with the loop around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run {
    out: String,
    root: Rc<Value>,
    variables: Vec<(String, Rc<Value>)>,
    missing: Missing,
}

/// Fills the nodes in.
pub(super) fn render(nodes: &[Node], data: Rc<Value>, missing: Missing) -> Result<String> {
    let variables = vec![(String::new(), Rc::clone(&data))];
    let mut run = Run { out: String::new(), root: Rc::clone(&data), variables, missing };
    run.block(nodes, &data)?;
    Ok(run.out)
}

impl Run {
    fn block(&mut self, nodes: &[Node], dot: &Rc<Value>) -> Result<Flow> {
        let in_sight = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Node::Print(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.out.push_str(&functions::print(&value));
                    }
                    Flow::On
                }
                Node::If(branch) => self.branch(branch, dot, false)?,
                Node::With(branch) => self.branch(branch, dot, true)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(in_sight);
        Ok(flow)
    }

    fn branch(&mut self, branch: &Branch, dot: &Rc<Value>, with: bool) -> Result<Flow> {
        let in_sight = self.variables.len();
        let value = self.pipeline(&branch.pipeline, dot)?;
        let flow = if functions::truth(&value) {
            self.block(&branch.then, if with { &value } else { dot })
        } else {
            self.block(&branch.otherwise, dot)
        };
        self.variables.truncate(in_sight);
        flow
    }

    fn range(&mut self, branch: &Branch, dot: &Rc<Value>) -> Result<Flow> {
        let in_sight = self.variables.len();
        // The loop's own variables are set per turn, not by the pipeline.
        let value = self.commands(&branch.pipeline, dot)?;
        let turns: Vec<(Value, Value)> = match &*value {
            Value::Array(items) => items.iter().enumerate().map(|(i, v)| (Value::from(i), v.clone())).collect(),
            Value::Object(map) => {
                let mut turns: Vec<_> = map.iter().map(|(k, v)| (Value::from(k.as_str()), v.clone())).collect();
                turns.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
                turns
            }
            Value::Null => Vec::new(),
            title @ Value::String(_) if self.missing == Missing::Title => vec![(Value::from(0), title.clone())],
            Value::Number(n) if n.as_i64().is_some_and(|n| n <= functions::MAX_RANGE) => {
                (0..n.as_i64().unwrap_or(0)).map(|i| (Value::from(i), Value::from(i))).collect()
            }
            other => return Err(TemplateError::new(format!("range can't iterate over {}", functions::print(other)))),
        };
        if turns.is_empty() {
            return self.block(&branch.otherwise, dot);
        }
        for (key, item) in turns {
            let (key, item) = (Rc::new(key), Rc::new(item));
            let values = match branch.pipeline.variables.len() {
                0 => vec![],
                1 => vec![Rc::clone(&item)],
                _ => vec![key, Rc::clone(&item)],
            };
            for (name, value) in branch.pipeline.variables.iter().zip(values) {
                self.set(name, value, branch.pipeline.assign);
            }
            let flow = self.block(&branch.then, &item);
            self.variables.truncate(in_sight);
            if flow? == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Rc<Value>) -> Result<Rc<Value>> {
        let value = self.commands(pipeline, dot)?;
        for name in &pipeline.variables {
            self.set(name, Rc::clone(&value), pipeline.assign);
        }
        Ok(value)
    }

    fn commands(&mut self, pipeline: &Pipeline, dot: &Rc<Value>) -> Result<Rc<Value>> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or_default())
    }

    fn command(&mut self, command: &Command, dot: &Rc<Value>, piped: Option<Rc<Value>>) -> Result<Rc<Value>> {
        let Some((first, rest)) = command.operands.split_first() else {
            return Ok(Rc::default());
        };
        let Base::Function(name) = &first.base else {
            return self.operand(first, dot);
        };
        // `and` and `or` look at no more arguments than they must.
        if let "and" | "or" = name.as_str() {
            let mut last = None;
            for operand in rest {
                let value = self.operand(operand, dot)?;
                let decided = functions::truth(&value) == (name == "or");
                last = Some(value);
                if decided {
                    break;
                }
            }
            let decided = last.as_ref().is_some_and(|v| functions::truth(v) == (name == "or"));
            let last = if decided { last } else { piped.or(last) };
            return last
                .ok_or_else(|| TemplateError::new(format!("wrong number of args for {name}: want at least 1 got 0")));
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(piped);
        functions::call(name, &arguments).map(Rc::new)
    }

    fn operand(&mut self, operand: &Operand, dot: &Rc<Value>) -> Result<Rc<Value>> {
        let base = match &operand.base {
            Base::Dot => Rc::clone(dot),
            Base::Nil => Rc::default(),
            Base::Literal(value) => Rc::new(value.clone()),
            Base::Variable(name) => {
                let found = self.variables.iter().rev().find(|(n, _)| n == name);
                found.map(|(_, v)| Rc::clone(v)).unwrap_or_default()
            }
            Base::Function(name) => Rc::new(functions::call(name, &[])?),
            Base::Group(pipeline) => self.pipeline(pipeline, dot)?,
        };
        if operand.fields.is_empty() {
            return Ok(base);
        }
        let mut at_root = Rc::ptr_eq(&base, &self.root);
        let mut value: &Value = &base;
        for name in &operand.fields {
            value = match value {
                Value::Object(map) => match map.get(name) {
                    Some(value) => value,
                    None if at_root && self.missing != Missing::NoValue => {
                        let known: Vec<&str> = map.keys().map(String::as_str).collect();
                        return Err(TemplateError::new(format!(
                            "can't evaluate field {name} (there are {})",
                            known.join(", ")
                        )));
                    }
                    None => return Ok(Rc::default()),
                },
                Value::Null => return Ok(Rc::default()),
                _ if self.missing == Missing::Title => {
                    let last = operand.fields.last().map(String::as_str).unwrap_or_default();
                    return Ok(Rc::new(Value::from(last.to_uppercase())));
                }
                other => {
                    return Err(TemplateError::new(format!(
                        "can't evaluate field {name} in type {}",
                        functions::type_name(other)
                    )));
                }
            };
            at_root = false;
        }
        Ok(Rc::new(value.clone()))
    }

    fn set(&mut self, name: &str, value: Rc<Value>, assign: bool) {
        match self.variables.iter_mut().rev().find(|(n, _)| assign && n == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }
}
