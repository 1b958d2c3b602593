use std::time::Duration;

use super::plan::{Fault, FaultKind, Plan};

/// What goes wrong in one service at a time, for whoever asks as time goes on.
pub(super) struct Weather {
    faults: Vec<Fault>,
    now: Vec<FaultKind>,
    /// Until when it stays so.
    until: Duration,
}

impl Weather {
    pub(super) fn of(plan: &Plan, service: usize) -> Self {
        let faults = plan.faults.iter().filter(|fault| fault.service == service).copied().collect();
        Self { faults, now: Vec::new(), until: Duration::ZERO }
    }

    /// What goes wrong at a time, which is not earlier than the last one that was asked for.
    pub(super) fn at(&mut self, at: Duration) -> &[FaultKind] {
        if at >= self.until {
            let on = self.faults.iter().filter(|fault| fault.from <= at && at < fault.until);
            self.now = on.map(|fault| fault.kind).collect();
            let changes = self.faults.iter().flat_map(|fault| [fault.from, fault.until]);
            self.until = changes.filter(|change| *change > at).min().unwrap_or(Duration::MAX);
        }
        &self.now
    }

    /// By how much more often the service is called than else.
    pub(super) fn flood(&mut self, at: Duration) -> f64 {
        let floods = self.at(at).iter().filter_map(|kind| match kind {
            FaultKind::Flood(times) => Some(*times as f64),
            _ => None,
        });
        floods.fold(1.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_when_the_plan_has_it() {
        let mut plan = Plan::of(1);
        let fault = |service, from, until, kind| Fault {
            service,
            from: Duration::from_secs(from),
            until: Duration::from_secs(until),
            kind,
        };
        plan.faults = vec![
            fault(0, 2, 6, FaultKind::Refused),
            fault(0, 4, 5, FaultKind::Flood(7)),
            fault(1, 0, 9, FaultKind::Sick),
        ];
        let mut weather = Weather::of(&plan, 0);
        let seen: Vec<_> = (0..8)
            .map(|second| {
                let at = Duration::from_secs(second);
                (weather.at(at).len(), weather.flood(at))
            })
            .collect();
        let expected = [(0, 1.0), (0, 1.0), (1, 1.0), (1, 1.0), (2, 7.0), (1, 1.0), (0, 1.0), (0, 1.0)];
        assert_eq!(seen, expected);
    }
}
