//! Repositories kept on the drive.

use crate::both::{Both, Program};

#[test]
fn repositories_are_made_cloned_packed_and_used_again() {
    let mut both = Both::start();
    both.run(
        // The index tells of numbers and times of the files; packs of what was made in parallel.
        Program::new(
            "git",
            r#"
            export GIT_AUTHOR_DATE='2020-02-02T02:02:02Z' GIT_COMMITTER_DATE='2020-02-02T02:02:02Z'
            git config --global user.name me
            git config --global user.email me@example.org
            git config --global init.defaultBranch main
            git config --global pack.threads 1
            git init -q origin
            cd origin
            for n in $(seq 12); do
                mkdir -p folder$((n % 4))/deep
                for m in $(seq 10); do seq $((n * m)) $((n * m + 200)) > folder$((n % 4))/deep/$m.txt; done
                git add --all
                git commit -q -m "commit $n"
            done
            ln -s folder1/deep link; printf '#!/bin/sh\necho runs\n' > tool; chmod +x tool
            git add --all; git commit -q -m 'a link and a tool'; ./tool
            git branch other HEAD~3; git checkout -q other; echo other > other.txt
            git add --all; git commit -q -m other
            git checkout -q main; git merge -q -m merged other
            git rebase -q HEAD~2 2>&1 | tail -1
            git tag -a -m tagged v1
            echo unfinished >> folder1/deep/1.txt; git stash -q; git status --porcelain; git stash list; git stash pop -q
            git diff --stat; git checkout -q -- .
            git log --oneline --graph --all
            git gc -q; cd ..
            git clone -q --local origin local; git clone -q "file://$PWD/origin" clone; git clone -q --bare --local origin bare.git
            git -C local fsck --strict; git -C clone fsck --strict
            cd clone
            git worktree add -q ../tree -b tree; echo tree > ../tree/tree.txt; git -C ../tree add tree.txt
            git -C ../tree commit -q -m 'in a tree'; git worktree list | sed 's/ .*//'
            git worktree remove ../tree; git worktree prune
            git push -q origin tree; git merge -q tree; git repack -q -a -d; git gc -q --prune=now; git fsck --full --strict
            git fetch -q; git status --porcelain --branch
            git grep -c 150
            cd ../origin
            git rm -q -r folder0; git commit -q -m removed; git revert --no-edit HEAD > /dev/null; git clean -fdx; git status --short
            git gc -q; git fsck --strict; git count-objects -v
            "#,
        )
        .varies(&["*.git/index", "*.mtimes"])
        .again(
            r"
            for repository in origin local clone; do
                git -C $repository status --porcelain --branch
                git -C $repository fsck --strict
                git -C $repository log --oneline | wc -l
            done
            cd clone
            export GIT_AUTHOR_DATE='2020-02-03T02:02:02Z' GIT_COMMITTER_DATE='2020-02-03T02:02:02Z'
            echo again > again.txt; git add again.txt; git commit -q -m again; git push -q origin main:again; git pull -q --rebase
            git -C ../bare.git fetch -q ../clone main:more; git -C ../bare.git fsck; git log -1 --format=%H
            ",
        ),
    );
    both.come_back();
}
