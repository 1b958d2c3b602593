use redis::Value;

use crate::target::Target;

/// Which node has which slot.
pub(super) struct Map {
    /// The nodes that it began with: asked when all others are gone.
    seeds: Vec<Target>,
    /// The nodes that have slots; changed as a whole.
    nodes: Vec<Target>,
    /// For each slot, one more than the place of its node; 0 where it is not known.
    slots: Box<[u16]>,
    /// Whom to ask next of what nobody is known to have.
    next: usize,
}

const SLOTS: usize = 16_384;

impl Map {
    pub(super) fn new(seeds: &[Target]) -> Self {
        Self { seeds: seeds.to_vec(), nodes: Vec::new(), slots: vec![0; SLOTS].into(), next: 0 }
    }

    /// The node of a slot, or one after the other where it is not known.
    pub(super) fn target(&mut self, slot: Option<u16>) -> Target {
        let known = slot.and_then(|slot| self.slots.get(usize::from(slot)));
        let known = known.and_then(|&place| self.nodes.get(usize::from(place).checked_sub(1)?));
        if let Some(target) = known {
            return target.clone();
        }
        self.next = self.next.wrapping_add(1);
        let any = if self.nodes.is_empty() { &self.seeds } else { &self.nodes };
        any[self.next % any.len()].clone()
    }

    /// All nodes, those with slots first.
    pub(super) fn nodes(&self) -> Vec<Target> {
        let seeds = self.seeds.iter().filter(|seed| !self.nodes.contains(seed));
        self.nodes.iter().chain(seeds).cloned().collect()
    }

    /// A node has this slot.
    pub(super) fn learn(&mut self, slot: u16, target: &Target) {
        let place = match self.nodes.iter().position(|node| node == target) {
            Some(place) => place,
            None => {
                self.nodes.push(target.clone());
                self.nodes.len() - 1
            }
        };
        if let (Some(slot), Ok(place)) = (self.slots.get_mut(usize::from(slot)), u16::try_from(place + 1)) {
            *slot = place;
        }
    }

    /// Takes the answer to `CLUSTER SLOTS` of a node; false where it has none, and nothing is changed.
    pub(super) fn replace(&mut self, answer: &Value, told_by: &Target) -> bool {
        let Value::Array(ranges) = answer else { return false };
        let ranges: Vec<_> = ranges.iter().filter_map(|range| read_range(range, told_by)).collect();
        if ranges.is_empty() {
            return false;
        }
        self.nodes.clear();
        self.slots.fill(0);
        for (first, last, target) in ranges {
            for slot in first..=last {
                self.learn(slot, &target);
            }
        }
        true
    }
}

/// First and last slot, and the node that has them. A node that does not know its own name leaves it out.
fn read_range(range: &Value, told_by: &Target) -> Option<(u16, u16, Target)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(node), ..] = &parts[..] else { return None };
    let [host, Value::Int(port), ..] = &node[..] else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
        _ => told_by.host().to_owned(),
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    let target = Target::new(host, u16::try_from(*port).ok()?, told_by.is_tls());
    (usize::from(last) < SLOTS && first <= last).then_some((first, last, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target::new(host.to_owned(), 6379, false)
    }

    fn range(first: i64, last: i64, host: &str) -> Value {
        let node = Value::Array(vec![Value::BulkString(host.into()), Value::Int(6379)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node])
    }

    #[test]
    fn what_is_not_known_is_asked_of_one_after_the_other() {
        let mut map = Map::new(&[target("a"), target("b")]);
        let asked: Vec<_> = (0..3).map(|_| map.target(Some(7))).collect();
        assert_eq!(asked, [target("b"), target("a"), target("b")]);
        map.learn(7, &target("c"));
        assert_eq!(map.target(Some(7)), target("c"));
        assert_eq!(map.nodes(), [target("c"), target("a"), target("b")]);
    }

    #[test]
    fn an_answer_replaces_all_and_a_useless_one_nothing() {
        let mut map = Map::new(&[target("a")]);
        let answer = Value::Array(vec![range(0, 99, "x"), range(100, 16_383, "")]);
        assert!(map.replace(&answer, &target("told")));
        assert_eq!((map.target(Some(99)), map.target(Some(100))), (target("x"), target("told")));
        for useless in
            [Value::Nil, Value::Array(vec![]), Value::Array(vec![range(0, 99_999, "y"), range(9, 1, "y")])]
        {
            assert!(!map.replace(&useless, &target("told")));
            assert_eq!(map.target(Some(99)), target("x"));
        }
        assert!(map.replace(&Value::Array(vec![range(0, 16_383, "z")]), &target("told")));
        assert_eq!(map.nodes(), [target("z"), target("a")]);
    }
}
