//! An upload that is interrupted goes on where the drive says it is.

use std::time::Duration;

use crate::cloud::{Cloud, eventually};
use crate::dice::{Dice, number};
use crate::machine::{Machine, bytes, write};

const SIZE: usize = 40 << 20;
const KILLS: u64 = 5;

/// The shortest piece that is sent of a file while it is written. Of one that broke, the drive keeps what is whole units of 256 KiB,
/// and has read some more.
const PIECE: u64 = 1 << 20;

#[test]
fn an_interrupted_upload_sends_at_most_one_piece_twice() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let mut dice = Dice::new(number("DRIVEMOUNT_TEST_KILL_SEED", 1), 1 << 50);
    // Slowly enough that each kill finds it under way.
    cloud.make_trouble(&["uploads.*:bandwidth,up=3M"]);
    cloud.call("DELETE", "/admin/meter", &[], None);
    let content = bytes(9, SIZE);
    write(machine.at("large"), &content);
    for _ in 0..KILLS {
        let before = sent(&cloud);
        eventually("it goes on", || {
            let item = machine.status()["unsent"]["items"][0].clone();
            (item["sent"].as_u64()? > 0 && item["state"] == "uploading").then_some(())
        });
        std::thread::sleep(Duration::from_millis(dice.below(500)));
        machine.kill();
        eventually("the drive has noticed", || (sent(&cloud) > before).then_some(()));
        machine.mount(&cloud);
    }
    cloud.make_trouble(&[]);
    machine.flush();
    assert!(cloud.content(&cloud.id("large")) == content);
    let sent = sent(&cloud);
    let twice = sent.checked_sub(SIZE as u64).unwrap_or_else(|| panic!("{sent} bytes cannot be all of it"));
    assert!(twice <= KILLS * PIECE, "{twice} bytes were sent twice for {KILLS} kills");
    let begun = cloud.call("GET", "/admin/meter", &[], None)["methods"]["uploads.start"]["requests"].clone();
    assert_eq!(begun, 1, "one session for all of it");
}

/// Bytes that the drive took on sessions.
fn sent(cloud: &Cloud) -> u64 {
    cloud.call("GET", "/admin/meter", &[], None)["methods"]["uploads.send"]["bytesIn"].as_u64().unwrap_or(0)
}
