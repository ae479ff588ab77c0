//! Where things are when nobody says it, and what a path means.

use std::path::{Path, PathBuf};

use super::Credentials;
use super::source::{Source, digest, tame};

/// The cache folder of a source when none is given: in the user's cache folder, one for each, for each account, and for each root
/// of it.
pub fn default_cache_dir(source: &Source, credentials: Option<&Credentials>, root: Option<&str>) -> Option<PathBuf> {
    let label = credentials.and_then(Credentials::label).map_or_else(String::new, |label| {
        let tame = tame(&label);
        // What was changed to be a name may be that of another.
        let mark = if tame == label { String::new() } else { format!("-{}", digest(label.as_bytes())) };
        format!("-{tame}{mark}")
    });
    let root = root.map_or_else(String::new, |root| {
        let name = root.rsplit('/').next().unwrap_or(root);
        format!("-root-{}-{}", tame(name), digest(root.as_bytes()))
    });
    Some(default_cache_root()?.join(source.key() + &label + &root))
}

/// The folder in which cache folders are when none is given.
pub fn default_cache_root() -> Option<PathBuf> {
    Some(user_dir("XDG_CACHE_HOME", ".cache")?.join("drivemount"))
}

/// Where sign-ins and settings of this user are.
pub fn config_dir() -> Option<PathBuf> {
    Some(user_dir("XDG_CONFIG_HOME", ".config")?.join("drivemount"))
}

/// The folder that the XDG rules give to a variable: its value if that is absolute, or a place below the home folder.
pub fn user_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = std::env::var_os(variable).map(PathBuf::from).and_then(absolute);
    // What starts with the machine (fstab, a service) has no `HOME`; the system knows the place all the same.
    named.or_else(|| std::env::home_dir().and_then(absolute).map(|home| home.join(below_home)))
}

/// `path` made absolute, without asking the disk about its parts.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// `path` with its links followed, as far as it exists.
pub fn real(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|known| Some((known.canonicalize().ok()?, path.strip_prefix(known).ok()?)));
    known.map_or_else(|| path.to_owned(), |(real, rest)| real.join(rest).components().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_place_of_a_path_is_found_as_far_as_it_exists() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let root = dir.path().canonicalize().expect("real");
        std::os::unix::fs::symlink(&root, root.join("link")).expect("links");
        assert_eq!(real(&root.join("link/none/none")), root.join("none/none"));
        assert_eq!(real(&root.join("link")), root);
    }
}
