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
fn a_rank_that_somebody_has_takes_nobodys_place() {
    let bulkhead = Bulkhead::new(1, 3);
    let _ = enter(&bulkhead, 1, 0);
    let Entry::Queued { ticket, .. } = enter(&bulkhead, 1, 1) else { panic!("it waits") };
    assert!(matches!(bulkhead.enter(1, NEVER, Some(ticket.rank()), || 2), Entry::Queued { .. }));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(1));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, Some(2));
    assert_eq!(bulkhead.leave(Tick::ZERO).admitted, None);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}

/// The same, so simple that it is plainly right.
#[derive(Default)]
struct Model {
    in_flight: Vec<u32>,
    queue: Vec<(u8, u64, u32)>,
}

proptest! {
    #[test]
    fn it_does_what_a_sorted_list_does(
        steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u32..6), 1..400),
        max_queue in 0_u32..6,
    ) {
        let mut limit = 3;
        let bulkhead = Bulkhead::new(limit, max_queue);
        let mut model = Model::default();
        let mut tickets = std::collections::HashMap::new();
        for (id, (step, priority, amount)) in (0_u32..).zip(steps) {
            match step {
                0..=2 => {
                    let entry = enter(&bulkhead, priority, id);
                    if model.queue.is_empty() && model.in_flight.len() < limit as usize {
                        prop_assert!(matches!(entry, Entry::Admitted));
                        model.in_flight.push(id);
                        continue;
                    }
                    let mut expected = None;
                    if model.queue.len() >= max_queue as usize {
                        match model.queue.last().copied() {
                            Some(last) if last.0 > priority => {
                                model.queue.pop();
                                expected = Some(last.2);
                            }
                            _ => {
                                prop_assert!(matches!(entry, Entry::Full));
                                continue;
                            }
                        }
                    }
                    let Entry::Queued { ticket, shed } = entry else { panic!("{entry:?}") };
                    prop_assert_eq!(shed, expected);
                    model.queue.push((priority, ticket.rank(), id));
                    model.queue.sort_unstable();
                    tickets.insert(id, ticket);
                }
                3 if !model.in_flight.is_empty() => {
                    model.in_flight.remove(0);
                    let next = (!model.queue.is_empty() && model.in_flight.len() < limit as usize)
                        .then(|| model.queue.remove(0).2);
                    model.in_flight.extend(next);
                    prop_assert_eq!(bulkhead.leave(Tick::ZERO).admitted, next);
                }
                4 if !model.queue.is_empty() => {
                    let (_, _, id) = model.queue.remove(amount as usize % model.queue.len());
                    prop_assert!(bulkhead.cancel(tickets[&id]));
                }
                5 => {
                    limit = amount;
                    let mut expected = Vec::new();
                    while model.in_flight.len() < limit as usize && !model.queue.is_empty() {
                        let (_, _, id) = model.queue.remove(0);
                        model.in_flight.push(id);
                        expected.push(id);
                    }
                    prop_assert_eq!(bulkhead.set_limits(limit, max_queue), expected);
                }
                _ => {}
            }
            let snapshot = bulkhead.snapshot();
            prop_assert_eq!(snapshot.in_flight as usize, model.in_flight.len());
            prop_assert_eq!(snapshot.waiting as usize, model.queue.len());
        }
    }
}

#[test]
fn threads_leave_no_place_taken_and_no_one_waiting() {
    use std::sync::mpsc;
    let bulkhead = Bulkhead::new(3, 8);
    let most = AtomicU32::new(0);
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let (bulkhead, most, inside) = (&bulkhead, &most, &inside);
            scope.spawn(move || {
                for i in 0..5_000 {
                    let (admit, admitted) = mpsc::sync_channel::<()>(1);
                    let entered = match bulkhead.enter((i % 3) as u8, NEVER, None, || admit) {
                        Entry::Admitted => true,
                        Entry::Full => false,
                        Entry::Queued { ticket, shed } => {
                            drop(shed);
                            if (i + thread) % 7 == 0 {
                                !bulkhead.cancel(ticket) && admitted.recv().is_ok()
                            } else {
                                admitted.recv().is_ok()
                            }
                        }
                    };
                    if entered {
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        let handed = bulkhead.leave(Tick::ZERO);
                        if let Some(next) = handed.admitted {
                            let _ = next.send(());
                        }
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!((bulkhead.snapshot().in_flight, bulkhead.snapshot().waiting), (0, 0));
}
