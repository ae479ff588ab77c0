//! [`Landing`]: who the browser finds at the address that it is sent back to.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::Secret;

/// A listener on a free port of the loopback interface, for one sign-in: answers of another are turned away by their `state`.
/// Ends with the value.
#[derive(Debug)]
pub(super) struct Landing {
    port: u16,
    arrivals: mpsc::Receiver<Result<Secret, String>>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Door {
    state: String,
    tell: mpsc::Sender<Result<Secret, String>>,
}

/// What a browser is sent with.
#[derive(Debug, Deserialize)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

impl Landing {
    pub(super) async fn open(state: String) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (tell, arrivals) = mpsc::channel(1);
        let router = Router::new().route("/", get(arrive)).with_state(Arc::new(Door { state, tell }));
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the browser cannot come back by itself");
            }
        });
        Ok(Self { port, arrivals, serving })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The code that a browser brought, or the word for why there is none.
    pub(super) async fn arrival(&mut self) -> Result<Secret, String> {
        match self.arrivals.recv().await {
            Some(arrival) => arrival,
            // The listener died; what is pasted still does.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn arrive(State(door): State<Arc<Door>>, Query(answer): Query<Answer>) -> Response {
    if answer.state.as_deref() != Some(&door.state) {
        let text = "This answer belongs to another sign-in. Begin again with <code>drivemount login</code>.";
        return page(StatusCode::BAD_REQUEST, "Not this one", text);
    }
    let (arrival, title, text) = match (answer.code, answer.error) {
        (Some(code), None) => {
            (Ok(Secret::new(&code)), "Thank you", "drivemount has the answer. You can close this tab and go back.")
        }
        (_, error) => {
            let word = error.unwrap_or_else(|| "no code".to_owned());
            let word: String = word.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
            (Err(word), "Not allowed", "drivemount got no access to the drive. You can close this tab.")
        }
    };
    // Whoever reloads the page says the same once more; one answer is enough.
    let _full = door.tell.try_send(arrival);
    page(StatusCode::OK, title, text)
}

/// A page that loads nothing and leaves nothing behind. `title` and `text` are ours.
fn page(status: StatusCode, title: &'static str, text: &'static str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} - drivemount</title>\n<style>:root {{ color-scheme: light dark }} \
         body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style></head>\n\
         <body><h1>{title}</h1>\n<p>{text}</p></body></html>\n"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ];
    (status, headers, Html(html)).into_response()
}
