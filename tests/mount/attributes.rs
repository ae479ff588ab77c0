//! Modes, owners, times and errnos: as the local file system has them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::cloud::{Cloud, eventually};
use crate::machine::{Disk, Machine, run, said, sh, write};

/// Runs a script in a folder of a local file system and in one on a mount; both must say the same, which is returned.
fn same_as_on_a_disk(machine: &Machine, script: &str) -> String {
    // Smaller ones have smaller blocks, and shorter links.
    let disk = Disk::ext4(machine.drive().with_file_name("disk"), 600);
    sh(&format!("chmod 755 {} {}", machine.drive().parent().expect("folder").display(), disk.path().display()));
    let said =
        |folder: &Path| sh(&format!("mkdir -m 755 {0}/test && cd {0}/test && umask 022 && {script}", folder.display()));
    let (there, here) = (said(disk.path()), said(&machine.drive()));
    assert_eq!(here, there, "{script}");
    here
}

/// As somebody who is not the superuser and owns nothing here but what it makes.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups";

#[test]
fn a_setgid_folder_passes_its_group_on() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let shown = same_as_on_a_disk(
        &machine,
        "mkdir shared && chgrp 2345 shared && chmod 2775 shared && cd shared
         touch file && mkdir folder && mkfifo fifo && ln -s x link && touch folder/deep && mkdir folder/deeper
         cd .. && find shared -printf '%p %m %G\\n' | sort",
    );
    assert!(shown.contains("shared/folder 2755 2345") && shown.contains("shared/folder/deeper 2755 2345"), "{shown}");
    machine.flush();
    let other = Machine::with(&cloud);
    let deep = fs::metadata(other.at("test/shared/folder/deep")).expect("stat");
    assert_eq!((deep.gid(), deep.mode() & 0o7777), (2345, 0o644));
}

#[test]
fn bits_that_give_rights_end_with_the_content_or_the_owner_that_they_were_given_to() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let script = format!(
        "for how in written cut emptied owned grouped marked; do
             touch $how && chown 65534:65534 $how && chmod 6777 $how
         done
         {NOBODY} sh -c 'echo x >> written; truncate -s 5 cut; : > emptied'
         chown 1 owned; chgrp 1 grouped
         chmod 2767 marked && {NOBODY} sh -c 'echo x >> marked'
         touch kept && chmod 6777 kept && echo x >> kept && truncate -s 1 kept && : > kept
         stat -c '%n %a' *"
    );
    let shown = same_as_on_a_disk(&machine, &script);
    assert!(shown.contains("emptied 777") && shown.contains("written 777") && shown.contains("kept 6777"), "{shown}");
}

#[test]
fn the_sticky_bit_keeps_entries_for_their_owners() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let script = format!(
        "mkdir -m 1777 common && touch common/mine common/other && cd common
         {NOBODY} rm -f mine 2>&1 || true
         {NOBODY} mv mine taken 2>&1 || true
         {NOBODY} sh -c 'touch theirs && rm theirs && touch left'
         ls"
    );
    let shown = same_as_on_a_disk(&machine, &script);
    assert!(shown.contains("not permitted") && shown.ends_with("left\nmine\nother\n"), "{shown}");
}

/// What moved of an entry while something was done: `m`, `c`.
const MOVES: &str = r#"
moves() { # FILES -- COMMAND...
    files=; while [ "$1" != -- ]; do files="$files $1"; shift; done; shift
    for file in $files; do stat -c '%y|%z' "$file" > ".was.$file"; done
    sleep 0.02; "$@"; out="$*:"
    for file in $files; do
        now=$(stat -c '%y|%z' "$file" 2>/dev/null) || continue; was=$(cat ".was.$file")
        out="$out $file="
        [ "${now%|*}" = "${was%|*}" ] || out="${out}m"
        [ "${now#*|}" = "${was#*|}" ] || out="${out}c"
    done
    echo "$out"
}"#;

#[test]
fn times_move_as_on_a_disk() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let script = format!(
        "{MOVES}
         mkdir a b d && touch f g a/x b/y d/z
         moves f -- chmod 600 f
         moves f -- chown 1:1 f
         moves f -- truncate -s 3 f
         moves f -- touch -d '2001-02-03 04:05:06.789' f
         moves f -- touch -a f
         moves a -- touch a/new
         moves a -- rm a/new
         moves a -- mkdir a/sub
         moves a -- rmdir a/sub
         moves a b -- mv a/x b/x
         moves a b -- mv b/x a/x
         moves b -- mv b/y b/renamed
         moves g -- mv f g
         moves d -- mkfifo d/fifo
         moves d -- ln -s to d/link
         stat -c '%Y %n' g; stat -c '%y' g | cut -c1-29"
    );
    let shown = same_as_on_a_disk(&machine, &script);
    assert!(shown.contains("mv a/x b/x: a=mc b=mc") && shown.contains("chmod 600 f: f=c"), "{shown}");
}

#[test]
fn times_of_this_machine_last_over_remounts_to_the_nanosecond() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    fs::create_dir(machine.at("folder")).expect("makes");
    for name in ["folder/file", "other"] {
        write(machine.at(name), b"x");
    }
    sh(&format!(
        "cd {} && mkfifo fifo && chmod 600 folder/file && touch -d '2001-02-03 04:05:06.123456789' other",
        machine.drive().display()
    ));
    let times = || {
        ["folder", "folder/file", "other", "fifo"].map(|name| {
            let found = fs::metadata(machine.at(name)).expect("stat");
            (name, found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
        })
    };
    let before = times();
    assert_eq!((before[2].1, before[2].2), (981_173_106, 123_456_789));
    machine.flush();
    machine.unmount();
    machine.mount(&cloud);
    assert_eq!(times(), before);
}

#[test]
fn errors_have_the_numbers_that_the_manual_gives_them() {
    let cloud = Cloud::start();
    let machine = Machine::with_flags(&cloud, &["--allow-other"]);
    let python = r"
import errno, os
def tell(what, *arguments, **more):
    try: result = getattr(os, what)(*arguments, **more)
    except OSError as error: result = errno.errorcode[error.errno]
    if isinstance(result, int) and what == 'open': result = 'opened'
    print(what, [str(a)[:20] for a in arguments], result if not isinstance(result, str) else result[:12])
long, path = 'n' * 256, 'p' * 4095
os.mkdir('folder'); os.mkdir('folder/in'); os.mkdir('empty'); open('file', 'w').close()
os.symlink('loop', 'loop'); os.symlink('file', 'link'); os.symlink(path, 'far')
tell('mkdir', long); tell('open', long, os.O_CREAT | os.O_WRONLY); tell('rename', 'file', long); tell('symlink', 'x', long)
tell('mkdir', 'n' * 255); tell('rmdir', 'n' * 255); tell('readlink', 'far'); tell('symlink', 'p' * 4096, 'farther')
tell('stat', 'far'); tell('open', 'loop', os.O_RDONLY); tell('stat', 'loop/x'); tell('open', 'link', os.O_RDONLY | os.O_NOFOLLOW)
tell('open', 'file/x', os.O_RDONLY); tell('mkdir', 'file/x'); tell('rmdir', 'file'); tell('open', 'file', os.O_RDONLY | os.O_DIRECTORY)
tell('unlink', 'folder'); tell('open', 'folder', os.O_WRONLY); tell('truncate', 'folder', 1); tell('rename', 'file', 'folder')
tell('rename', 'folder', 'file'); tell('rename', 'empty', 'folder'); tell('rename', 'folder', 'folder/in/deeper')
tell('rmdir', 'folder'); tell('rmdir', '.'); tell('readlink', 'file'); tell('truncate', 'file', -1)
tell('mkdir', 'folder'); tell('symlink', 'x', 'file'); tell('mkfifo', 'file'); tell('open', 'file', os.O_CREAT | os.O_EXCL)
tell('stat', 'none'); tell('unlink', 'none'); tell('rmdir', 'none'); tell('rename', 'none', 'x'); tell('open', 'none/x', os.O_CREAT)
tell('link', 'folder', 'hard'); tell('rename', 'file', '/dev/shm/elsewhere'); tell('mknod', 'x', 0o100644)
os.system('cp /bin/sleep run'); pid = os.spawnl(os.P_NOWAIT, './run', 'run', '30')
while os.readlink(f'/proc/{pid}/exe') != os.path.abspath('run'): pass
tell('open', 'run', os.O_WRONLY); tell('open', 'run', os.O_RDONLY | os.O_TRUNC); tell('truncate', 'run', 0)
print(os.path.getsize('run') > 0); os.kill(pid, 9); os.waitpid(pid, 0)
";
    write(machine.drive().with_file_name("tell.py"), python);
    let script = format!("python3 {}", machine.drive().with_file_name("tell.py").display());
    let told = same_as_on_a_disk(&machine, &script);
    assert!(told.contains("ETXTBSY") && told.contains("ENAMETOOLONG") && told.contains("EXDEV"), "{told}");
}

#[test]
fn a_mount_for_reading_says_so_to_everything_that_changes() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    cloud.upload("file", &folder, b"x");
    let machine = Machine::with_flags(&cloud, &["--read-only"]);
    for command in [
        "mkdir new",
        "mkfifo new",
        "mknod new c 1 3",
        "ln -s x new",
        "touch new",
        "rm -f file",
        "mv file new",
        "chmod 600 file",
        "chown 1 file",
        "truncate -s 0 file",
        ": > file",
        "touch -d 2001-01-01 file",
    ] {
        let output = run(Command::new("bash").args(["-c", command]).current_dir(machine.at("folder")));
        assert!(
            !output.status.success() && said(&output).contains("Read-only file system"),
            "{command}: {}",
            said(&output)
        );
    }
}

#[test]
fn files_without_a_name_work_as_far_as_programs_ask_for_them() {
    let cloud = Cloud::start();
    let machine = Machine::with(&cloud);
    let python = r"
import os, tempfile
with tempfile.TemporaryFile() as file:
    file.write(b'x' * 100000); file.flush(); os.lseek(file.fileno(), 0, 0)
    assert file.read() == b'x' * 100000 and os.fstat(file.fileno()).st_nlink == 0
try: os.open('.', os.O_TMPFILE | os.O_RDWR)
except OSError as error: print(error.errno, os.listdir('.'))
";
    let program = r#"
#include <stdio.h>
int main(void) { FILE *file = tmpfile(); char text[9] = ""; if (!file) return 1;
    fputs("through", file); rewind(file); if (!fgets(text, 9, file)) return 2; puts(text); return 0; }
"#;
    write(machine.drive().with_file_name("t.py"), python);
    write(machine.drive().with_file_name("t.c"), program);
    let told = sh(&format!(
        "cd {0} && export TMPDIR={0} && python3 ../t.py && cc -o ../t ../t.c && ../t",
        machine.drive().display()
    ));
    assert_eq!(told, format!("{} []\nthrough\n", libc::EOPNOTSUPP));
    machine.flush();
    assert!(cloud.all().is_empty(), "nothing of them goes to the drive");
}

#[test]
fn folders_that_come_and_go_elsewhere_are_counted() {
    let cloud = Cloud::start();
    let folder = cloud.make_folder("folder", &cloud.root());
    let machine = Machine::with(&cloud);
    let links = || fs::metadata(machine.at("folder")).expect("stat").nlink();
    assert_eq!(fs::read_dir(machine.at("folder")).expect("lists").count(), 0);
    assert_eq!(links(), 2);
    let within = cloud.make_folder("within", &folder);
    cloud.upload("file", &folder, b"x");
    eventually("it is counted", || (links() == 3).then_some(()));
    cloud.trash(&within);
    eventually("it is not counted any more", || (links() == 2).then_some(()));
    fs::create_dir(machine.at("folder/ours")).expect("makes");
    assert_eq!(links(), 3);
}
