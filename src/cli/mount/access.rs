//! Flags: who may do what, and what is shown of whom.

use clap::builder::BoolishValueParser;

use crate::config::{Shown, UMASK, parse_mode};

/// Who may do what.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// Mount without the right to change anything
    #[arg(long, env = "DRIVEMOUNT_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub(super) read_only: bool,
    /// Let other users of the machine use the mount
    #[arg(long, env = "DRIVEMOUNT_ALLOW_OTHER", value_parser = BoolishValueParser::new())]
    pub(super) allow_other: bool,
    /// Number of the user who is shown as the owner of what has no owner of its own; default: who mounts
    #[arg(long, value_name = "NUMBER", env = "DRIVEMOUNT_UID")]
    uid: Option<u32>,
    /// Number of the group that is shown with it; default: the group of who mounts
    #[arg(long, value_name = "NUMBER", env = "DRIVEMOUNT_GID")]
    gid: Option<u32>,
    /// Permission bits, in octal, that files and folders which have none of their own are shown without
    #[arg(long, value_name = "MODE", env = "DRIVEMOUNT_UMASK", default_value = "022", value_parser = parse_mode)]
    umask: u32,
    /// Permission bits, in octal, of files that have none of their own; default: 666 without those of --umask
    #[arg(long, visible_alias = "file-perms", value_name = "MODE", env = "DRIVEMOUNT_FILE_MODE", value_parser = parse_mode)]
    file_mode: Option<u32>,
    /// Permission bits, in octal, of folders that have none of their own; default: 777 without those of --umask
    #[arg(long, visible_alias = "dir-perms", value_name = "MODE", env = "DRIVEMOUNT_DIR_MODE", value_parser = parse_mode)]
    dir_mode: Option<u32>,
}

impl AccessArgs {
    pub(super) fn shown(&self) -> Shown {
        debug_assert_eq!(parse_mode("022"), Ok(UMASK));
        Shown::new(self.uid, self.gid, self.umask, self.file_mode, self.dir_mode)
    }
}
