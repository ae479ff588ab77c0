//! Programs that copy, pack and walk trees.

use crate::both::{Both, Program};

/// A tree with what trees have: modes, links, times, names of all sorts, files without a byte, and a larger one.
macro_rules! with_a_tree {
    ($script:literal) => {
        concat!(
            r#"
            make() {
                mkdir -p "$1/src/deep/er" "$1/empty" "$1/private"
                for n in $(seq 40); do seq $n $((n * 50)) > "$1/src/$n.txt"; done
                cp "$1"/src/1*.txt "$1/src/deep/er/"
                : > "$1/src/nothing"
                seq 300000 > "$1/src/large"
                printf x > "$1/src/a name with spaces, 'quotes' and ümläuts 文"
                printf '#!/bin/sh\necho runs\n' > "$1/tool"
                chmod 755 "$1/tool"; chmod 600 "$1/src/2.txt"; chmod 444 "$1/src/3.txt"; chmod 4750 "$1/src/4.txt"; chmod 700 "$1/private"
                ln -s src/1.txt "$1/link"; ln -s ../src "$1/src/up"; ln -s nowhere "$1/dangling"
                find "$1" -depth -exec touch -h -d '2019-03-04 05:06:07.125' {} +
                touch -d '2001-01-01 01:01:01' "$1/src/5.txt"
            }
            "#,
            $script
        )
    };
}

#[test]
fn trees_are_packed_unpacked_copied_and_walked() {
    let mut both = Both::start();
    both.run(
        Program::new(
            "tar",
            with_a_tree!(
                r#"
                make tree
                tar --sort=name -cf tree.tar tree; tar --sort=name -czf tree.tgz tree; tar --sort=name -cJf tree.txz tree
                mkdir out; tar -xpf tree.tar -C out; diff -r --no-dereference tree out/tree; tar -df tree.tar -C out
                mkdir gz; tar -xzf tree.tgz -C gz; tar -tvf tree.tar
                echo more > more; touch -d 2019-01-01 more; tar -rf tree.tar more; tar -uf tree.tar more
                tar --delete -f tree.tar tree/link; tar -tf tree.tar | wc -l
                rm -r gz; touch -d 2019-01-01 tree.*
                "#
            ),
        )
        .times()
        .again("tar -df tree.tar -C . tree/src/1.txt; diff -r --no-dereference tree out/tree; out/tree/tool; sha256sum tree.tar tree.txz"),
    );
    both.run(
        Program::new(
            "zip",
            with_a_tree!(
                r#"
                make tree; rm tree/src/up; touch -d 2019-03-04 tree/src
                find tree | sort | zip -q -y -X tree.zip -@; find tree | sort | zip -q -y -X -0 stored.zip -@; unzip -tq tree.zip
                unzip -q tree.zip -d out; diff -r --no-dereference tree out/tree; unzip -p tree.zip tree/src/1.txt | tail -1
                zip -q -d tree.zip tree/src/2.txt; zip -q -u -X tree.zip tree/src/3.txt || true; unzip -l tree.zip
                stat -c '%n %s %Y' out/tree/src/*.txt; touch -d 2019-01-01 *.zip
                "#
            ),
        )
        .again("unzip -tq stored.zip; unzip -q -o stored.zip -d out; diff -r --no-dereference tree out/tree"),
    );
    both.run(
        Program::new(
            "rsync",
            with_a_tree!(
                r#"
                make tree
                rsync -a tree/ copy/; rsync -ai tree/ copy/; rsync -aicn --delete tree/ copy/
                make "$HOME/tree"; rsync -a "$HOME/tree/" from/; rsync -ai "$HOME/tree/" from/; rsync -a from/ "$HOME/back/"
                rsync -ai --delete from/ "$HOME/back/"
                echo changed >> copy/src/6.txt; rm copy/src/7.txt; echo new > copy/new
                rsync -ai --delete tree/ copy/; rsync -ai --inplace --no-whole-file --append-verify tree/ copy/
                rsync -a --link-dest=../copy tree/ linked/ 2>/dev/null || rsync -a tree/ linked/
                rsync -a --remove-source-files linked/ moved/; find linked -type f | wc -l
                rsync -a --partial --delay-updates --temp-dir=/tmp from/ delayed/; diff -r --no-dereference from delayed
                "#
            ),
        )
        .times()
        .again(r#"rsync -ai tree/ copy/; rsync -ai "$HOME/tree/" from/; rsync -aic --delete from/ "$HOME/back/""#),
    );
    both.run(
        Program::new(
            "cp, find and du",
            with_a_tree!(
                r#"
                make tree
                cp -a tree copy; diff -r --no-dereference tree copy; cp -r tree plain; rm -r plain; cp -a tree/src/large{,2}; cp -u tree/src/large{,2}
                find . | sort; find tree -newermt 2018-01-01 -type f | wc -l; find . -perm -4000; find . -type l -printf '%p %l\n' | sort
                find . -empty | sort; find . -size +1M | sort; { find -L tree -name 1.txt 2>&1 || true; } | sort; find . -xtype l | sort
                find tree -name '1*.txt' -print0 | xargs -0 wc -l | tail -1; find copy -name '2*' -delete; find copy -type d -exec chmod g+w {} +
                du -b --apparent-size tree/src/large; grep -rl 1999 tree | sort; find tree -type f ! -newermt 2020-01-01 -printf '%M %s %T@ %p\n' | sort
                stat -c '%n %s %a %F %U %Y' tree/tool tree/link tree/src/[1-5].txt; stat -c '%n %a %F' tree/*; md5sum tree/src/*.txt | md5sum; mkdir parents; cp -a --parents tree/src/deep parents; tree=$(realpath tree); cd "$tree/src/up/deep/er"; pwd -P | tail -c 9
                "#
            ),
        )
        .varies(&["tree/src/large2"])
        .again("find . | sort | md5sum; du -b tree/src/large; cp -a tree third; diff -r --no-dereference tree third; rm -rf copy"),
    );
    both.come_back();
}
