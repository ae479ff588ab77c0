//! A file with credentials in it: reading it, and noticing that it was replaced.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::AsyncReadExt;

use super::{AuthError, Secret};

/// More than any credential takes; keeps a wrong path from filling the memory.
const MAX_BYTES: u64 = 64 * 1024;

/// Where credentials are kept. Never writes.
#[derive(Debug)]
pub(super) struct CredentialFile {
    path: PathBuf,
    warned: AtomicBool,
}

/// Tells one state of a file from the next: programs replace it by rename (another inode) or write into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl CredentialFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, warned: AtomicBool::new(false) }
    }

    /// The state that the file is in now.
    pub(super) async fn stamp(&self) -> Result<Stamp, AuthError> {
        let metadata = tokio::fs::metadata(&self.path).await.map_err(|error| self.unreadable(error))?;
        Ok(Stamp::of(&metadata))
    }

    /// The text in it, and the state in which it was read.
    pub(super) async fn read(&self) -> Result<(Stamp, Secret), AuthError> {
        let mut text = String::new();
        let read = async {
            let file = tokio::fs::File::open(&self.path).await?;
            // Of the open file, so that stamp and text belong together even if the path is replaced meanwhile.
            let metadata = file.metadata().await?;
            file.take(MAX_BYTES + 1).read_to_string(&mut text).await?;
            Ok(metadata)
        };
        let metadata = read.await.map_err(|error| self.unreadable(error))?;
        if text.len() as u64 > MAX_BYTES {
            return Err(self.malformed("it is too large to be a credential"));
        }
        self.warn_if_world_readable(&metadata);
        Ok((Stamp::of(&metadata), Secret::new(&text)))
    }

    pub(super) fn malformed(&self, why: impl Into<String>) -> AuthError {
        AuthError::Malformed { place: self.path.display().to_string(), why: why.into() }
    }

    fn unreadable(&self, error: io::Error) -> AuthError {
        AuthError::Unreadable { path: self.path.clone(), error: Arc::new(error) }
    }

    /// Only a warning: in a container with one user the bits mean nothing, and a mount that refuses helps nobody.
    fn warn_if_world_readable(&self, metadata: &Metadata) {
        if metadata.mode() & 0o004 != 0 && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(path = %self.path.display(), "everybody on this machine can read these credentials: chmod 600");
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use parking_lot::Mutex;

    use super::*;

    /// What is logged, as text.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_file_that_everybody_can_read_is_warned_of_once() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        fs::write(&path, "secret").expect("writes");

        // Other tests may come here for the first time at this moment, when nobody listens, which is remembered for all.
        CredentialFile::new(path.clone()).read().await.expect("reads");
        tracing::callsite::rebuild_interest_cache();
        log.0.lock().clear();

        let file = CredentialFile::new(path.clone());
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("is ours");
        file.read().await.expect("reads");
        assert!(log.0.lock().is_empty());

        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("is ours");
        file.read().await.expect("reads");
        file.read().await.expect("reads");
        let text = String::from_utf8(log.0.lock().clone()).expect("is text");
        assert_eq!(text.matches("chmod 600").count(), 1, "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
