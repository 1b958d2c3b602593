/// A generator of small state, seeded: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014). A fault must be replayable, not unpredictable.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The stream of one connection and direction.
    pub(super) fn of(seed: u64, connection: u64, direction: u64) -> Self {
        let mut random = Self(seed);
        random.0 ^= Self(connection.wrapping_mul(2).wrapping_add(direction)).next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number up to `most`, that included. The bias of the modulo is far below what a fault's size matters.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            Some(bound) => self.next() % bound,
            None => self.next(),
        }
    }
}
