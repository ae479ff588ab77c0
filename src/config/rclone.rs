//! Where rclone keeps its configuration.

use std::path::PathBuf;

use super::{absolute, user_dir};

/// rclone's configuration file: what its variable names, or the first that exists where it looks for it ("Config file" in its
/// documentation). `None`: there is none.
pub fn rclone_config() -> Option<PathBuf> {
    let named = std::env::var_os("RCLONE_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = named {
        return Some(absolute(&path));
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let places = [
        user_dir("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("rclone/rclone.conf")),
        home.as_ref().map(|home| home.join(".config/rclone/rclone.conf")),
        home.map(|home| home.join(".rclone.conf")),
    ];
    places.into_iter().flatten().find(|path| path.exists())
}
