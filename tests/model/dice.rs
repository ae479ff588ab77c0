//! Random numbers that are the same for the same seed.

use serde::{Deserialize, Serialize};

use crate::machine::bytes;

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("small")
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    /// A content of mostly a few bytes, sometimes of several blocks, and seldom so large that it is uploaded in pieces.
    pub(crate) fn content(&mut self) -> Content {
        let length = match self.below(1000) {
            0 if self.once_in(8) => 16_800_000 + self.below(3_000_000),
            0 | 1 => 5_300_000 + self.below(3_000_000),
            2..=30 => 200_000 + self.below(200_000),
            31..=150 => *self.choose(&[0, 1, 4096, 65_536, 70_000]),
            _ => self.below(2000),
        };
        self.content_of(length)
    }

    pub(crate) fn content_of(&mut self, length: u64) -> Content {
        Content { seed: self.0, length: usize::try_from(length).expect("small") }
    }
}

/// Bytes, told by what they are made from.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) seed: u64,
    pub(crate) length: usize,
}

impl Content {
    pub(crate) fn bytes(self) -> Vec<u8> {
        bytes(self.seed, self.length)
    }
}
