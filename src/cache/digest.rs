/// A 64-bit digest of bytes, the same in every process and build: it tells damage, and names keys in news. Not a hash for
/// tables, for whoever chooses the keys could have them collide; that costs a hit here, and nothing else.
///
/// Words of eight bytes are folded by multiplication (as in wyhash), at some bytes a nanosecond.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut state = SEED ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        state = fold(state ^ u64::from_le_bytes(word.try_into().expect("chunks of eight")));
    }
    let mut rest = [0; 8];
    rest[..words.remainder().len()].copy_from_slice(words.remainder());
    fold(fold(state ^ u64::from_le_bytes(rest)) ^ SEED)
}

const SEED: u64 = 0x5ea_0a11_cac4_e001;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

fn fold(word: u64) -> u64 {
    // A word of zeros would swallow what came before it.
    let product = u128::from(word.rotate_left(23) ^ FACTOR) * u128::from(FACTOR | 1);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_same_in_every_build() {
        assert_eq!(
            [digest(b""), digest(b"seawall"), digest(b"a longer text, of more than eight bytes")],
            DIGESTS
        );
    }

    const DIGESTS: [u64; 3] = [0xa65b_0138_3f6b_39ae, 0x0452_f8a5_4d52_86e7, 0x2d87_78ee_e04a_4ec3];

    #[test]
    fn every_bit_counts() {
        let bytes: Vec<u8> = (0..37).collect();
        let whole = digest(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digest(&damaged), whole, "bit {bit}");
        }
        assert_ne!(digest(&bytes[..36]), whole);
        assert_ne!(digest(&[0; 8]), digest(&[0; 9]));
    }
}
