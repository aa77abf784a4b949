//! A hash that is the same in every process and every version: who shares a seed agrees on every key.

/// Hashes `bytes`: FNV-1a, then mixed so that every bit depends on every other. Keeps nobody from choosing
/// keys that collide.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let folded = bytes
        .iter()
        .fold(OFFSET ^ mix(seed), |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    mix(folded)
}

/// Spreads a number over all 64 bits; no two numbers give the same.
pub(super) fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_for_ever() {
        assert_eq!(hash(0, b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(hash(0, b"trunkline"), 0x0b6e_7320_2ed5_944f);
        assert_eq!(hash(1, b"trunkline"), 0x6953_009c_7cc0_ca9b);
    }

    #[test]
    fn one_bit_of_the_key_changes_about_half_of_the_hash() {
        let flipped: u32 = (0..64_u32)
            .map(|bit| (hash(0, &(1_u64 << bit).to_le_bytes()) ^ hash(0, &[0; 8])).count_ones())
            .sum();
        assert!((28 * 64..36 * 64).contains(&flipped), "{flipped}");
    }
}
