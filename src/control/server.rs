//! The side of the mount.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::client::Reachable;
use super::{Chosen, Controlled, Ending, Job, Paths, Scope, ToFetch, Wanted, Which};

/// A socket that commands can reach; they wait until it is served.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    _reachable: Reachable,
}

/// Opens the socket. An old one there is replaced: whoever holds the lock of the cache folder is the only one to answer in it.
/// It is left there at the end: whoever gives the lock back removes it first.
pub fn listen(socket: &Path) -> io::Result<Socket> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let reachable = Reachable::new(socket)?;
    let listener = UnixListener::bind(reachable.path())?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(Socket { listener, _reachable: reachable })
}

/// Answers commands until `end`, and then finishes those under way.
pub async fn serve(socket: Socket, mount: Arc<dyn Controlled>, end: CancellationToken) -> io::Result<()> {
    let router = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flush", post(flush))
        .route("/v1/refresh", post(refresh))
        .route("/v1/entry", post(entry))
        .route("/v1/cache/clear", post(clear_cache))
        .route("/v1/prefetch", get(prefetching).post(prefetch))
        .route("/v1/prefetch/leave", post(leave_prefetch))
        .route("/v1/prefetch/stop", post(stop_prefetch))
        .route("/v1/prefetch/evict", post(evict))
        .route("/v1/trash", get(trash))
        .route("/v1/trash/empty", post(empty_trash))
        .route("/v1/trash/restore", post(restore))
        .route("/v1/unmount", post(unmount))
        .with_state(mount);
    axum::serve(socket.listener, router).with_graceful_shutdown(end.cancelled_owned()).await
}

type Mount = State<Arc<dyn Controlled>>;

async fn status(State(mount): Mount) -> Response {
    // Asks the database: not on a thread that drives connections.
    let status = tokio::task::spawn_blocking(move || mount.status()).await;
    respond(status.unwrap_or_else(|panic| Err(panic.to_string())))
}

async fn flush(State(mount): Mount, Json(scope): Json<Scope>) -> Response {
    respond(mount.flush(scope).await)
}

async fn refresh(State(mount): Mount, Json(scope): Json<Scope>) -> Response {
    respond(mount.refresh(scope).await)
}

async fn entry(State(mount): Mount, Json(scope): Json<Scope>) -> Response {
    respond(mount.entry(scope).await)
}

async fn clear_cache(State(mount): Mount) -> Response {
    let cleared = tokio::task::spawn_blocking(move || mount.clear_cache()).await;
    respond(cleared.unwrap_or_else(|panic| Err(panic.to_string())))
}

async fn prefetch(State(mount): Mount, Json(wanted): Json<ToFetch>) -> Response {
    respond(mount.prefetch(wanted))
}

async fn prefetching(State(mount): Mount, Query(job): Query<Job>) -> Response {
    respond(mount.prefetching(job))
}

async fn leave_prefetch(State(mount): Mount, Json(job): Json<Job>) -> Response {
    respond(mount.leave_prefetch(job))
}

async fn stop_prefetch(State(mount): Mount, Json(paths): Json<Paths>) -> Response {
    respond(mount.stop_prefetch(paths))
}

async fn evict(State(mount): Mount, Json(paths): Json<Paths>) -> Response {
    respond(mount.evict(paths).await)
}

async fn trash(State(mount): Mount, Query(which): Query<Which>) -> Response {
    respond(mount.trash(which).await)
}

async fn empty_trash(State(mount): Mount, Json(chosen): Json<Chosen>) -> Response {
    // What was begun is done, also when the command that asked goes away.
    let done = tokio::spawn(mount.empty_trash(chosen)).await;
    respond(done.unwrap_or_else(|panic| Err(panic.to_string())))
}

async fn restore(State(mount): Mount, Json(wanted): Json<Wanted>) -> Response {
    // Goes on when the command that asked goes away: what is out of the trash must be seen here.
    let done = tokio::spawn(mount.restore(wanted)).await;
    respond(done.unwrap_or_else(|panic| Err(panic.to_string())))
}

async fn unmount(State(mount): Mount, Json(ending): Json<Ending>) -> Response {
    // Goes on when the command that asked goes away.
    let done = tokio::spawn(mount.unmount(ending)).await;
    respond(done.unwrap_or_else(|panic| Err(panic.to_string())))
}

fn respond<T: Serialize>(result: Result<T, String>) -> Response {
    match result {
        Ok(value) => Json(value).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, Json(serde_json::json!({ "error": why }))).into_response(),
    }
}
