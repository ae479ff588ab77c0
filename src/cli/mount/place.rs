//! Flags: what of the drive is mounted, and how that goes with what is there.

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};

use crate::config::{Docs, Keeper, ListAhead, Occupied, Passthrough, TreeSnapshot, UseTrash};

/// What of the drive is mounted, and over what.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Drive and mountpoint")]
pub(crate) struct PlaceArgs {
    /// Folder of the drive to mount as if it were all of it: its path, as data/sets or Shareddrives/Team/sets, or its id
    #[arg(long, value_name = "FOLDER_OR_ID", env = "DRIVEMOUNT_ROOT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) root: Option<String>,
    /// What documents of online editors (Google Docs, Sheets, Slides and so on) are shown as
    #[arg(long, value_name = "HOW", env = "DRIVEMOUNT_DOCS", value_enum, default_value_t)]
    pub(super) docs: Docs,
    /// What becomes of what is removed in the mount
    #[arg(long, value_name = "WHEN", env = "DRIVEMOUNT_USE_TRASH", value_enum, default_value_t)]
    pub(super) use_trash: UseTrash,
    /// Which folders of the drive are listed before somebody asks for them
    #[arg(long, value_name = "WHICH", env = "DRIVEMOUNT_LIST_AHEAD", value_enum, default_value_t)]
    pub(super) list_ahead: ListAhead,
    /// Whether the kernel reads files by itself that are whole in the cache
    #[arg(long, value_name = "WHEN", env = "DRIVEMOUNT_PASSTHROUGH", value_enum, default_value_t)]
    pub(super) passthrough: Passthrough,
    /// Whether the mount goes on when the process that serves it dies
    #[arg(long, value_name = "WHEN", env = "DRIVEMOUNT_KEEPER", value_enum, default_value_t)]
    pub(super) keeper: Keeper,
    /// What becomes of what is known of the drive: names, sizes, times, checksums
    #[arg(long, value_name = "WHAT", env = "DRIVEMOUNT_TREE_SNAPSHOT", value_enum, default_value_t)]
    pub(super) tree_snapshot: TreeSnapshot,
    /// Mount over a folder that holds files: they are hidden for as long as it is mounted
    #[arg(long, env = "DRIVEMOUNT_ALLOW_NON_EMPTY", value_parser = BoolishValueParser::new())]
    allow_non_empty: bool,
    /// Move what the mountpoint holds into the drive. It is removed from the folder below only when the drive has it; if the
    /// drive has another of the same name, both are kept
    #[arg(long, env = "DRIVEMOUNT_IMPORT_EXISTING", value_parser = BoolishValueParser::new())]
    import_existing: bool,
}

impl PlaceArgs {
    pub(super) fn occupied(&self) -> Occupied {
        match (self.import_existing, self.allow_non_empty) {
            (true, _) => Occupied::Import,
            (false, true) => Occupied::Hide,
            (false, false) => Occupied::Refuse,
        }
    }
}
