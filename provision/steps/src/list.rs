//! Steps in the order in which they happen. Main type: [`List`].

use std::fmt;
use std::ops::Add;

use crate::step::{Context, Running, Step};

/// What one verb does, step by step. Lists are added up from parts: see [`crate::plan`].
#[derive(Default)]
pub struct List(Vec<Box<dyn Step>>);

impl List {
    /// These steps; see [`steps!`].
    pub(crate) fn new(steps: Vec<Box<dyn Step>>) -> Self {
        Self(steps)
    }

    /// The list itself, or none of it.
    #[must_use]
    pub fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::default() }
    }

    /// The list itself, of which each step is passed over where by then this is so.
    #[must_use]
    pub(crate) fn unless(self, so: fn(&Context<'_>) -> bool) -> Self {
        Self(self.0.into_iter().map(|step| Box::new(Unless { step, so }) as Box<dyn Step>).collect())
    }

    /// The steps.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Step> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Says whether a step of this id is in it.
    pub fn has(&self, id: &str) -> bool {
        self.iter().any(|step| step.id() == id)
    }
}

/// A step that is not always needed.
struct Unless {
    step: Box<dyn Step>,
    so: fn(&Context<'_>) -> bool,
}

impl Step for Unless {
    fn id(&self) -> &'static str {
        self.step.id()
    }
    fn title(&self) -> &'static str {
        self.step.title()
    }
    fn is_needed(&self, cx: &Context<'_>) -> bool {
        !(self.so)(cx) && self.step.is_needed(cx)
    }
    fn run<'a>(&'a self, cx: &'a mut Context<'_>) -> Running<'a> {
        self.step.run(cx)
    }
}

impl Add for List {
    type Output = Self;

    fn add(mut self, mut next: Self) -> Self {
        self.0.append(&mut next.0);
        self
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Step::id)).finish()
    }
}

/// A [`List`] of the steps named.
macro_rules! steps {
    ($($step:expr),* $(,)?) => {
        $crate::list::List::new(vec![$(Box::new($step) as Box<dyn $crate::step::Step>),*])
    };
}
pub(crate) use steps;
