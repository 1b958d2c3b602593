use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::{
    codel::{Delay, Pace},
    *,
};
use crate::policy::Mode;

const NEVER: Tick = Tick::from_nanos(u64::MAX);

fn fifo(max_in_flight: u32, max_queue: u32) -> Bulkhead<u32> {
    Bulkhead::new(max_in_flight, max_queue, None)
}

fn wait<W>(waiter: W, came: u64, deadline: Tick) -> Wait<W> {
    Wait { waiter, came: Tick::from_nanos(came), deadline }
}

fn enter(bulkhead: &Bulkhead<u32>, priority: u8, id: u32) -> Entry<u32> {
    bulkhead.enter(priority, None, || 0, || wait(id, 0, NEVER))
}

/// Who is admitted at each of these moments, as places are given up.
fn leave_at(bulkhead: &Bulkhead<u32>, moments: impl IntoIterator<Item = u64>) -> Vec<Option<u32>> {
    moments.into_iter().map(|now| bulkhead.leave(Tick::from_nanos(now)).admitted).collect()
}

#[test]
fn so_many_are_in_flight_so_many_wait_and_no_more() {
    let bulkhead = fifo(2, 1);
    assert!(matches!(enter(&bulkhead, 1, 0), Entry::Admitted));
    assert!(matches!(enter(&bulkhead, 1, 1), Entry::Admitted));
    assert!(matches!(enter(&bulkhead, 1, 2), Entry::Queued { sent: None, .. }));
    assert!(matches!(enter(&bulkhead, 1, 3), Entry::Full));
    assert_eq!(leave_at(&bulkhead, [0, 0, 0]), [Some(2), None, None]);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}

#[test]
fn the_more_important_go_first_and_push_the_less_important_out() {
    let bulkhead = fifo(1, 2);
    let _ = enter(&bulkhead, 1, 0);
    let _ = enter(&bulkhead, 2, 1);
    let _ = enter(&bulkhead, 1, 2);
    let entry = enter(&bulkhead, 0, 3);
    assert!(matches!(entry, Entry::Queued { sent: Some(Sent { waiter: 1, why: Why::Shed }), .. }));
    assert!(matches!(enter(&bulkhead, 1, 4), Entry::Full), "not for one's equals");
    assert_eq!(leave_at(&bulkhead, [0, 0]), [Some(3), Some(2)]);
}

#[test]
fn whose_deadline_has_passed_is_not_admitted() {
    let bulkhead = fifo(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    for (id, deadline) in [(1, 10), (2, 30)] {
        let _ = bulkhead.enter(1, None, || 0, || wait(id, 0, Tick::from_nanos(deadline)));
    }
    let handed = bulkhead.leave(Tick::from_nanos(20));
    assert_eq!(handed.admitted, Some(2));
    assert!(matches!(handed.sent[..], [Sent { waiter: 1, why: Why::Expired }]));
}

#[test]
fn a_retry_keeps_its_rank() {
    let bulkhead = fifo(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    let _ = enter(&bulkhead, 1, 2);
    assert_eq!(leave_at(&bulkhead, [0]), [Some(1)]);
    let _ = bulkhead.enter(1, Some(ticket.rank()), || 0, || wait(1, 0, NEVER));
    assert_eq!(leave_at(&bulkhead, [0]), [Some(1)], "before 2, who came after it");
}

#[test]
fn a_rank_that_somebody_has_takes_nobodys_place() {
    // Of another bulkhead's rank: whoever waited here by the same one was dropped unheard, and counted for ever.
    let bulkhead = fifo(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    let entry = bulkhead.enter(1, Some(ticket.rank()), || 0, || wait(2, 0, NEVER));
    assert!(matches!(entry, Entry::Queued { .. }));
    assert_eq!(leave_at(&bulkhead, [0, 0, 0]), [Some(1), Some(2), None]);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}

#[test]
fn only_those_meant_are_sent_away() {
    let bulkhead = fifo(1, 5);
    for id in 0..5 {
        let _ = enter(&bulkhead, 1, id);
    }
    assert_eq!(bulkhead.flush(|id| id % 2 == 0), [2, 4]);
    assert_eq!(bulkhead.snapshot().waiting, 2);
    assert_eq!(leave_at(&bulkhead, [0, 0]), [Some(1), Some(3)]);
}

#[test]
fn a_raised_limit_is_offered_to_who_waits() {
    let bulkhead = fifo(1, 5);
    for id in 0..4 {
        let _ = enter(&bulkhead, 1, id);
    }
    bulkhead.set_max_in_flight(|| 3);
    let offered = std::iter::from_fn(|| bulkhead.offer(Tick::ZERO).admitted);
    assert_eq!(offered.collect::<Vec<_>>(), [1, 2]);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (3, 1));
}

#[test]
fn tenants_take_turns_however_many_calls_each_has() {
    let bulkhead = fifo(1, 10);
    let of = |tenant, id| bulkhead.enter(1, None, || tenant, || wait(id, 0, NEVER));
    let _ = of(1, 0);
    for id in 10..16 {
        let _ = of(1, id);
    }
    let _ = of(2, 20);
    let _ = of(2, 21);
    let _ = of(3, 30);
    let admitted: Vec<u32> = leave_at(&bulkhead, 0..9).into_iter().flatten().collect();
    assert_eq!(admitted, [10, 20, 30, 11, 21, 12, 13, 14, 15]);
}

#[test]
fn a_full_queue_sheds_the_newest_of_whoever_has_most_in_it() {
    let bulkhead = fifo(1, 4);
    let of = |tenant, id| bulkhead.enter(1, None, || tenant, || wait(id, 0, NEVER));
    for id in 0..5 {
        let _ = of(1, id);
    }
    let shed = |entry| match entry {
        Entry::Queued { sent: Some(Sent { waiter, why: Why::Shed }), .. } => Some(waiter),
        _ => None,
    };
    assert_eq!(shed(of(2, 20)), Some(4));
    assert_eq!(shed(of(2, 21)), Some(3));
    assert!(matches!(of(2, 22), Entry::Full), "each has a half");
    assert!(matches!(of(1, 5), Entry::Full));
    assert_eq!(shed(of(3, 30)), Some(21));
}

const CODEL: CodelSettings =
    CodelSettings { target: Duration::from_nanos(5), interval: Duration::from_nanos(100) };

#[test]
fn under_a_standing_delay_the_newest_goes_first_and_the_late_are_sent_away() {
    let bulkhead = Bulkhead::new(1, 100, Some(CODEL));
    let _ = enter(&bulkhead, 1, 0);
    let mut served = Vec::new();
    for now in 0..400 {
        let _ = bulkhead.enter(1, None, || 0, || wait(now, now.into(), NEVER));
        if now % 4 == 3 {
            let handed = bulkhead.leave(Tick::from_nanos(now.into()));
            assert!(handed.sent.iter().all(|sent| sent.why == Why::Delayed && now - sent.waiter > 5));
            let admitted = handed.admitted.expect("somebody waits");
            served.push((now, now - admitted));
        }
    }
    let waited = |from, to| served.iter().filter(move |(now, _)| (from..to).contains(now)).map(|(_, w)| *w);
    assert!(waited(50, 100).all(|waited| waited > 20), "by arrival first: {served:?}");
    assert!(waited(128, 400).all(|waited| waited == 0), "then the newest: {served:?}");
    assert!(bulkhead.snapshot().waiting < 10, "and nobody waits in vain");
}

#[test]
fn a_burst_that_is_being_worked_off_gets_through_whole() {
    let bulkhead = Bulkhead::new(1, 100, Some(CODEL));
    for id in 0..=100 {
        assert!(!matches!(enter(&bulkhead, 1, id), Entry::Full));
    }
    let admitted: Vec<u32> = leave_at(&bulkhead, (1..=100).map(|n| n * 20)).into_iter().flatten().collect();
    assert_eq!(admitted, (1..=100).collect::<Vec<u32>>(), "though most waited 20 times the interval");
}

#[test]
fn a_delay_that_stands_ends_with_the_overload() {
    let bulkhead = Bulkhead::new(1, 100, Some(CODEL));
    let _ = enter(&bulkhead, 1, 0);
    for now in 0..200 {
        let _ = bulkhead.enter(1, None, || 0, || wait(now, now.into(), NEVER));
        if now % 4 == 3 {
            bulkhead.leave(Tick::from_nanos(now.into()));
        }
    }
    while bulkhead.leave(Tick::from_nanos(205)).admitted.is_some() {}
    for id in [1000, 1001, 1002] {
        let _ = bulkhead.enter(1, None, || 0, || wait(id, 600, NEVER));
    }
    assert_eq!(leave_at(&bulkhead, [601, 602]), [Some(1001), Some(1002)], "by arrival");
}

#[test]
fn who_sends_little_is_not_sent_away_for_who_sends_much() {
    let bulkhead = Bulkhead::new(1, 20, Some(CODEL));
    let _ = enter(&bulkhead, 1, 0);
    let mut sent = Vec::new();
    for now in 0..2000 {
        let at = u64::from(now);
        let tenant = if now % 20 == 0 { 2 } else { 1 };
        match bulkhead.enter(1, None, || tenant, || wait(now, at, NEVER)) {
            Entry::Full => assert_eq!(tenant, 1),
            Entry::Queued { sent: somebody, .. } => sent.extend(somebody),
            Entry::Admitted => panic!("somebody is always in flight"),
        }
        if now % 8 == 7 {
            sent.extend(bulkhead.leave(Tick::from_nanos(at)).sent);
        }
    }
    assert!(sent.len() > 1_000, "{}", sent.len());
    assert!(sent.iter().all(|sent| sent.waiter % 20 != 0), "one of tenant 2's");
}

#[test]
fn the_defaults_are_those_of_the_docs() {
    let settings = BulkheadSettings::default();
    assert_eq!((settings.mode, settings.max_in_flight, settings.max_queue), (Mode::Enforce, 100, 100));
    assert_eq!(settings.queue_timeout, Duration::from_secs(1));
    let codel = CodelSettings { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
    assert_eq!((settings.codel, settings.per_tenant, settings.adaptive), (Some(codel), false, None));
}

/// The same, so simple that it is plainly right: a list that is searched anew each time.
#[derive(Default)]
struct Model {
    codel: Option<CodelSettings>,
    limit: usize,
    max_queue: usize,
    in_flight: usize,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    pace: Pace,
    /// Whose turn it was last, by priority.
    last: BTreeMap<u8, u64>,
    /// And what came more than was served, by priority and tenant.
    delays: BTreeMap<(u8, u64), (Delay, i64)>,
    /// Whose lane last became empty while its delay stood, by priority.
    emptied: BTreeMap<u8, (u64, Delay)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Waiting {
    priority: u8,
    tenant: u64,
    rank: u64,
    id: u32,
    came: u64,
    deadline: Tick,
}

type SentAway = Vec<(u32, Why)>;

impl Model {
    fn take(&mut self, id: u32) -> Option<Waiting> {
        let index = self.waiting.iter().position(|waiting| waiting.id == id)?;
        let taken = self.waiting.remove(index);
        let Waiting { priority, tenant, .. } = taken;
        if self.oldest(priority, tenant).is_none()
            && let Some((delay, _)) = self.delays.remove(&(priority, tenant))
            && delay.stands()
        {
            self.emptied.insert(priority, (tenant, delay));
        }
        Some(taken)
    }

    fn come(&mut self, priority: u8, tenant: u64) {
        let emptied = self.emptied.get(&priority).filter(|(of, _)| *of == tenant).map(|(_, delay)| *delay);
        if emptied.is_some() {
            self.emptied.remove(&priority);
        }
        let lane = self.delays.entry((priority, tenant)).or_insert((emptied.unwrap_or_default(), 0));
        lane.1 += 1;
    }

    /// In the order in which they are served, while nothing is late.
    fn lane(&self, priority: u8, tenant: u64) -> Vec<Waiting> {
        let lane = self.waiting.iter().filter(|w| (w.priority, w.tenant) == (priority, tenant));
        let mut lane: Vec<_> = lane.copied().collect();
        lane.sort_by_key(|waiting| waiting.rank);
        lane
    }

    fn stands(&self, priority: u8, tenant: u64) -> bool {
        self.delays.get(&(priority, tenant)).is_some_and(|(delay, _)| delay.stands())
    }

    fn turn(&mut self, priority: u8) -> u64 {
        let mut tenants: Vec<u64> =
            self.waiting.iter().filter(|w| w.priority == priority).map(|w| w.tenant).collect();
        tenants.sort_unstable();
        let last = self.last.get(&priority).copied().unwrap_or_default();
        let next = tenants.iter().find(|tenant| **tenant > last).or(tenants.first());
        let turn = *next.expect("one of them waits");
        self.last.insert(priority, turn);
        turn
    }

    fn oldest(&self, priority: u8, tenant: u64) -> Option<Waiting> {
        self.waiting.iter().find(|w| (w.priority, w.tenant) == (priority, tenant)).copied()
    }

    /// Of those of this priority, where the least important who waited had `lowest`.
    fn codel(&self, priority: u8, lowest: u8) -> Option<CodelSettings> {
        let codel = self.codel.map(|codel| self.pace.stretch(codel))?;
        Some(if priority == lowest { codel } else { codel.patient() })
    }

    fn judge(&mut self, priority: u8, tenant: u64, lowest: u8, now: u64) {
        let (Some(codel), Some(oldest)) = (self.codel(priority, lowest), self.oldest(priority, tenant))
        else {
            return;
        };
        let late = self.is_late(oldest, lowest, now);
        let (delay, surplus) = self.delays.entry((priority, tenant)).or_default();
        delay.judge(codel, late, *surplus, Tick::from_nanos(now));
    }

    fn is_late(&self, waiting: Waiting, lowest: u8, now: u64) -> bool {
        self.codel(waiting.priority, lowest)
            .is_some_and(|codel| u128::from(now - waiting.came) > codel.target.as_nanos())
    }

    fn priorities(&self) -> Vec<u8> {
        let mut priorities: Vec<u8> = self.waiting.iter().map(|waiting| waiting.priority).collect();
        priorities.sort_unstable();
        priorities.dedup();
        priorities
    }

    fn hand_on(&mut self, now: u64) -> (Option<u32>, SentAway) {
        self.pace.hand_on(Tick::from_nanos(now));
        let lowest = self.priorities().last().copied().unwrap_or_default();
        let (mut admitted, mut sent, mut served) = (None, Vec::new(), None);
        while let (None, Some(&priority)) = (admitted, self.priorities().first()) {
            let tenant = self.turn(priority);
            self.judge(priority, tenant, lowest, now);
            self.delays.entry((priority, tenant)).or_default().1 -= 1;
            let lane = self.lane(priority, tenant);
            let next = if self.stands(priority, tenant) { lane.last() } else { lane.first() };
            let next = self.take(next.expect("it is not empty").id).expect("it waits");
            served = Some((priority, tenant));
            if next.deadline > Tick::from_nanos(now) {
                admitted = Some(next.id);
            } else {
                sent.push((next.id, Why::Expired));
            }
        }
        for priority in self.priorities() {
            let tenant = match served {
                Some((of, tenant)) if of == priority => tenant,
                _ => {
                    let tenant = self.turn(priority);
                    self.judge(priority, tenant, lowest, now);
                    tenant
                }
            };
            while let Some(oldest) = self.oldest(priority, tenant)
                && self.stands(priority, tenant)
                && self.lane(priority, tenant).len() > 1
                && self.is_late(oldest, lowest, now)
            {
                self.take(oldest.id);
                sent.push((oldest.id, Why::Delayed));
            }
        }
        (admitted, sent)
    }

    /// Who goes for a newcomer, where all places in the queue are taken.
    fn make_room(&mut self, priority: u8, tenant: u64) -> Option<(u32, Why)> {
        let lowest = *self.priorities().last()?;
        let own = self.lane(lowest, tenant).len();
        let lanes: BTreeMap<u64, usize> =
            self.waiting.iter().map(|w| (w.tenant, self.lane(lowest, w.tenant).len())).collect();
        let (longest, most) = lanes.into_iter().max_by_key(|(tenant, most)| (*most, *tenant))?;
        let (lane, why) = if lowest > priority || (lowest == priority && longest != tenant && most > own + 1)
        {
            (longest, Why::Shed)
        } else if lowest == priority && self.stands(priority, tenant) {
            (tenant, Why::Delayed)
        } else {
            self.delays.entry((priority, tenant)).and_modify(|(_, surplus)| *surplus += 1);
            return None;
        };
        let order = self.lane(lowest, lane);
        let last = if self.stands(lowest, lane) { order.first() } else { order.last() };
        let id = last?.id;
        self.take(id);
        Some((id, why))
    }
}

fn told(handed: Handed<u32>) -> (Option<u32>, SentAway) {
    (handed.admitted, handed.sent.into_iter().map(|sent| (sent.waiter, sent.why)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn it_does_what_a_list_does(
        steps in prop::collection::vec((0_u8..14, 0_u8..4, 0_u32..6, 0_u64..3), 1..400),
        max_queue in 0_u32..12,
        codel in any::<bool>(),
        tenants in 1_u64..4,
        priorities in 1_u8..4,
    ) {
        let codel = codel.then_some(CodelSettings {
            target: Duration::from_nanos(3),
            interval: Duration::from_nanos(12),
        });
        let mut model = Model { codel, limit: 2, max_queue: max_queue as usize, ..Model::default() };
        let bulkhead = Bulkhead::new(2, max_queue, codel);
        let (mut now, mut last_rank, mut tickets) = (0, None, BTreeMap::new());
        for (id, (step, kind, amount, ticks)) in (0_u32..).zip(steps) {
            now += ticks;
            let time = Tick::from_nanos(now);
            match step {
                0..=6 => {
                    let deadline = if amount < 4 { NEVER } else { Tick::from_nanos(now + u64::from(amount) * 3) };
                    let rank = if step == 6 { last_rank } else { None };
                    let (priority, tenant) = (kind % priorities, u64::from(amount) % tenants);
                    let entry = bulkhead.enter(priority, rank, || tenant, || wait(id, now, deadline));
                    if model.waiting.is_empty() && model.in_flight < model.limit {
                        prop_assert!(matches!(entry, Entry::Admitted));
                        model.in_flight += 1;
                        continue;
                    }
                    let is_full = model.waiting.len() >= model.max_queue;
                    let room = if is_full { model.make_room(priority, tenant) } else { None };
                    if is_full && room.is_none() {
                        prop_assert!(matches!(entry, Entry::Full));
                        continue;
                    }
                    let Entry::Queued { ticket, sent } = entry else { panic!("{entry:?}") };
                    prop_assert_eq!(sent.map(|sent| (sent.waiter, sent.why)), room);
                    prop_assert!(rank.is_none_or(|rank| rank == ticket.rank()));
                    last_rank = Some(ticket.rank());
                    let rank = ticket.rank();
                    model.come(priority, tenant);
                    model.waiting.push(Waiting { priority, tenant, rank, id, came: now, deadline });
                    tickets.insert(id, ticket);
                }
                7..=9 if model.in_flight > 0 => {
                    let mut expected = (None, Vec::new());
                    if model.in_flight <= model.limit && !model.waiting.is_empty() {
                        expected = model.hand_on(now);
                    }
                    model.in_flight -= usize::from(expected.0.is_none());
                    prop_assert_eq!(told(bulkhead.leave(time)), expected);
                }
                // Whoever has a ticket goes away, whatever became of it.
                10 if !tickets.is_empty() => {
                    let id = *tickets.keys().nth(amount as usize % tickets.len()).expect("one of them");
                    let ticket = tickets.remove(&id).expect("it is there");
                    prop_assert_eq!(bulkhead.cancel(ticket), model.take(id).is_some());
                }
                11 => {
                    model.limit = amount as usize;
                    bulkhead.set_max_in_flight(|| amount);
                    loop {
                        let offered = told(bulkhead.offer(time));
                        if model.in_flight >= model.limit || model.waiting.is_empty() {
                            prop_assert_eq!(offered, (None, Vec::new()));
                            break;
                        }
                        let expected = model.hand_on(now);
                        model.in_flight += usize::from(expected.0.is_some());
                        prop_assert_eq!(offered, expected);
                    }
                }
                12 if kind == 0 => {
                    let meant = |id: &u32| amount == 0 || id.is_multiple_of(2);
                    let mut going = model.waiting.clone();
                    going.retain(|waiting| meant(&waiting.id));
                    // Lane by lane: whose was emptied last makes a difference.
                    going.sort_by_key(|waiting| waiting.tenant);
                    let mut expected: Vec<u32> = going.iter().map(|waiting| waiting.id).collect();
                    for id in &expected {
                        model.take(*id);
                    }
                    expected.sort_unstable();
                    let mut flushed = bulkhead.flush(meant);
                    flushed.sort_unstable();
                    prop_assert_eq!(flushed, expected);
                }
                _ => {}
            }
            if model.waiting.is_empty() {
                model.pace.interrupt();
            }
            let snapshot = bulkhead.snapshot();
            prop_assert_eq!(snapshot.in_flight as usize, model.in_flight);
            prop_assert_eq!(snapshot.waiting as usize, model.waiting.len());
        }
    }
}

/// What a waiter of the threads below is told.
#[derive(Debug, PartialEq)]
enum Told {
    Admitted,
    Refused,
}

#[test]
fn threads_leave_no_place_taken_and_no_one_waiting() {
    let bulkhead = Bulkhead::<oneshot::Sender<Told>>::new(3, 8, Some(CODEL));
    let (most, inside) = (AtomicU32::new(0), AtomicU32::new(0));
    let refuse = |waiters: Vec<oneshot::Sender<Told>>| {
        // Who is to be told may be going away in this very moment.
        std::thread::yield_now();
        for waiter in waiters {
            let _ = waiter.send(Told::Refused);
        }
    };
    let leave = |now| loop {
        let Handed { admitted, sent } = bulkhead.leave(now);
        refuse(sent.into_iter().map(|sent| sent.waiter).collect());
        if admitted.is_none_or(|next| next.send(Told::Admitted).is_ok()) {
            return;
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (bulkhead, most, inside) = (&bulkhead, &most, &inside);
            scope.spawn(move || {
                for i in 0..5_000_u32 {
                    let now = Tick::from_nanos(u64::from(i));
                    let deadline = if i % 5 == 0 { now } else { NEVER };
                    let (waiter, mut ear) = oneshot::channel();
                    let entered = match bulkhead.enter(
                        (i % 3) as u8,
                        None,
                        || u64::from(i % 2),
                        || wait(waiter, u64::from(i), deadline),
                    ) {
                        Entry::Admitted => true,
                        Entry::Full => false,
                        Entry::Queued { ticket, sent } => {
                            refuse(sent.into_iter().map(|sent| sent.waiter).collect());
                            if (i + thread) % 3 == 0 {
                                ear.close();
                                let heard = ear.try_recv();
                                if heard.is_err() {
                                    bulkhead.cancel(ticket);
                                }
                                heard == Ok(Told::Admitted)
                            } else {
                                ear.blocking_recv() == Ok(Told::Admitted)
                            }
                        }
                    };
                    if entered {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        leave(now);
                    }
                    if i % 17 == 0 {
                        refuse(bulkhead.flush(|_| i % 2 == 0));
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}
