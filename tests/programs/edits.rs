//! Programs that change one file, each in its own way.

use crate::both::{Both, Program, python};

#[test]
fn editors_and_tools_save_as_on_a_disk() {
    python();
    let mut both = Both::start();
    both.run(
        Program::new(
            "vim",
            r#"
            seq 200 > file; chmod 640 file; ln -s file link
            vim="vim.tiny -Nu NONE -i NONE -es"
            $vim -c 'set directory=. noswapfile' -c '%s/^1/one/' -c wq file; head -3 file; stat -c %a file
            $vim -c 'set directory=. swapfile updatecount=1 backup writebackup backupcopy=no' -c 'normal Goend' -c wq file; ls -A; tail -1 file
            $vim -c 'set backup backupcopy=yes' -c '1d' -c wq link; head -1 file; test -L link
            $vim -c 'set writebackup backupcopy=auto' -c 'g/3/d' -c 'w other' -c 'w! file' -c 'q!' file; wc -l < file
            $vim -c 'set undofile undodir=.' -c '2d' -c wq file
            $OURS "$SCRIPTS/terminal.py" vim
            cat typed; ls -A | grep -v un~
            "#,
        )
        .varies(&[".file.un~"])
        .again(r#"vim.tiny -Nu NONE -i NONE -es -c 'normal Goagain' -c wq file; tail -1 file; $OURS "$SCRIPTS/terminal.py" vim; cat typed"#),
    );
    both.run(
        Program::new("nano", r#"seq 5 > file; $OURS "$SCRIPTS/terminal.py" nano; cat file typed; ls -A"#)
            .again(r#"$OURS "$SCRIPTS/terminal.py" nano; cat file typed"#),
    );
    both.run(
        Program::new(
            "small tools",
            r#"
            seq 100 > a; chmod 600 a; sed -i 's/^7/seven/' a; sed -i.bak '1,5d' a; stat -c '%n %a %s' a a.bak
            sort -r -o a a; head -2 a; sort -n -o sorted a.bak; shuf -n 3 --random-source=/etc/passwd -o some sorted; wc -l < some
            mv a b; mv -b a.bak b; mkdir d; mv b b~ d; mv d/b d/c; mv -n d/c d/b~; mv -T d e; ls e; cp e/c e/d; mv -f e/d e/c
            ln -s e/c link; ln -sf e link2; ln -sfn e/b~ link2; readlink link link2; cat link | wc -l; echo more >> link; tail -1 e/c; rm link2
            dd if=/dev/zero of=zeros bs=1M count=3 status=none; dd if=e/c of=zeros bs=1 seek=1000 conv=notrunc status=none; dd if=zeros bs=1000 skip=1 count=1 status=none | head -1
            dd if=/dev/zero of=synced bs=64k count=8 oflag=sync status=none; dd if=/dev/zero of=direct bs=4k count=8 oflag=dsync conv=fsync status=none
            dd if=zeros of=direct bs=4k count=8 iflag=direct oflag=direct status=none
            truncate -s 5M long; truncate -s -1M long; truncate -s 10 e/c; stat -c '%n %s' zeros long e/c; truncate -s %4096 long; fallocate -l 100k room; fallocate -p -o 4096 -l 8192 zeros
            split -n 5 zeros part.; cat part.* | cmp - zeros; split -l 10 sorted lines.; csplit -s sorted 20 40; cat xx0* | cmp - sorted
            tee t1 t2 < sorted > /dev/null; cmp t1 t2; echo appended | tee -a t1 > /dev/null; tail -1 t1; shred -u -n 1 t2; comm -3 t1 sorted
            gzip -k sorted; gzip -dc sorted.gz | cmp - sorted; xz -k sorted; bzip2 -k sorted 2>/dev/null || true; rm -f sorted.bz2; gzip -d -f sorted.gz; awk -i inplace 1 t1 2>/dev/null || true
            ( exec 9> lock; flock -n 9; flock -n lock true || echo locked ); flock lock echo free; perl -pi -e 's/1/one/' t1; head -1 t1; touch -r sorted -m t1; test ! t1 -nt sorted; mkfifo "$HOME/pipe"; cat sorted > "$HOME/pipe" & cat "$HOME/pipe" > piped; wait; cmp piped sorted
            mktemp -p . | wc -l; rm tmp.*; rm -r e link; mkdir -p p/q/r; rmdir -p p/q/r; rm -f part.* lines.* xx0*; test -w .; ls
            "#,
        )
        .again("cat sorted | md5sum; sed -i 1d sorted; sort -o sorted sorted; truncate -s 100 zeros; echo more >> zeros; md5sum *"),
    );
    both.run(Program::new(
        "tail -f",
        r#"
        : > log; tail -s 0.05 -n +1 -f log > seen & tail=$!
        : > rotated; tail -s 0.05 -n +1 -F rotated > "$HOME/seen" 2> /dev/null & other=$!
        until_lines() { timeout 60 sh -c "until [ \$(wc -l < '$2') -ge $1 ]; do sleep 0.05; done" || { cat "$2"; exit 1; }; }
        for n in $(seq 50); do echo line $n >> log; echo line $n >> rotated; done
        until_lines 50 seen; until_lines 50 "$HOME/seen"
        mv rotated rotated.1; for n in $(seq 51 60); do echo line $n >> rotated; echo line $n >> log; done
        until_lines 60 seen; until_lines 60 "$HOME/seen"
        kill $tail $other; wait || true
        cmp seen log; cmp "$HOME/seen" log; tail -c 20 log; head -c 20 log
        "#,
    ));
    both.come_back();
}
