//! Connections, and what happens to a request before it is routed and to its answer after.
//!
//! The accept loop is this server's own, because it must be able to end: it lets each connection finish the request it is
//! at, and cuts off those that do not within a bounded time.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, header};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::call::{Arrival, header_text};
use super::error::ApiError;
use super::params::Params;
use super::trouble::{Severed, Watch};
use crate::clock::Instant;

/// Connections that are not done when the server ends may go on this long.
const GRACE: Duration = Duration::from_secs(5);
/// Rests of bodies that nobody wanted are received for this long, so that the client gets to read why: closing a connection
/// with bytes unread resets it, and the answer with it.
const MAX_REST_TIME: Duration = Duration::from_secs(10);
/// Parameters sent as a form, in place of a query too long for an address.
const MAX_FORM_BYTES: usize = 1024 * 1024;

/// Serves connections until `stop` is cancelled, and then those that are open, for a while.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    watch: Option<Watch>,
    authority: String,
    stop: CancellationToken,
) {
    let front = Arc::new(Front { router: TowerToHyperService::new(router), watch, authority });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, front.clone(), stop.clone()));
                }
                Err(error) => {
                    // Mostly: no file descriptors left. Some come free when others are done.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    if timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, front: Arc<Front>, stop: CancellationToken) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { front.answer(request).await }
    });
    let mut connection = pin!(
        http1::Builder::new()
            // An idle connection costs nothing worth ending it for.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

struct Front {
    router: TowerToHyperService<Router>,
    /// Looks at every request, if anybody asked for that.
    watch: Option<Watch>,
    /// Where this server listens, for clients that do not say how they reached it.
    authority: String,
}

impl Front {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response, Severed> {
        let started = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let (parts, body) = request.into_parts();
        // A client that asked whether to send, and was not told to, sends nothing.
        let is_coming = !parts.headers.contains_key(header::EXPECT);
        let body = SharedBody(Arc::new(Mutex::new(Coming { body, is_coming })));
        let request = Request::from_parts(parts, Body::new(body.clone()));
        let answer = AssertUnwindSafe(self.route(request)).catch_unwind().await;
        let panicked = |panic: Box<dyn Any + Send>| Ok(ApiError::internal(panic_message(&*panic)).into_response());
        let response = answer.unwrap_or_else(panicked)?;
        // Answers can be given without a look at the whole body.
        let _ = timeout(MAX_REST_TIME, body.discard()).await;
        // Never the query: it can hold a token, or the secret of an upload.
        tracing::debug!(%method, path, status = response.status().as_u16(), elapsed = ?started.elapsed(), "answered");
        Ok(response)
    }

    async fn route(&self, request: Request<Body>) -> Result<Response, Severed> {
        let request = match self.arrive(request).await {
            Ok(request) => request,
            Err(error) => return Ok(error.into_response()),
        };
        let call = async |request| match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        match &self.watch {
            Some(watch) => watch.pass(request, call).await,
            None => Ok(call(request).await),
        }
    }

    /// Decodes the parameters, undoes a method override, and notes how the client reached this server.
    async fn arrive(&self, mut request: Request<Body>) -> Result<Request<Body>, ApiError> {
        let mut params = Params::parse(request.uri().query().unwrap_or_default());
        let authority = header_text(request.headers(), header::HOST).filter(|host| !host.is_empty());
        // A proxy in front may speak TLS.
        let is_secure = header_text(request.headers(), "x-forwarded-proto") == Some("https");
        let scheme = if is_secure { "https" } else { "http" };
        let origin = format!("{scheme}://{}", authority.unwrap_or(&self.authority));
        if request.method() == Method::POST
            && let Some(method) = request.headers().get("x-http-method-override")
        {
            let method = Method::from_bytes(method.as_bytes()).map_err(|_| ApiError::no_such_method())?;
            let content_type = header_text(request.headers(), header::CONTENT_TYPE).unwrap_or_default();
            if content_type.starts_with("application/x-www-form-urlencoded") {
                let body = std::mem::replace(request.body_mut(), Body::empty());
                let form = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| ApiError::body_too_large())?;
                params.extend(Params::parse(&String::from_utf8_lossy(&form)));
                request.headers_mut().remove(header::CONTENT_TYPE);
                request.headers_mut().remove(header::CONTENT_LENGTH);
            }
            *request.method_mut() = method;
        }
        request.extensions_mut().insert(Arrival { params, origin });
        Ok(request)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a handler panicked: {}", text.unwrap_or("(no message)"))
}

/// A request's body, of which what the handler left can be received after it.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Coming>>);

struct Coming {
    body: Incoming,
    /// Whether the client sends it, or has been told to.
    is_coming: bool,
}

impl SharedBody {
    /// Receives what is left, for nobody.
    async fn discard(mut self) {
        let is_wanted = |body: &Self| body.0.lock().is_coming && !body.is_end_stream();
        while is_wanted(&self) {
            let frame = std::future::poll_fn(|context| Pin::new(&mut self).poll_frame(context)).await;
            if !matches!(frame, Some(Ok(_))) {
                return;
            }
        }
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, hyper::Error>>> {
        let mut coming = self.0.lock();
        coming.is_coming = true;
        Pin::new(&mut coming.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, put};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Serves `router`; its address, and what ends it.
    async fn start(router: Router) -> (String, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("has one").to_string();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, None, address.clone(), stop.clone()));
        (address, stop, serving)
    }

    /// Sends a request and reads until the server closes.
    async fn exchange(address: &str, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(request).await.expect("sends");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("receives");
        answer
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error_and_the_server_goes_on() {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let router = Router::new().route("/panics", get(panics)).route("/works", get(async || "works"));
        let (address, ..) = start(router).await;
        let answer = exchange(&address, b"GET /panics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"reason\": \"internalError\""), "{answer}");
        assert!(!answer.contains("on purpose"), "{answer}");
        let answer = exchange(&address, b"GET /works HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.ends_with("works"), "{answer}");
    }

    #[tokio::test]
    async fn a_refusal_reaches_a_client_that_is_still_sending() {
        let router = Router::new().route("/refuses", put(async || ApiError::unauthenticated()));
        let (address, ..) = start(router).await;
        let mut request =
            b"PUT /refuses HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 20000000\r\n\r\n".to_vec();
        request.resize(request.len() + 20_000_000, 0);
        let answer = exchange(&address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_nobody_wanted_does_not_cost_the_connection() {
        let router = Router::new().route("/works", get(async || "works"));
        let (address, ..) = start(router).await;
        let mut requests = b"GET /works HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n".to_vec();
        requests.resize(requests.len() + 3_000_000, b'-');
        requests.extend_from_slice(b"GET /works HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answers = exchange(&address, &requests).await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
    }

    #[tokio::test]
    async fn a_request_under_way_may_finish_when_the_server_ends() {
        let (entered, is_entered) = tokio::sync::oneshot::channel();
        let (release, released) = tokio::sync::oneshot::channel::<()>();
        let both = Arc::new(Mutex::new(Some((entered, released))));
        let router = Router::new().route(
            "/waits",
            get(async move || {
                let (entered, released) = both.lock().take().expect("one request");
                entered.send(()).expect("is awaited");
                released.await.expect("comes");
                "done"
            }),
        );
        let (address, stop, serving) = start(router).await;
        let asking = tokio::spawn(async move { exchange(&address, b"GET /waits HTTP/1.1\r\nhost: x\r\n\r\n").await });
        is_entered.await.expect("arrives");
        stop.cancel();
        release.send(()).expect("is awaited");
        assert!(asking.await.expect("ends").ends_with("done"));
        serving.await.expect("ends");
    }

    #[tokio::test]
    async fn a_client_that_hangs_does_not_keep_the_server_from_ending() {
        let (entered, is_entered) = tokio::sync::oneshot::channel();
        let entered = Arc::new(Mutex::new(Some(entered)));
        let router = Router::new().route(
            "/hangs",
            get(async move || {
                entered.lock().take().expect("one request").send(()).expect("is awaited");
                std::future::pending::<String>().await
            }),
        );
        let (address, stop, serving) = start(router).await;
        let mut stream = TcpStream::connect(&address).await.expect("connects");
        stream.write_all(b"GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sends");
        is_entered.await.expect("arrives");
        stop.cancel();
        timeout(2 * GRACE, serving).await.expect("in time").expect("ends");
    }
}
