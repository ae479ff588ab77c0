//! A user of their own: a home folder with nothing in it, and an environment without our variables.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::cloud::PROGRAM;
use crate::machine::{end_mounts, run};

pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary folder") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file for its owner alone, and the folders above it.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.at(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("makes folders");
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closes");
        path
    }

    /// The program, as this user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.as_user(Path::new(PROGRAM), arguments)
    }

    pub(crate) fn as_user(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &str| {
            ["DRIVEMOUNT", "XDG_", "KUBERNETES", "COLAB", "KAGGLE", "GOOGLE"]
                .iter()
                .any(|begin| name.starts_with(begin))
                || name.to_lowercase().ends_with("_proxy")
        };
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.env("HOME", self.path()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        end_mounts(self.path());
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
