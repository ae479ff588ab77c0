//! [`Secret`]: a text that is not shown.

use std::fmt;
use std::sync::Arc;

/// A text that whoever reads it may misuse. Cheap to clone; has no `Display`, and its `Debug` does not show it.
///
/// The memory is not wiped on drop: the text passes through the buffers of HTTP and TLS all the time, where nobody wipes it,
/// so wiping here would only look safe.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// From its text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
