//! What takes the room, and so whether waiting helps.

use super::{Lack, Outlook};
use crate::tree::Ino;
use crate::writeback::Writeback;

/// What takes the room.
#[derive(Debug, Default)]
pub(super) struct Takers {
    /// In files that are open.
    pub(super) open: u64,
    /// In files that can be sent.
    pub(super) sendable: u64,
    /// In files that the drive refuses.
    pub(super) stuck: u64,
    /// Why the largest of these is not sent.
    pub(super) reason: Option<(u64, String)>,
    /// Why one that is tried again soon was not sent.
    pub(super) trouble: Option<String>,
}

impl Takers {
    /// What they mean for somebody who lacks this.
    pub(super) fn outlook(self, lack: Lack, limit: u64) -> Outlook {
        let helps = match lack {
            Lack::Cap => self.open + self.stuck <= limit && self.sendable > 0,
            Lack::Disk => self.sendable > 0,
        };
        match lack {
            _ if helps => Outlook::Wait,
            Lack::Cap if self.open >= self.stuck => Outlook::GoOn,
            _ => Outlook::Refuse(match self.reason {
                Some((_, reason)) if self.stuck > 0 => {
                    format!("files that cannot be sent take the room: {reason}")
                }
                _ => "the disk of the cache folder is full".to_owned(),
            }),
        }
    }
}

impl Writeback {
    /// What takes the room now.
    pub(super) fn takers(&self) -> Takers {
        let held: Vec<(Ino, u64)> =
            self.stagings.space.held.lock().by_entry.iter().map(|(&ino, &bytes)| (ino, bytes)).collect();
        let open = self.stagings.opened();
        let queue = self.queue.inner.lock();
        let mut takers = Takers::default();
        for (ino, bytes) in held {
            if open.contains(&ino) {
                takers.open += bytes;
            } else if queue.is_hopeless(ino) {
                takers.stuck += bytes;
                let known = takers.reason.as_ref().map_or(0, |(most, _)| *most);
                if let Some(failure) = queue.failure(ino).filter(|_| bytes > known) {
                    takers.reason = Some((bytes, failure.message.clone()));
                }
            } else {
                takers.sendable += bytes;
                if takers.trouble.is_none() {
                    takers.trouble = queue.failure(ino).map(|failure| failure.message.clone());
                }
            }
        }
        takers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 100;

    fn takers(open: u64, sendable: u64, stuck: u64) -> Takers {
        let reason = (stuck > 0).then(|| (stuck, "no permission".to_owned()));
        Takers { open, sendable, stuck, reason, trouble: None }
    }

    #[test]
    fn waiting_is_for_what_will_make_room() {
        for (takers, expected) in [
            (takers(50, 51, 0), Outlook::Wait),
            (takers(0, 101, 0), Outlook::Wait),
            // What is sent would not be enough, and what is open has no other place.
            (takers(101, 5, 0), Outlook::GoOn),
            (takers(100, 0, 1), Outlook::GoOn),
        ] {
            assert_eq!(takers.outlook(Lack::Cap, LIMIT), expected);
        }
        for (takers, reason) in [(takers(1, 0, 100), "no permission"), (takers(40, 10, 61), "no permission")] {
            assert!(matches!(takers.outlook(Lack::Cap, LIMIT), Outlook::Refuse(why) if why.contains(reason)));
        }
        assert_eq!(takers(1000, 1, 1000).outlook(Lack::Disk, LIMIT), Outlook::Wait, "it is a place on the disk");
        assert!(matches!(takers(1000, 0, 0).outlook(Lack::Disk, LIMIT), Outlook::Refuse(why) if why.contains("disk")));
    }
}
