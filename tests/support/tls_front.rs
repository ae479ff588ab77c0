//! What programs that only know Google's addresses are led through: a proxy on this machine that answers for Google's hosts
//! with certificates of its own authority, and passes the requests on to a drive.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The hosts it answers for.
const HOSTS: [&str; 3] = ["www.googleapis.com", "oauth2.googleapis.com", "accounts.google.com"];
/// Longest head of a `CONNECT` request.
const MAX_HEAD: usize = 8 * 1024;

/// The proxy. It ends when it is dropped.
pub(crate) struct TlsFront {
    address: SocketAddr,
    folder: TempDir,
    _runtime: Runtime,
}

impl TlsFront {
    /// Starts it before the drive at `url`.
    pub(crate) fn start(url: &str) -> Self {
        let authority_key = KeyPair::generate().expect("a key");
        let mut authority = CertificateParams::new(Vec::new()).expect("no names");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, authority_key).expect("signs itself");
        let key = KeyPair::generate().expect("a key");
        let names = HOSTS.map(String::from);
        let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("signs");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("they fit");

        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("writes");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("listens");
        let address = listener.local_addr().expect("address");
        let http =
            drivemount::net::client(&url.parse().expect("url"), reqwest::ClientBuilder::no_gzip).expect("client");
        let behind = Arc::new(Behind { tls: TlsAcceptor::from(Arc::new(config)), http, url: url.to_owned() });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(tunnel(stream, behind.clone()));
            }
        });
        Self { address, folder, _runtime: runtime }
    }

    /// Where programs find the proxy.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate that they must trust.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A folder that goes when the proxy goes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

struct Behind {
    tls: TlsAcceptor,
    http: reqwest::Client,
    url: String,
}

/// One connection: `CONNECT host:443`, then TLS, then requests.
async fn tunnel(mut stream: TcpStream, behind: Arc<Behind>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Byte by byte: what follows the head belongs to TLS.
        head.push(stream.read_u8().await.ok()?);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let host = head.strip_prefix("CONNECT ")?.split(':').next()?;
    if !HOSTS.contains(&host) {
        // Nothing leaves this machine.
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok()?;
        return None;
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    let stream = behind.tls.accept(stream).await.ok()?;
    let service = service_fn(move |request| {
        let behind = behind.clone();
        async move { Ok::<_, Infallible>(behind.pass_on(request).await) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok()
}

impl Behind {
    async fn pass_on(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = parts.headers;
        remove_connection_headers(&mut headers);
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let body = reqwest::Body::wrap_stream(Body::new(body).into_data_stream());
        let request = self.http.request(parts.method, format!("{}{path}", self.url)).headers(headers).body(body);
        let mut response = Response::new(Body::empty());
        match request.send().await {
            Ok(answer) => {
                *response.status_mut() = answer.status();
                *response.headers_mut() = answer.headers().clone();
                remove_connection_headers(response.headers_mut());
                *response.body_mut() = Body::from_stream(answer.bytes_stream());
            }
            Err(_) => *response.status_mut() = StatusCode::BAD_GATEWAY,
        }
        response
    }
}

/// What concerns one connection is not passed on to another.
fn remove_connection_headers(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        headers.remove(name);
    }
}
