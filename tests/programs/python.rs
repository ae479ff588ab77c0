//! Python kept on the drive, and what its programs do with files.

use crate::both::{Both, Program, asked_for_all, python};

#[test]
fn an_environment_is_made_filled_and_used_again() {
    python();
    let mut both = Both::start();
    both.run(
        Program::new(
            "venv",
            r#"
            $OURS "$SCRIPTS/packages.py" packages
            $OURS -m venv venv
            pip="venv/bin/pip --disable-pip-version-check --no-color --cache-dir cache"
            $pip install -q --no-index --find-links packages tiny-wheel
            $pip install -q --no-index --find-links packages --no-build-isolation tiny-source; $pip cache list --format=abspath | grep -c tiny
            venv/bin/tiny-wheel; venv/bin/tiny-source
            $pip install -q --no-index --find-links packages --target target tiny-wheel; PYTHONPATH=target $OURS -c 'import tiny_wheel; tiny_wheel.main()'
            . venv/bin/activate; python -c 'import sys, tiny_source; print(sys.prefix, tiny_source.__file__)'
            find venv -type f | wc -l; find venv -name '*.pyc' | wc -l
            "#,
        )
        // Compiled files tell when their sources were written, records the checksums of programs with a path in them, and the cache of
        // pip is named after paths.
        .varies(&["*.pyc", "*/RECORD", "*.tar.gz", "cache/*"])
        .again(
            r#"
            venv/bin/tiny-wheel; venv/bin/tiny-source; pip="venv/bin/pip --disable-pip-version-check --no-color --cache-dir cache"
            $pip uninstall -q -y tiny-source; venv/bin/tiny-source 2>/dev/null || echo gone
            $pip install -v --no-index --find-links packages --no-build-isolation tiny-source | grep -c 'Using cached'; venv/bin/tiny-source; $pip list --format=freeze
            "#,
        ),
    );
    both.come_back();
}

#[test]
fn locks_hold_between_processes_and_arrays_are_changed_in_place() {
    python();
    let mut both = Both::start();
    // Eight thousand takes a while on a machine that is busy.
    let filelock = if asked_for_all() {
        r#"$OURS "$SCRIPTS/locks.py" filelock 8 1000; $OURS "$SCRIPTS/locks.py" soft 4 50"#
    } else {
        r#"$OURS "$SCRIPTS/locks.py" filelock 8 100; $OURS "$SCRIPTS/locks.py" soft 4 20"#
    };
    both.run(Program::new("filelock", filelock).again(r#"$OURS "$SCRIPTS/locks.py" filelock 4 25"#));
    both.run(Program::new(
        "fcntl and flock",
        r#"for kind in flock lockf ranges; do $OURS "$SCRIPTS/locks.py" $kind 4 60; done; $OURS "$SCRIPTS/locks.py" killed 1 1"#,
    ));
    both.run(
        Program::new("numpy", r#"$OURS "$SCRIPTS/arrays.py" numpy"#).again(r#"$OURS "$SCRIPTS/arrays.py" numpy_again"#),
    );
    both.run(
        Program::new("h5py", r#"$OURS "$SCRIPTS/arrays.py" h5py"#)
            .varies(&["*.h5"])
            .again(r#"$OURS "$SCRIPTS/arrays.py" h5py_again"#),
    );
    both.come_back();
}
