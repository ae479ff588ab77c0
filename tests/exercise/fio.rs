//! fio: several jobs write blocks that bear their checksums, and read them back.

use std::process::Command;

use crate::cloud::Cloud;
use crate::dice::number;
use crate::drive::{has, on_an_empty_cache, trouble, troubled};
use crate::machine::{Machine, names, run, said};

/// The jobs on a mount, writing and verifying, or verifying alone.
fn fio(machine: &Machine, more: &[&str]) {
    let mebibytes = number("DRIVEMOUNT_TEST_FIO", 2);
    let mut fio = Command::new("fio");
    // What it notes of its own goes where nobody looks for files of the drive.
    fio.current_dir(machine.cache().parent().expect("a folder"));
    fio.arg(format!("--directory={}", machine.drive().display())).arg(format!("--size={mebibytes}m"));
    fio.args(["--bs=4k", "--rw=randwrite", "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0"]).args(more);
    fio.args(["--filename_format=$jobname.$jobnum"]);
    fio.args(["--name=plain", "--ioengine=psync", "--numjobs=2"]);
    fio.args(["--name=mixed", "--ioengine=psync", "--bsrange=1k-64k", "--bs_unaligned=0", "--rw=randrw"]);
    fio.args(["--name=synced", "--ioengine=psync", "--fsync=64"]);
    fio.args(["--name=direct", "--ioengine=psync", "--direct=1"]);
    fio.args(["--name=mapped", "--ioengine=mmap", "--numjobs=2"]);
    fio.args(["--name=appended", "--ioengine=psync", "--rw=write", "--bs=16k"]);
    let output = run(&mut fio);
    assert!(output.status.success() && !said(&output).contains("verify: bad"), "{fio:?}\n{}", said(&output));
}

#[test]
fn blocks_that_several_jobs_write_are_verified_here_and_on_an_empty_cache() {
    let cloud = Cloud::start();
    let machine = troubled(&cloud);
    fio(&machine, &[]);
    has(&cloud, &machine, &names(machine.drive()));
    trouble(&cloud);
    on_an_empty_cache(&cloud, &machine);
    fio(&machine, &["--verify_only"]);
}
