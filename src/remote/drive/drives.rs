//! The shared drives of the account.

use http::Method;

use super::client::Client;
use super::convert::nonsense;
use super::request::{DRIVES, Request};
use super::types::{self, DriveCapabilities, DriveList};
use crate::clock::Timestamp;
use crate::remote::{Access, DrivePage, FileId, PageToken, Result, SharedDrive};

/// The most that Drive gives at once.
const PAGE_SIZE: &str = "100";

pub(super) async fn list(client: &Client, page: Option<&PageToken>) -> Result<DrivePage> {
    let fields = "nextPageToken,drives(id,name,createdTime,capabilities(canEdit,canAddChildren,canTrashChildren,canDeleteChildren))";
    let mut request = Request::new(DRIVES, Method::GET, client.addresses.of(&["drives"]))
        .query("pageSize", PAGE_SIZE)
        .query("fields", fields);
    if let Some(PageToken(token)) = page {
        request = request.query("pageToken", token);
    }
    let DriveList { drives, next_page_token } = client.json(&request).await?;
    let drives: Result<_> = drives.into_iter().map(drive).collect();
    Ok(DrivePage { drives: drives?, next: next_page_token.map(PageToken) })
}

fn drive(drive: types::Drive) -> Result<SharedDrive> {
    let id = drive.id.ok_or_else(|| nonsense(DRIVES, "a shared drive has no id"))?;
    Ok(SharedDrive {
        id: FileId(id),
        name: drive.name.unwrap_or_default(),
        created: drive.created_time.as_deref().and_then(Timestamp::parse_rfc3339).unwrap_or_default(),
        access: drive.capabilities.as_ref().map_or(Access::UNKNOWN, access),
    })
}

/// What may be done with the folder at the top. The rest is of what is in it, and tells that a role changed.
fn access(can: &DriveCapabilities) -> Access {
    Access::of(can.can_edit, can.can_add_children, None, can.can_trash_children).moving(None, can.can_delete_children)
}
