//! What [`Remote`](drivemount::remote::Remote) promises, kept by the client of Google Drive: against a server that answers by
//! script, from the bytes on the wire to the errors that come out.

#[path = "support/scripted_drive.rs"]
mod scripted_drive;

#[path = "remote_contract/bounds.rs"]
mod bounds;
#[path = "remote_contract/copies.rs"]
mod copies;
#[path = "remote_contract/downloads.rs"]
mod downloads;
#[path = "remote_contract/drives.rs"]
mod drives;
#[path = "remote_contract/exports.rs"]
mod exports;
#[path = "remote_contract/failures.rs"]
mod failures;
#[path = "remote_contract/items.rs"]
mod items;
#[path = "remote_contract/listings.rs"]
mod listings;
#[path = "remote_contract/sessions.rs"]
mod sessions;
#[path = "remote_contract/uploads.rs"]
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use drivemount::auth::{AccessToken, AuthError, TokenSource};
use drivemount::clock::Timestamp;
use drivemount::remote::drive::{DriveOptions, DriveRemote};
use drivemount::remote::{FileId, NewItem, NewKind, Posix};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use parking_lot::Mutex;
use scripted_drive::ScriptedDrive;
use serde_json::{Value, json};
use url::Url;

/// Gives `token-1`, and the next number after each one that is refused.
#[derive(Debug)]
struct Tokens(Mutex<u32>);

impl TokenSource for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<AccessToken, AuthError>> {
        future::ready(Ok(token(*self.0.lock()))).boxed()
    }

    fn reject(&self, rejected: &AccessToken) {
        let mut number = self.0.lock();
        if *rejected == token(*number) {
            *number += 1;
        }
    }
}

fn token(number: u32) -> AccessToken {
    AccessToken::new(&format!("token-{number}")).expect("a token")
}

/// No test waits for the backoff; all else is as it comes.
fn options(drive: &ScriptedDrive) -> DriveOptions {
    DriveOptions {
        backoff: Duration::from_millis(2),
        max_backoff: Duration::from_millis(8),
        ..DriveOptions::new(Url::parse(&drive.url).expect("an address"))
    }
}

fn remote_with(options: &DriveOptions) -> DriveRemote {
    DriveRemote::new(options, Arc::new(Tokens(Mutex::new(1)))).expect("a client")
}

fn remote(drive: &ScriptedDrive) -> DriveRemote {
    remote_with(&options(drive))
}

fn id(text: &str) -> FileId {
    FileId(text.to_owned())
}

/// An item of the drive, with more fields from `more`.
fn file(id: &str, more: &Value) -> Value {
    let mut file = json!({
        "id": id, "name": "name", "mimeType": "text/plain", "parents": ["folder"], "size": "0", "version": "7",
        "headRevisionId": "r1", "md5Checksum": "d41d8cd98f00b204e9800998ecf8427e", "trashed": false,
        "modifiedTime": "2026-01-02T03:04:05.678Z", "createdTime": "2026-01-02T03:04:05.678Z",
    });
    let fields = file.as_object_mut().expect("an object");
    for (name, value) in more.as_object().expect("an object") {
        fields.insert(name.clone(), value.clone());
    }
    file
}

fn folder(id: &str) -> Value {
    json!({"id": id, "name": "folder", "mimeType": "application/vnd.google-apps.folder", "version": "7"})
}

fn new_item(kind: NewKind) -> NewItem {
    NewItem {
        id: id("new"),
        parent: id("folder"),
        name: "it's new".into(),
        kind,
        modified: Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z").expect("a time"),
        posix: Posix { mode: Some(0o644), ..Posix::default() },
    }
}

/// The fields that every answer about items must be asked for, in full.
const FILE_FIELDS: &str = "id,name,mimeType,parents,size,md5Checksum,headRevisionId,version,modifiedTime,createdTime,trashed,\
    explicitlyTrashed,ownedByMe,shared,driveId,properties,webViewLink,spaces,shortcutDetails(targetId),\
    capabilities(canModifyContent,canAddChildren,canRename,canTrash,canMoveItemWithinDrive,canMoveItemOutOfDrive)";
