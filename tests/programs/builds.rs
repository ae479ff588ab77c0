//! Projects that are built where they are kept.

use crate::both::{Both, Program};

#[test]
fn projects_are_built_and_built_again_only_where_something_changed() {
    let mut both = Both::start();
    both.run(
        Program::new(
            "make and gcc",
            r#"
            mkdir src
            for n in $(seq 8); do
                printf '#include "all.h"\nint f%d(int x) { return x + %d + SHIFT; }\n' $n $n > src/f$n.c
            done
            { printf '#define SHIFT 1\n'; for n in $(seq 8); do printf 'int f%d(int);\n' $n; done; } > src/all.h
            { printf '#include <stdio.h>\n#include "all.h"\nint main(void) { int x = 0;\n'; for n in $(seq 8); do printf 'x = f%d(x);\n' $n; done
              printf 'printf("%%d\\n", x); return 0; }\n'; } > src/main.c
            {
                printf 'objects := $(patsubst src/%%.c,build/%%.o,$(wildcard src/*.c))\n'
                printf 'build/program: build/main.o build/lib.a\n\tgcc -o $@ $^\n'
                printf 'build/lib.a: $(filter-out build/main.o,$(objects))\n\trm -f $@\n\tar rcs $@ $^\n'
                printf 'build/%%.o: src/%%.c src/all.h | build\n\tgcc -O1 -c -o $@ $<\nbuild:\n\tmkdir -p $@\nclean:\n\trm -rf build\n'
            } > Makefile
            make -j1; build/program; make; make -q
            touch src/f3.c; make; make
            sed -i 's/SHIFT 1/SHIFT 2/' src/all.h; make -j4 > parallel.txt; wc -l < parallel.txt; build/program; make
            make clean; make -j4 -s; build/program; make
            cp build/program copied; ./copied; strip copied; ./copied
            gcc -shared -fPIC -o build/libf.so src/f1.c; gcc -E src/main.c | tail -1
            rm parallel.txt
            "#,
        )
        .again("make; build/program; touch src/all.h; make -s; build/program; make; ./copied"),
    );
    both.run(Program::new(
        "patch, install and diff",
        r#"
        mkdir old new; for n in 1 2 3; do seq 100 > old/$n; sed "s/^5$n\$/changed/" old/$n > new/$n; done; echo added > new/4
        diff -ruN old new > change.patch || true; sed -i 's/\t20.*//' change.patch
        patch -d old -p1 -i ../change.patch; diff -r old new; patch -R -b -d old -p1 -i ../change.patch; ls -a old
        patch -d old -p1 --dry-run -i ../change.patch
        sed -i 's/^50$/in the way/' old/1; patch -d old -p1 -i ../change.patch || true; ls -a old
        install -d -m 750 to/deep; install -m 640 new/1 to/deep/1; install -D -b new/2 to/other/2; install -D -b new/3 to/other/2; find to -printf '%M %p\n' | sort
        install -C -v new/1 to/deep/1; install -p -m 755 -s /bin/true to/true; to/true
        "#,
    ));
    both.come_back();
}
