//! Libraries for data sets and models, in what they write: each is a large package, so they run when they are asked for.

use crate::both::{Both, Program, asked_for_all, python};

#[test]
fn tables_and_databases_of_columns_are_written_and_read() {
    if !asked_for_all() {
        return;
    }
    python();
    let mut both = Both::start();
    both.run(
        Program::new("pandas", r#"$OURS "$SCRIPTS/large.py" pandas"#)
            .again(r#"$OURS "$SCRIPTS/large.py" pandas_again"#),
    );
    both.run(
        Program::new("duckdb", r#"$OURS "$SCRIPTS/large.py" duckdb"#)
            .varies(&["*.duckdb", "*.wal", "*.parquet"])
            .again(r#"$OURS "$SCRIPTS/large.py" duckdb_again"#),
    );
    both.come_back();
}

#[test]
fn data_sets_are_saved_mapped_and_cached() {
    if !asked_for_all() {
        return;
    }
    python();
    let mut both = Both::start();
    both.run(
        // Names in the cache come from the paths of what was loaded, and from times.
        Program::new("datasets", r#"$OURS "$SCRIPTS/large.py" datasets"#)
            .varies(&["cache/*", "home/*", "*/state.json", "saved/cache-*", "saved/train/cache-*"])
            .again(r#"$OURS "$SCRIPTS/large.py" datasets_again"#),
    );
    both.run(
        Program::new("huggingface_hub", r#"$OURS "$SCRIPTS/large.py" hub"#)
            .varies(&["cache/*.json", "local/.cache/*", "home/*"])
            .again(r#"$OURS "$SCRIPTS/large.py" hub_again"#),
    );
    both.come_back();
}

#[test]
fn models_and_logs_of_a_training_are_saved_and_read() {
    if !asked_for_all() {
        return;
    }
    python();
    let mut both = Both::start();
    both.run(
        Program::new("torch", r#"$SYSTEM "$SCRIPTS/training.py" train"#)
            .again(r#"$SYSTEM "$SCRIPTS/training.py" go_on"#),
    );
    both.run(
        Program::new("tensorboard", r#"$OURS "$SCRIPTS/large.py" tensorboard 2>/dev/null"#)
            .varies(&["logs/*"])
            .again(r#"$OURS "$SCRIPTS/large.py" tensorboard_again 2>/dev/null"#),
    );
    both.come_back();
}
