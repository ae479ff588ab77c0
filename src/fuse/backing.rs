//! Files that are registered with the kernel, to be read by it alone.

use std::fs::File;
use std::sync::Arc;

use crate::fs::Backing;
use crate::sys;

/// A file that the kernel reads by itself, until nobody holds this.
pub(super) fn held(device: Arc<File>, number: u32) -> Backing {
    Backing { number, held: Arc::new(Registered { device, number }) }
}

struct Registered {
    device: Arc<File>,
    number: u32,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Err(error) = sys::close_backing(&self.device, self.number) {
            tracing::debug!(%error, "a file is still registered with the kernel");
        }
    }
}
