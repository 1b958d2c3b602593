use std::{
    collections::HashMap,
    sync::mpsc::{SyncSender, sync_channel},
};

use proptest::prelude::*;

use super::*;

const NEVER: Tick = Tick::from_nanos(u64::MAX);

fn enter(bulkhead: &Bulkhead<u32>, priority: u8, id: u32) -> Entry<u32> {
    bulkhead.enter(priority, NEVER, None, || id)
}

#[test]
fn so_many_are_in_flight_so_many_wait_and_no_more() {
    let bulkhead = Bulkhead::new(2, 1);
    assert!(matches!(enter(&bulkhead, 1, 0), Entry::Admitted));
    assert!(matches!(enter(&bulkhead, 1, 1), Entry::Admitted));
    assert!(matches!(enter(&bulkhead, 1, 2), Entry::Queued { shed: None, .. }));
    assert!(matches!(enter(&bulkhead, 1, 3), Entry::Full));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(2));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, None);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, None);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}

#[test]
fn the_more_important_go_first_and_push_the_less_important_out() {
    let bulkhead = Bulkhead::new(1, 2);
    let _ = enter(&bulkhead, 1, 0);
    let _ = enter(&bulkhead, 2, 1);
    let _ = enter(&bulkhead, 1, 2);
    assert!(matches!(enter(&bulkhead, 0, 3), Entry::Queued { shed: Some(1), .. }));
    assert!(matches!(enter(&bulkhead, 1, 4), Entry::Full), "not for one's equals");
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(3));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(2));
}

#[test]
fn whose_deadline_has_passed_is_not_admitted() {
    let bulkhead = Bulkhead::new(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let _ = bulkhead.enter(1, Tick::from_nanos(10), None, || 1);
    let _ = bulkhead.enter(1, Tick::from_nanos(30), None, || 2);
    let handed = bulkhead.leave(Tick::from_nanos(20));
    assert_eq!((handed.admitted, handed.expired), (Some(2), vec![1]));
}

#[test]
fn a_retry_keeps_its_rank() {
    let bulkhead = Bulkhead::new(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    let _ = enter(&bulkhead, 1, 2);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(1));
    let _ = bulkhead.enter(1, NEVER, Some(ticket.rank()), || 1);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(1), "before 2, who came after it");
}

#[test]
fn a_rank_that_somebody_has_already_costs_nobody_a_place() {
    // A call that passes two bulkheads once brought the first one's rank to the second: whoever waited there by the
    // same rank was dropped unheard, and the count of the waiting stayed one too high for good.
    let bulkhead = Bulkhead::new(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket: first, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    let Entry::Queued { .. } = bulkhead.enter(1, NEVER, Some(first.rank()), || 2) else { panic!("it waits") };
    assert_eq!(bulkhead.snapshot().waiting, 2);
    assert_eq!(bulkhead.cancel(&first), Cancelled::Waiting);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(2));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, None);
    assert!(matches!(enter(&bulkhead, 1, 3), Entry::Admitted), "nobody waits any more");
}

#[test]
fn who_cancels_before_it_is_told_learns_what_became_of_it() {
    let bulkhead = Bulkhead::new(1, 2);
    let queued = |priority, deadline, id| match bulkhead.enter(priority, deadline, None, || id) {
        Entry::Queued { ticket, .. } => ticket,
        entry => panic!("{entry:?}"),
    };
    let _ = enter(&bulkhead, 1, 0);
    let (late, shed) = (queued(1, Tick::ZERO, 1), queued(2, NEVER, 2));
    let admitted = queued(0, NEVER, 3);
    assert_eq!(bulkhead.cancel(&shed), Cancelled::Refused);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(3));
    assert_eq!(bulkhead.cancel(&admitted), Cancelled::Admitted);
    assert_eq!(bulkhead.leave(Tick::ZERO).expired, [1]);
    assert_eq!(bulkhead.cancel(&late), Cancelled::Refused);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
    let _ = enter(&bulkhead, 1, 4);
    let flushed = queued(1, NEVER, 5);
    assert_eq!(bulkhead.flush(), [5]);
    assert_eq!(bulkhead.cancel(&flushed), Cancelled::Refused);
}

#[test]
fn the_defaults_are_those_of_the_docs() {
    let settings = BulkheadSettings::default();
    assert_eq!((settings.mode, settings.max_in_flight, settings.max_queue), (Mode::Enforce, 100, 100));
    assert_eq!(settings.queue_timeout, Duration::from_secs(1));
}

/// The same, so simple that it is plainly right.
#[derive(Default)]
struct Model {
    in_flight: usize,
    /// Priority, rank, who, deadline.
    queue: Vec<(u8, u64, u32, Tick)>,
    /// What became of those who do not wait any more.
    fates: HashMap<u32, Cancelled>,
}

impl Model {
    fn take(&mut self, index: usize, fate: Cancelled) -> u32 {
        let (.., id, _) = self.queue.remove(index);
        self.fates.insert(id, fate);
        id
    }

    fn admit(&mut self) -> u32 {
        self.in_flight += 1;
        self.take(0, Cancelled::Admitted)
    }
}

proptest! {
    #[test]
    fn it_does_what_a_sorted_list_does(
        steps in prop::collection::vec((0_u8..10, 0_u8..4, 0_u32..6, 0_u64..3), 1..400),
        max_queue in 0_u32..6,
    ) {
        let (mut limit, mut now, mut last_rank) = (3_u32, 0, None);
        let bulkhead = Bulkhead::new(limit, max_queue);
        let mut model = Model::default();
        let mut tickets = BTreeMap::new();
        for (id, (step, priority, amount, ticks)) in (0_u32..).zip(steps) {
            now += ticks;
            let time = Tick::from_nanos(now);
            match step {
                0..=4 => {
                    let deadline = if amount == 0 { NEVER } else { Tick::from_nanos(now + u64::from(amount) * 3) };
                    let rank = if step == 4 { last_rank } else { None };
                    let entry = bulkhead.enter(priority, deadline, rank, || id);
                    if model.queue.is_empty() && model.in_flight < limit as usize {
                        prop_assert!(matches!(entry, Entry::Admitted));
                        model.in_flight += 1;
                        continue;
                    }
                    let mut expected = None;
                    if model.queue.len() >= max_queue as usize {
                        match model.queue.last() {
                            Some(last) if last.0 > priority => {
                                expected = Some(model.take(model.queue.len() - 1, Cancelled::Refused));
                            }
                            _ => {
                                prop_assert!(matches!(entry, Entry::Full));
                                continue;
                            }
                        }
                    }
                    let Entry::Queued { ticket, shed } = entry else { panic!("{entry:?}") };
                    prop_assert_eq!(shed, expected);
                    prop_assert!(rank.is_none_or(|rank| rank == ticket.rank()));
                    last_rank = Some(ticket.rank());
                    model.queue.push((priority, ticket.rank(), id, deadline));
                    model.queue.sort_unstable();
                    tickets.insert(id, ticket);
                }
                5 | 6 if model.in_flight > 0 => {
                    let (mut admitted, mut expired) = (None, Vec::new());
                    while model.in_flight <= limit as usize && admitted.is_none() && !model.queue.is_empty() {
                        if model.queue[0].3 > time {
                            admitted = Some(model.take(0, Cancelled::Admitted));
                        } else {
                            expired.push(model.take(0, Cancelled::Refused));
                        }
                    }
                    model.in_flight -= usize::from(admitted.is_none());
                    let handed = bulkhead.leave(time);
                    prop_assert_eq!((handed.admitted, handed.expired), (admitted, expired));
                }
                // Whoever has a ticket goes away, whatever became of it.
                7 if !tickets.is_empty() => {
                    let id = *tickets.keys().nth(amount as usize % tickets.len()).expect("one of them");
                    let ticket = tickets.remove(&id).expect("it is there");
                    let expected = model.fates.remove(&id).unwrap_or(Cancelled::Waiting);
                    model.queue.retain(|(.., waiting, _)| *waiting != id);
                    prop_assert_eq!(bulkhead.cancel(&ticket), expected);
                }
                8 => {
                    limit = amount;
                    let mut expected = Vec::new();
                    while model.in_flight < limit as usize && !model.queue.is_empty() {
                        expected.push(model.admit());
                    }
                    prop_assert_eq!(bulkhead.set_limits(limit, max_queue), expected);
                }
                9 if priority == 0 => {
                    let expected: Vec<_> =
                        (0..model.queue.len()).map(|_| model.take(0, Cancelled::Refused)).collect();
                    prop_assert_eq!(bulkhead.flush(), expected);
                }
                _ => {}
            }
            let snapshot = bulkhead.snapshot();
            prop_assert_eq!(snapshot.in_flight as usize, model.in_flight);
            prop_assert_eq!(snapshot.waiting as usize, model.queue.len());
        }
    }
}

/// What a waiter of the threads below is told.
#[derive(PartialEq)]
enum Told {
    Admitted,
    Refused,
}

#[test]
fn threads_leave_no_place_taken_and_no_one_waiting() {
    let bulkhead = Bulkhead::<SyncSender<Told>>::new(3, 8);
    let (most, inside) = (AtomicU32::new(0), AtomicU32::new(0));
    let tell = |waiters: Vec<SyncSender<Told>>| {
        // Who is to be told may be going away in this very moment.
        std::thread::yield_now();
        for waiter in waiters {
            let _ = waiter.send(Told::Refused);
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (bulkhead, most, inside) = (&bulkhead, &most, &inside);
            scope.spawn(move || {
                for i in 0..5_000_u32 {
                    let now = Tick::from_nanos(u64::from(i));
                    let deadline = if i % 5 == 0 { now } else { NEVER };
                    let (admit, told) = sync_channel(1);
                    let entered = match bulkhead.enter((i % 3) as u8, deadline, None, || admit) {
                        Entry::Admitted => true,
                        Entry::Full => false,
                        Entry::Queued { ticket, shed } => {
                            tell(shed.into_iter().collect());
                            if (i + thread) % 3 == 0 {
                                bulkhead.cancel(&ticket) == Cancelled::Admitted
                            } else {
                                told.recv() == Ok(Told::Admitted)
                            }
                        }
                    };
                    if entered {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        let handed = bulkhead.leave(now);
                        tell(handed.expired);
                        if let Some(next) = handed.admitted {
                            let _ = next.send(Told::Admitted);
                        }
                    }
                    if i % 17 == 0 {
                        tell(bulkhead.flush());
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}
