//! What happens between the rounds of a run, and while they last: trouble, kills, remounts, lost machines, other machines.

use std::time::Duration;

use crate::machine::Machine;
use crate::picture;
use crate::run::Run;
use crate::worker::Worker;

/// What goes wrong on the way to the drive, by chance: none of it may change anything but the time that it takes.
const TROUBLES: [&[&str]; 12] = [
    &["*:latency,ms=0-40"],
    &["*:bandwidth,up=8M,down=8M"],
    &["*:answer,status=503,share=0.2", "*:answer,status=500,body=empty,share=0.1"],
    &[
        "*:answer,status=403,reason=userRateLimitExceeded,share=0.1,times=4",
        "*:answer,status=429,body=html,share=0.1,times=4",
    ],
    &["*:cut-request,after=0-400000,share=0.2", "*:cut-request,after=0-300,share=0.2"],
    &["files.get_media+revisions.get_media:cut-answer,after=0-400000,share=0.3", "*:cut-answer,after=0-400,share=0.2"],
    &["*:lose-answer,share=0.2"],
    &["uploads.send:expire-session,share=0.2", "uploads.send:store-less,share=0.4"],
    &["*:answer,status=502,body=html,done=true,share=0.2"],
    &["uploads.send:move-session,share=0.4"],
    &["*:short-page,size=1-3", "*:empty-page,share=0.3"],
    &["changes.list:lag,time=150ms", "*:answer,status=401,reason=authError,share=0.05"],
];

impl Run {
    pub(crate) fn set_trouble(&mut self, rules: &[&'static str]) {
        self.note(&format!("trouble {rules:?}"));
        self.trouble = rules.to_vec();
        self.cloud.make_trouble(rules);
    }

    pub(crate) fn choose_trouble(&mut self) {
        let mut rules = Vec::new();
        while self.dice.once_in(2) && rules.len() < 4 {
            rules.extend_from_slice(self.dice.choose::<&[&str]>(&TROUBLES));
        }
        self.counts.troubles += u64::from(!rules.is_empty());
        self.set_trouble(&rules);
    }

    /// While the processes work, somebody else does too, or the drive is gone for a while.
    pub(crate) fn meanwhile(&mut self) {
        if self.trouble.is_empty() && self.dice.once_in(8) {
            self.counts.outages += 1;
            self.note("outage");
            self.cloud.kill();
            std::thread::sleep(Duration::from_millis(self.dice.below(1500)));
            self.cloud.restart();
        } else {
            self.edit_elsewhere();
        }
    }

    /// Something happens while no process works.
    pub(crate) fn something_happens(&mut self) {
        match self.dice.below(100) {
            0..=24 => {}
            25..=34 => self.compare("between rounds"),
            35..=59 => self.flush_and_compare(),
            60..=74 => self.kill(),
            75..=79 => self.remount(),
            80..=82 => self.lose_machine(),
            83..=85 => self.look_from_another_machine(),
            _ => self.edit_on_both_sides(),
        }
    }

    pub(crate) fn flush_and_compare(&mut self) {
        // With the trouble, or without.
        if self.dice.once_in(2) {
            self.set_trouble(&[]);
        }
        self.flush();
        self.set_trouble(&[]);
        self.compare("flushed");
        self.compare_drive("flushed");
    }

    fn kill(&mut self) {
        self.make_safe();
        self.counts.kills += 1;
        self.note("kill");
        self.machine.kill();
        self.close_all();
        self.machine.mount(&self.cloud);
        self.compare("killed and mounted again");
    }

    fn remount(&mut self) {
        self.close_all();
        self.counts.remounts += 1;
        self.machine.unmount();
        self.set_trouble(&[]);
        self.compare_drive("unmounted");
        self.machine.mount(&self.cloud);
        self.compare("unmounted and mounted again");
    }

    fn lose_machine(&mut self) {
        self.close_all();
        self.counts.lost_machines += 1;
        self.flush();
        self.machine.kill();
        self.machine.lose_cache();
        self.set_trouble(&[]);
        self.machine.mount(&self.cloud);
        self.round_times();
        // How many names a file has is known when all folders are.
        let _known = picture::texts(&self.machine.drive());
        self.compare("flushed, and on a new machine");
    }

    fn look_from_another_machine(&mut self) {
        self.workers.iter_mut().for_each(Worker::close_all);
        self.memory.close_all();
        self.counts.second_machines += 1;
        self.set_trouble(&[]);
        self.flush();
        let other = Machine::with(&self.cloud);
        let _known = picture::texts(&other.drive());
        picture::compare(&self.memory, &other.drive(), "", 1_000_000)
            .unwrap_or_else(|difference| panic!("{self}, on another machine:\n{difference}"));
        other.unmount();
    }
}
