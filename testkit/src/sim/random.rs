use std::time::Duration;

/// A source of chance that a seed determines: splitmix64, as small as a good one can be.
///
/// Everything that a simulation leaves to chance comes from one of these, and everything that happens in it happens on
/// one thread in one order. So the seed determines the whole run.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A source of its own for a part of the run: what another part draws does not change what this one does.
    pub(super) fn of(seed: u64, part: u64) -> Self {
        let mut random = Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to less than 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to less than `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub(super) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Whole milliseconds.
    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    /// Whether something happens that does in `share` of all cases.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// A place in `weights`, each as often as it weighs.
    pub(super) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        weights
            .iter()
            .position(|weight| match left.checked_sub(*weight) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            })
            .unwrap_or(0)
    }

    /// The time to the next of events that come by chance, `per_second` of them.
    pub(super) fn interval(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64((-(1.0 - self.unit()).ln() / per_second).min(3600.0))
    }

    /// Around 0, with a standard deviation of 1 (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_draw_apart_and_seeds_repeat() {
        let draw = |seed, part| Random::of(seed, part).next();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn what_is_drawn_lies_where_it_should() {
        let mut random = Random::of(7, 0);
        let (mut sum, mut happened, mut weighed) = (0.0, 0, 0);
        for _ in 0..10_000 {
            assert!((3..=9).contains(&random.between(3, 9)));
            sum += random.interval(50.0).as_secs_f64();
            happened += u32::from(random.happens(0.2));
            weighed += u32::from(random.weighted(&[1, 0, 3]) == 2);
        }
        assert!((190.0..210.0).contains(&sum), "10,000 at 50 a second take 200 s, not {sum}");
        assert!((1900..2100).contains(&happened), "{happened} of 10,000 at 20 %");
        assert!((7300..7700).contains(&weighed), "{weighed} of 10,000 at 3 to 1");
    }
}
