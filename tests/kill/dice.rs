//! Chance that repeats.

/// Random numbers that are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    /// For the `stream`-th of several that must not be alike.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self((seed << 20 ^ stream).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        dice.below(2);
        dice.below(2);
        dice
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn size(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).expect("small")
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.size(from.len() as u64)]
    }

    /// Bytes of which no two are alike by more than chance; the same block again and again with its number, so that they cost little.
    pub(crate) fn content(&mut self, length: usize) -> Vec<u8> {
        const BLOCK: usize = 64 << 10;
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK.min(length) {
            block.extend_from_slice(&self.below(1 << 31).to_le_bytes()[..4]);
            // Most of what makes a file is not what makes it unlike others.
            let again = block.len().min(BLOCK / 16);
            block.extend_from_within(..again);
        }
        let mut content = Vec::with_capacity(length + BLOCK);
        for number in 0_u64.. {
            if content.len() >= length {
                break;
            }
            let start = content.len();
            content.extend_from_slice(&block);
            let end = (start + 8).min(content.len());
            content[start..end].copy_from_slice(&number.wrapping_add(self.0).to_le_bytes()[..end - start]);
        }
        content.truncate(length);
        content
    }
}

/// A number from the environment.
pub(crate) fn number(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")),
        Err(_) => otherwise,
    }
}
