use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Tick {
    Tick::ZERO.after(Duration::from_millis(millis))
}

/// A downstream with so many places, each of which takes 50 ms; all calls are queued there that a limit lets pass. Where
/// the limit has got to after so many seconds.
fn under_load(adaptive: &Adaptive, places: u32, from_ms: u64, seconds: u64) -> u32 {
    let mut limit = adaptive.limit();
    let mut now = from_ms;
    while now < from_ms + seconds * 1000 {
        // One place becomes free; what has just been done was behind as many as fit in.
        now += u64::from((50 / places).max(1));
        let rtt = Duration::from_millis(50) * limit.max(places) / places;
        limit = adaptive.record(Sample { rtt, in_flight: limit, lost: false }, at(now));
    }
    limit
}

/// As many calls as there are places, so that none of them waits.
fn unloaded(adaptive: &Adaptive, in_flight: u32, from_ms: u64, seconds: u64) {
    for now in (from_ms..from_ms + seconds * 1000).step_by(10) {
        let rtt = Duration::from_millis(50);
        adaptive.record(Sample { rtt, in_flight, lost: false }, at(now));
    }
}

#[test]
fn it_settles_where_calls_take_a_little_longer_than_is_tolerated() {
    let adaptive = Adaptive::new(AdaptiveSettings::default());
    unloaded(&adaptive, 5, 0, 10);
    assert_eq!(adaptive.limit(), 20, "a limit that is not used says nothing");
    let limit = under_load(&adaptive, 10, 10_000, 60);
    assert!((15..=20).contains(&limit), "{limit}");
}

#[test]
fn it_grows_where_there_is_room() {
    let adaptive = Adaptive::new(AdaptiveSettings::default());
    unloaded(&adaptive, 15, 0, 5);
    let limit = under_load(&adaptive, 50, 5_000, 60);
    assert!((70..=90).contains(&limit), "{limit}");
}

#[test]
fn a_minute_of_overload_is_not_taken_for_the_way_things_are() {
    let adaptive = Adaptive::new(AdaptiveSettings::default());
    unloaded(&adaptive, 5, 0, 10);
    let limit = under_load(&adaptive, 10, 10_000, 10);
    let later = under_load(&adaptive, 10, 20_000, 60);
    assert!(later <= limit + 2, "{limit} became {later}");
}

#[test]
fn what_was_lost_together_counts_once() {
    let adaptive = Adaptive::new(AdaptiveSettings { initial: 100, ..AdaptiveSettings::default() });
    let lost = Sample { rtt: Duration::from_millis(50), in_flight: 100, lost: true };
    for _ in 0..100 {
        adaptive.record(lost, at(1000));
    }
    assert_eq!(adaptive.limit(), 90);
    assert_eq!(adaptive.record(lost, at(1049)), 90, "it began before");
    assert_eq!(adaptive.record(lost, at(1050)), 81);
}

#[test]
fn additive_increase_is_one_a_window() {
    let settings = AdaptiveSettings { algorithm: Algorithm::Aimd, ..AdaptiveSettings::default() };
    let adaptive = Adaptive::new(settings);
    for n in 0..=100 {
        let rtt = Duration::from_millis(n * 10);
        adaptive.record(Sample { rtt, in_flight: 20, lost: false }, at(n * 10));
    }
    assert_eq!(adaptive.limit(), 29, "a second has 9 whole windows of 11 samples");
}

#[test]
fn the_defaults_are_those_of_the_docs() {
    let settings = AdaptiveSettings::default();
    assert_eq!((settings.algorithm, settings.tolerance), (Algorithm::Gradient, 1.5));
    assert_eq!((settings.initial, settings.min, settings.max), (20, 1, 200));
}

proptest! {
    /// Whatever it is told, it stays within its bounds; what it grows by is a headroom, and what it shrinks by a half.
    #[test]
    fn it_keeps_its_bounds(
        samples in prop::collection::vec((0_u64..100, 0_u64..5_000_000, 0_u32..500, 0_u8..20), 1..500),
        min in 0_u32..50,
        span in 0_u32..200,
        initial in 0_u32..300,
        aimd in any::<bool>(),
    ) {
        let algorithm = if aimd { Algorithm::Aimd } else { Algorithm::Gradient };
        let (max, tolerance) = (min + span, 1.5);
        let adaptive = Adaptive::new(AdaptiveSettings { algorithm, initial, min, max, tolerance });
        let bounds = min.max(1)..=max.max(1);
        let (mut before, mut now) = (adaptive.limit(), 0);
        prop_assert!(bounds.contains(&before));
        for (wait, rtt, in_flight, lost) in samples {
            now += wait;
            let sample = Sample { rtt: Duration::from_micros(rtt), in_flight, lost: lost == 0 };
            let limit = adaptive.record(sample, at(now));
            prop_assert!(bounds.contains(&limit), "{limit} is not within {bounds:?}");
            prop_assert_eq!(limit, adaptive.limit());
            prop_assert!(f64::from(limit) <= f64::from(before) + 2.0 + f64::from(before).sqrt() / 2.0);
            prop_assert!(limit >= before / 2);
            if sample.lost {
                prop_assert!(limit <= before);
            }
            before = limit;
        }
    }
}

/// Of calls of which one in twenty is slow, a hedge cuts the slow ones off after 40 ms. The limit that was learned by these
/// is not lost when there is no room for hedges, and all are seen to their end.
#[test]
fn what_hedges_cut_off_is_not_forgotten() {
    let adaptive = Adaptive::new(AdaptiveSettings::default());
    let one = |call: u64, hedged: bool| {
        let (now, slow) = (at(call * 5), call.is_multiple_of(20));
        let in_flight = adaptive.limit();
        match (slow, hedged) {
            (true, true) => adaptive.record_cut_off(Duration::from_millis(40), in_flight, now),
            (true, false) => {
                adaptive.record(Sample { rtt: Duration::from_millis(100), in_flight, lost: false }, now)
            }
            (false, _) => {
                adaptive.record(Sample { rtt: Duration::from_millis(2), in_flight, lost: false }, now)
            }
        }
    };
    (0..4_000).for_each(|call| {
        one(call, true);
    });
    (4_000..8_000).for_each(|call| {
        one(call, false);
    });
    assert!(adaptive.limit() >= 3, "{}", adaptive.limit());
}

#[test]
fn who_goes_away_early_says_nothing() {
    let adaptive = Adaptive::new(AdaptiveSettings::default());
    unloaded(&adaptive, 15, 0, 5);
    let limit = adaptive.limit();
    for call in 0..1_000 {
        assert_eq!(adaptive.record_cut_off(Duration::from_millis(10), 20, at(6_000 + call)), limit);
    }
}
