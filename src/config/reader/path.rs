use config::{Map, Value, ValueKind};

use crate::config::key::join;

/// Where a value is within the table that is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    /// An array's element.
    Index(usize),
}

impl Path {
    /// The path of what is one step further in.
    pub(super) fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    pub(super) fn is_within(&self, outer: &Self) -> bool {
        self.0.starts_with(&outer.0)
    }

    /// As a key, within the table at `parent`.
    pub(super) fn within(&self, parent: &str) -> String {
        self.0.iter().fold(parent.to_owned(), |parent, step| match step {
            Step::Key(name) => join(&parent, name),
            Step::Index(index) => format!("{parent}[{index}]"),
        })
    }

    pub(super) fn find<'a>(&self, table: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let Step::Key(name) = first else { return None };
        rest.iter().try_fold(table.get(name)?, |value, step| match (step, &value.kind) {
            (Step::Key(name), ValueKind::Table(table)) => table.get(name),
            (Step::Index(index), ValueKind::Array(values)) => values.get(*index),
            _ => None,
        })
    }

    /// Takes the value out; `false` if there is none.
    pub(super) fn remove(&self, table: &mut Map<String, Value>) -> bool {
        let Some((last, parent)) = self.0.split_last() else { return false };
        match (last, enter(table, parent)) {
            (Step::Key(name), Some(Inner::Table(table))) => table.remove(name).is_some(),
            (Step::Index(index), Some(Inner::Array(values))) if *index < values.len() => {
                values.remove(*index);
                true
            }
            _ => false,
        }
    }

    /// Puts a placeholder there, which TOML has no word for; `false` if its table is not there.
    pub(super) fn fill(&self, table: &mut Map<String, Value>) -> bool {
        let Some((Step::Key(name), parent)) = self.0.split_last() else { return false };
        match enter(table, parent) {
            Some(Inner::Table(table)) => {
                table.insert(name.clone(), Value::new(None, ValueKind::Nil));
                true
            }
            _ => false,
        }
    }
}

enum Inner<'a> {
    Table(&'a mut Map<String, Value>),
    Array(&'a mut Vec<Value>),
}

fn enter<'a>(table: &'a mut Map<String, Value>, path: &[Step]) -> Option<Inner<'a>> {
    path.iter().try_fold(Inner::Table(table), |inner, step| {
        let value = match (step, inner) {
            (Step::Key(name), Inner::Table(table)) => table.get_mut(name)?,
            (Step::Index(index), Inner::Array(values)) => values.get_mut(*index)?,
            _ => return None,
        };
        match &mut value.kind {
            ValueKind::Table(table) => Some(Inner::Table(table)),
            ValueKind::Array(values) => Some(Inner::Array(values)),
            _ => None,
        }
    })
}
