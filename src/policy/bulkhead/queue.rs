//! Who waits, and who is next.
//!
//! The more important go first; among equals tenants take turns, and of one tenant's calls the oldest goes first, or the
//! newest while that tenant's delay stands. A tenant's calls are a lane, which exists as long as one of them waits, so that
//! there are never more lanes than calls. Each lane has its own delay, as each flow has in FQ-CoDel (RFC 8290): a tenant
//! that floods is kept short, and one that sends little neither waits behind it nor is sent away for it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{
    Handed, Sent, Ticket, Wait, Why,
    codel::{Delay, Pace},
    settings::CodelSettings,
};
use crate::units::Tick;

/// All who wait. Whoever adds to it bounds it.
#[derive(Debug)]
pub(super) struct Queue<W> {
    serials: u64,
    pace: Pace,
    len: usize,
    /// By priority, of which there are few: one that was there once stays, empty or not.
    classes: BTreeMap<u8, Class<W>>,
}

/// Those of one priority.
#[derive(Debug)]
struct Class<W> {
    /// By tenant.
    lanes: BTreeMap<u64, Lane<W>>,
    /// The lanes by how many wait in them.
    lengths: BTreeSet<(usize, u64)>,
    /// Whose turn it was last.
    last: u64,
    /// Whose lane last became empty while its delay stood: chance may empty one that is full again at once.
    emptied: Option<(u64, Delay)>,
}

/// One tenant's.
#[derive(Debug)]
struct Lane<W> {
    /// By rank and serial number: the order in which they are served.
    order: BTreeMap<(u64, u64), Wait<W>>,
    /// Serial numbers and ranks, in the order in which they came. A retry comes late with an early rank.
    ages: BTreeMap<u64, u64>,
    /// How many more have come, and be it to be refused, than were served.
    surplus: i64,
    delay: Delay,
}

impl<W> Queue<W> {
    /// Puts somebody into the queue.
    pub(super) fn push(&mut self, priority: u8, tenant: u64, rank: Option<u64>, wait: Wait<W>) -> Ticket {
        self.len += 1;
        let serial = self.serials;
        self.serials += 1;
        let ticket = Ticket { priority, tenant, rank: rank.unwrap_or(serial), serial };
        self.classes.entry(priority).or_default().push(ticket, wait);
        ticket
    }

    /// Takes somebody out, if he still waits.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let class = self.classes.get_mut(&ticket.priority)?;
        let waiting = class.remove(ticket.tenant, (ticket.rank, ticket.serial))?;
        self.leave(1);
        Some(waiting.waiter)
    }

    /// Sends somebody away in favour of one who comes with this priority and tenant, if there is anybody who has to go
    /// first.
    pub(super) fn make_room(&mut self, priority: u8, tenant: u64) -> Option<Sent<W>> {
        let (lowest, class) = self.classes.iter_mut().rev().find(|(_, class)| !class.lanes.is_empty())?;
        let &(most, longest) = class.lengths.last()?;
        let own = class.lanes.get(&tenant);
        // Whoever has one more than the other gains nothing if they change places.
        let is_unfair = longest != tenant && most > own.map_or(0, Lane::len) + 1;
        let (lane, why) = match lowest.cmp(&priority) {
            Ordering::Less => return None,
            Ordering::Equal if is_unfair => (longest, Why::Shed),
            Ordering::Equal if own.is_some_and(|own| own.delay.stands()) => (tenant, Why::Delayed),
            Ordering::Equal => {
                if let Some(own) = class.lanes.get_mut(&tenant) {
                    own.surplus += 1;
                }
                return None;
            }
            Ordering::Greater => (longest, Why::Shed),
        };
        let at = class.lanes.get(&lane)?.last_to_be_served()?;
        let waiting = class.remove(lane, at)?;
        // His place is taken at once.
        self.len -= 1;
        Some(Sent { waiter: waiting.waiter, why })
    }

    /// Takes out who is next, and with him those whose time is up and those who have waited for too long.
    pub(super) fn hand_on(&mut self, codel: CodelSettings, now: Tick) -> Handed<W> {
        self.pace.hand_on(now);
        let codel = self.pace.stretch(codel);
        let lowest = self.classes.iter().rev().find(|(_, class)| !class.lanes.is_empty());
        let lowest = lowest.map(|(priority, _)| *priority);
        let codel = |priority| if Some(priority) == lowest { codel } else { codel.patient() };
        let (mut admitted, mut sent, mut served) = (None, Vec::new(), None);
        for (priority, class) in &mut self.classes {
            while admitted.is_none()
                && let Some(Wait { waiter, deadline, .. }) = class.serve(codel(*priority), now)
            {
                served = Some(*priority);
                if deadline > now {
                    admitted = Some(waiter);
                } else {
                    sent.push(Sent { waiter, why: Why::Expired });
                }
            }
        }
        for (priority, class) in &mut self.classes {
            if Some(*priority) != served {
                class.look(codel(*priority), now);
            }
            class.send_late(codel(*priority), now, &mut sent);
        }
        self.leave(sent.len() + usize::from(admitted.is_some()));
        Handed { admitted, sent }
    }

    fn leave(&mut self, count: usize) {
        self.len -= count;
        if self.len == 0 {
            self.pace.interrupt();
        }
    }

    /// Takes out all who are meant.
    pub(super) fn take(&mut self, meant: impl Fn(&W) -> bool) -> Vec<W> {
        let mut taken = Vec::new();
        for class in self.classes.values_mut() {
            let tickets = class.lanes.iter().flat_map(|(tenant, lane)| {
                let meant = lane.order.iter().filter(|(_, waiting)| meant(&waiting.waiter));
                meant.map(|(at, _)| (*tenant, *at))
            });
            for (tenant, at) in tickets.collect::<Vec<_>>() {
                taken.extend(class.remove(tenant, at).map(|waiting| waiting.waiter));
            }
        }
        self.leave(taken.len());
        taken
    }
}

impl<W> Class<W> {
    fn push(&mut self, ticket: Ticket, wait: Wait<W>) {
        let Ticket { tenant, rank, serial, .. } = ticket;
        let lane = self.lanes.entry(tenant).or_default();
        if let Some((emptied, delay)) = self.emptied
            && emptied == tenant
        {
            lane.delay = delay;
            self.emptied = None;
        }
        self.lengths.remove(&(lane.len(), tenant));
        lane.order.insert((rank, serial), wait);
        lane.ages.insert(serial, rank);
        lane.surplus += 1;
        self.lengths.insert((lane.len(), tenant));
    }

    fn remove(&mut self, tenant: u64, at: (u64, u64)) -> Option<Wait<W>> {
        let lane = self.lanes.get_mut(&tenant)?;
        let waiting = lane.order.remove(&at)?;
        lane.ages.remove(&at.1);
        self.lengths.remove(&(lane.len() + 1, tenant));
        if lane.len() == 0 {
            if lane.delay.stands() {
                self.emptied = Some((tenant, lane.delay));
            }
            self.lanes.remove(&tenant);
        } else {
            self.lengths.insert((lane.len(), tenant));
        }
        Some(waiting)
    }

    /// The tenant whose turn it is: the next one after who had it last.
    fn turn(&self) -> Option<u64> {
        let after = self.lanes.range((Bound::Excluded(self.last), Bound::Unbounded)).next();
        after.or(self.lanes.first_key_value()).map(|(tenant, _)| *tenant)
    }

    /// Takes out who is next.
    fn serve(&mut self, codel: CodelSettings, now: Tick) -> Option<Wait<W>> {
        self.last = self.turn()?;
        let lane = self.lanes.get_mut(&self.last)?;
        lane.judge(codel, now);
        lane.surplus -= 1;
        let at = lane.next_to_be_served()?;
        self.remove(self.last, at)
    }

    /// Judges the delay of one whose turn it would be, where others are served.
    fn look(&mut self, codel: CodelSettings, now: Tick) {
        self.last = self.turn().unwrap_or(self.last);
        if let Some(lane) = self.lanes.get_mut(&self.last) {
            lane.judge(codel, now);
        }
    }

    /// Takes out those of the last one looked at who have waited for too long, if their delay stands; but one, so that
    /// somebody is there when the next place becomes free.
    fn send_late(&mut self, codel: CodelSettings, now: Tick, sent: &mut Vec<Sent<W>>) {
        while let Some(lane) = self.lanes.get(&self.last)
            && lane.delay.stands()
            && lane.len() > 1
            && let Some((at, came)) = lane.oldest()
            && now.since(came) > codel.target
            && let Some(waiting) = self.remove(self.last, at)
        {
            sent.push(Sent { waiter: waiting.waiter, why: Why::Delayed });
        }
    }
}

impl<W> Lane<W> {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn judge(&mut self, codel: CodelSettings, now: Tick) {
        let late = self.oldest().is_some_and(|(_, came)| now.since(came) > codel.target);
        self.delay.judge(codel, late, self.surplus, now);
    }

    fn next_to_be_served(&self) -> Option<(u64, u64)> {
        let next =
            if self.delay.stands() { self.order.last_key_value() } else { self.order.first_key_value() };
        next.map(|(at, _)| *at)
    }

    fn last_to_be_served(&self) -> Option<(u64, u64)> {
        let last =
            if self.delay.stands() { self.order.first_key_value() } else { self.order.last_key_value() };
        last.map(|(at, _)| *at)
    }

    /// Who has waited longest, and since when.
    fn oldest(&self) -> Option<((u64, u64), Tick)> {
        let (serial, rank) = self.ages.first_key_value()?;
        let at = (*rank, *serial);
        self.order.get(&at).map(|waiting| (at, waiting.came))
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { serials: 0, pace: Pace::default(), len: 0, classes: BTreeMap::new() }
    }
}

impl<W> Default for Class<W> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), lengths: BTreeSet::new(), last: 0, emptied: None }
    }
}

impl<W> Default for Lane<W> {
    fn default() -> Self {
        Self { order: BTreeMap::new(), ages: BTreeMap::new(), surplus: 0, delay: Delay::Calm }
    }
}
