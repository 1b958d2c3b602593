use proptest::prelude::*;
use tokio::sync::oneshot;

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
fn a_rank_that_somebody_has_takes_nobodys_place() {
    // Of another bulkhead's rank: whoever waited here by the same one was dropped unheard, and counted for ever.
    let bulkhead = Bulkhead::new(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    assert!(matches!(bulkhead.enter(1, NEVER, Some(ticket.rank()), || 2), Entry::Queued { .. }));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(1));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(2));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, None);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}

#[test]
fn only_those_meant_are_sent_away() {
    let bulkhead = Bulkhead::new(1, 5);
    for id in 0..5 {
        let _ = enter(&bulkhead, 1, id);
    }
    assert_eq!(bulkhead.flush(|id| id % 2 == 0), [2, 4]);
    assert_eq!(bulkhead.snapshot().waiting, 2);
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(1));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(3));
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
}

impl Model {
    fn take(&mut self, index: usize) -> u32 {
        self.queue.remove(index).2
    }

    fn admit(&mut self) -> u32 {
        self.in_flight += 1;
        self.take(0)
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
                                expected = Some(model.take(model.queue.len() - 1));
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
                            admitted = Some(model.take(0));
                        } else {
                            expired.push(model.take(0));
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
                    let waited = model.queue.iter().position(|(.., waiting, _)| *waiting == id);
                    prop_assert_eq!(bulkhead.cancel(ticket), waited.map(|index| model.take(index)).is_some());
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
                    let meant = |id: &u32| amount == 0 || id.is_multiple_of(2);
                    let (sent, stay) = model.queue.iter().partition(|waiting| meant(&waiting.2));
                    model.queue = stay;
                    let sent: Vec<(u8, u64, u32, Tick)> = sent;
                    let expected: Vec<_> = sent.into_iter().map(|waiting| waiting.2).collect();
                    prop_assert_eq!(bulkhead.flush(meant), expected);
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
#[derive(Debug, PartialEq)]
enum Told {
    Admitted,
    Refused,
}

#[test]
fn threads_leave_no_place_taken_and_no_one_waiting() {
    let bulkhead = Bulkhead::<oneshot::Sender<Told>>::new(3, 8);
    let (most, inside) = (AtomicU32::new(0), AtomicU32::new(0));
    let refuse = |waiters: Vec<oneshot::Sender<Told>>| {
        // Who is to be told may be going away in this very moment.
        std::thread::yield_now();
        for waiter in waiters {
            let _ = waiter.send(Told::Refused);
        }
    };
    let leave = |now| loop {
        let Handed { admitted, expired } = bulkhead.leave(now);
        refuse(expired);
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
                    let entered = match bulkhead.enter((i % 3) as u8, deadline, None, || waiter) {
                        Entry::Admitted => true,
                        Entry::Full => false,
                        Entry::Queued { ticket, shed } => {
                            refuse(shed.into_iter().collect());
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
