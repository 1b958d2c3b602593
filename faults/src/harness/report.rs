//! What a scenario found: one line for each thing that was to hold, with its figure.

use std::fmt::Display;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::times::ms;

/// One thing that was to hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) held: bool,
    pub(crate) figure: String,
    pub(crate) bound: String,
    /// Of section 0, and not of the scenario alone.
    pub(crate) general: bool,
}

/// All that a scenario found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) checks: Vec<Check>,
    general: bool,
}

impl Report {
    /// From here on the rules of section 0.
    pub(crate) fn general(&mut self) -> &mut Self {
        self.general = true;
        self
    }

    pub(crate) fn specific(&mut self) -> &mut Self {
        self.general = false;
        self
    }

    /// Whether something holds, with the figure that shows it.
    pub(crate) fn holds(
        &mut self,
        name: impl Into<String>,
        held: bool,
        figure: impl Display,
        bound: impl Into<String>,
    ) -> &mut Self {
        let (name, figure, bound) = (name.into(), figure.to_string(), bound.into());
        self.checks.push(Check { name, held, figure, bound, general: self.general });
        self
    }

    /// Something to know beside what is judged.
    pub(crate) fn note(&mut self, name: impl Into<String>, figure: impl Display) -> &mut Self {
        self.holds(name, true, figure, "told, not judged")
    }

    pub(crate) fn exactly<T: PartialEq + Display>(
        &mut self,
        name: impl Into<String>,
        figure: T,
        bound: T,
    ) -> &mut Self {
        let held = figure == bound;
        self.holds(name, held, figure, format!("= {bound}"))
    }

    pub(crate) fn at_most<T: PartialOrd + Display>(
        &mut self,
        name: impl Into<String>,
        figure: T,
        bound: T,
    ) -> &mut Self {
        let held = figure <= bound;
        self.holds(name, held, figure, format!("<= {bound}"))
    }

    pub(crate) fn at_least<T: PartialOrd + Display>(
        &mut self,
        name: impl Into<String>,
        figure: T,
        bound: T,
    ) -> &mut Self {
        let held = figure >= bound;
        self.holds(name, held, figure, format!(">= {bound}"))
    }

    pub(crate) fn within(&mut self, name: impl Into<String>, figure: Duration, bound: Duration) -> &mut Self {
        self.holds(name, figure <= bound, ms(figure), format!("<= {}", ms(bound)))
    }

    /// A share of a whole, which is at least so large; nothing of nothing is not enough.
    pub(crate) fn share(
        &mut self,
        name: impl Into<String>,
        part: usize,
        whole: usize,
        least: f64,
    ) -> &mut Self {
        let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let figure = format!("{:.2} % of {whole}", share * 100.0);
        self.holds(name, share >= least, figure, format!(">= {} %", least * 100.0))
    }
}
