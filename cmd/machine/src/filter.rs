//! `ls --filter KEY=VALUE`: the same key twice means either, different keys mean both.

use regex_lite::Regex;

use crate::error::CommandError;

/// What is asked for.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    names: Vec<Regex>,
    drivers: Vec<String>,
    states: Vec<String>,
    labels: Vec<(String, String)>,
}

/// What a filter looks at.
pub(crate) trait Filtered {
    /// The machine.
    fn name(&self) -> &str;
    /// Its driver.
    fn driver(&self) -> &str;
    /// Its state.
    fn state(&self) -> &str;
    /// Its engine's labels.
    fn labels(&self) -> &[String];
    /// Nothing but its name is known.
    fn is_broken(&self) -> bool;
}

impl Filter {
    /// Reads the filters typed.
    pub(crate) fn parse(typed: &[String]) -> Result<Self, CommandError> {
        let mut filter = Self::default();
        for text in typed {
            let Some((key, value)) = text.split_once('=') else {
                return Err(CommandError::usage(format!("unsupported filter syntax {text:?}"))
                    .hint("write KEY=VALUE, e.g. driver=generic"));
            };
            match key.to_ascii_lowercase().as_str() {
                "name" => filter.names.push(Regex::new(value).map_err(|e| {
                    CommandError::usage(format!("the filter name={value} is not a regular expression")).caused_by(&e)
                })?),
                "driver" => filter.drivers.push(value.to_owned()),
                "state" => filter.states.push(value.to_owned()),
                // A label without a value is a label, too.
                "label" => {
                    let (label, value) = value.split_once('=').unwrap_or((value, ""));
                    filter.labels.push((label.to_owned(), value.to_owned()));
                }
                _ => {
                    return Err(CommandError::usage(format!("unsupported filter key '{key}'"))
                        .hint("the keys are name, driver, state and label"));
                }
            }
        }
        Ok(filter)
    }

    /// Nothing is asked for.
    pub(crate) fn needs_nothing(&self) -> bool {
        self.names.is_empty() && self.drivers.is_empty() && self.states.is_empty() && self.labels.is_empty()
    }

    /// The state is asked for, which the record does not know for sure.
    pub(crate) fn needs_state(&self) -> bool {
        !self.states.is_empty()
    }

    /// Whether a row passes. Of a broken machine only the name is judged: it must not vanish.
    pub(crate) fn lets(&self, row: &impl Filtered) -> bool {
        let any = |wanted: &[String], is: &str| wanted.is_empty() || wanted.iter().any(|w| w.eq_ignore_ascii_case(is));
        let name = self.names.is_empty() || self.names.iter().any(|name| name.is_match(row.name()));
        if row.is_broken() {
            return name;
        }
        let has = |(key, value): &(String, String)| {
            row.labels().iter().any(|label| {
                let (k, v) = label.split_once('=').unwrap_or((label, ""));
                k == key && v.eq_ignore_ascii_case(value)
            })
        };
        name && any(&self.drivers, row.driver())
            && any(&self.states, row.state())
            && (self.labels.is_empty() || self.labels.iter().any(has))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str, &'static str, &'static str, Vec<String>, bool);
    impl Filtered for Row {
        fn name(&self) -> &str {
            self.0
        }
        fn driver(&self) -> &str {
            self.1
        }
        fn state(&self) -> &str {
            self.2
        }
        fn labels(&self) -> &[String] {
            &self.3
        }
        fn is_broken(&self) -> bool {
            self.4
        }
    }

    #[test]
    fn keys_combine_and_values_choose() {
        let row = Row("web-1", "generic", "Running", vec!["team=Web".into(), "bare".into()], false);
        let lets = |typed: &[&str]| {
            Filter::parse(&typed.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap().lets(&row)
        };
        assert!(lets(&[]));
        assert!(lets(&["name=eb"]));
        assert!(lets(&["name=^x", "name=1$"]));
        assert!(!lets(&["name=^x"]));
        assert!(lets(&["DRIVER=Generic", "state=running"]));
        assert!(!lets(&["driver=generic", "state=stopped"]));
        assert!(lets(&["label=team=web"]));
        assert!(lets(&["label=bare"]));
        assert!(!lets(&["label=team=db"]));
    }

    #[test]
    fn a_broken_machine_goes_by_its_name() {
        let row = Row("web-1", "not found", "Error", Vec::new(), true);
        let lets = |typed: &str| Filter::parse(&[typed.to_owned()]).unwrap().lets(&row);
        assert!(lets("driver=generic"));
        assert!(!lets("name=db"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let error = |typed: &str| Filter::parse(&[typed.to_owned()]).unwrap_err().to_string();
        assert_eq!(error("driver"), "unsupported filter syntax \"driver\"");
        assert_eq!(error("x=y"), "unsupported filter key 'x'");
        assert_eq!(error("name=("), "the filter name=( is not a regular expression");
    }
}
