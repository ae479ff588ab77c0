//! The real program on a real mount, beside a real server, used by real programs.
//!
//! Needs the rights to mount. A test that cannot run fails.

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/machine.rs"]
mod machine;
#[path = "support/proxy.rs"]
mod proxy;
#[path = "support/sparse.rs"]
mod sparse;

#[path = "mount/access.rs"]
mod access;
#[path = "mount/attributes.rs"]
mod attributes;
#[path = "mount/bad_input.rs"]
mod bad_input;
#[path = "mount/cache.rs"]
mod cache;
#[path = "mount/calls.rs"]
mod calls;
#[path = "mount/cap.rs"]
mod cap;
#[path = "mount/commands.rs"]
mod commands;
#[path = "mount/copies.rs"]
mod copies;
#[path = "mount/copy.rs"]
mod copy;
#[path = "mount/crash.rs"]
mod crash;
#[path = "mount/damage.rs"]
mod damage;
#[path = "mount/deadline.rs"]
mod deadline;
#[path = "mount/documents.rs"]
mod documents;
#[path = "mount/elsewhere.rs"]
mod elsewhere;
#[path = "mount/errors.rs"]
mod errors;
#[path = "mount/exchange.rs"]
mod exchange;
#[path = "mount/files.rs"]
mod files;
#[path = "mount/folders.rs"]
mod folders;
#[path = "mount/growing.rs"]
mod growing;
#[path = "mount/kernel.rs"]
mod kernel;
#[path = "mount/known.rs"]
mod known;
#[path = "mount/libraries.rs"]
mod libraries;
#[path = "mount/life.rs"]
mod life;
#[path = "mount/limits.rs"]
mod limits;
#[path = "mount/links.rs"]
mod links;
#[path = "mount/logging.rs"]
mod logging;
#[path = "mount/looked_at.rs"]
mod looked_at;
#[path = "mount/meanwhile.rs"]
mod meanwhile;
#[path = "mount/memory.rs"]
mod memory;
#[path = "mount/outage.rs"]
mod outage;
#[path = "mount/outlives.rs"]
mod outlives;
#[path = "mount/outlives_load.rs"]
mod outlives_load;
#[path = "mount/passthrough.rs"]
mod passthrough;
#[path = "mount/place.rs"]
mod place;
#[path = "mount/prefetch.rs"]
mod prefetch;
#[path = "mount/python.rs"]
mod python;
#[path = "mount/reads.rs"]
mod reads;
#[path = "mount/root.rs"]
mod root;
#[path = "mount/saves.rs"]
mod saves;
#[path = "mount/service.rs"]
mod service;
#[path = "mount/shared_drives.rs"]
mod shared_drives;
#[path = "mount/shares.rs"]
mod shares;
#[path = "mount/shortcuts.rs"]
mod shortcuts;
#[path = "mount/snapshot.rs"]
mod snapshot;
#[path = "mount/space.rs"]
mod space;
#[path = "mount/special.rs"]
mod special;
#[path = "mount/stream.rs"]
mod stream;
#[path = "mount/transfers.rs"]
mod transfers;
#[path = "mount/trash.rs"]
mod trash;
#[path = "mount/trouble.rs"]
mod trouble;
#[path = "mount/unread.rs"]
mod unread;
#[path = "mount/use_trash.rs"]
mod use_trash;
#[path = "mount/watch.rs"]
mod watch;
#[path = "mount/xattrs.rs"]
mod xattrs;
