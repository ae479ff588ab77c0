//! A server in this process and a plain HTTP client for it. Nothing here knows what the right answers are.
#![allow(dead_code)] // each test file uses its part

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use drivemount::server::{Limits, Options, Script, Server};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const FOLDER: &str = "application/vnd.google-apps.folder";
pub(crate) const UNIT: usize = 256 * 1024;

/// A drive in a temporary folder.
pub(crate) struct Drive {
    server: Option<Server>,
    folder: TempDir,
    client: Client,
    limits: Limits,
    trouble: Script,
    admin: bool,
    sign_in: Option<Duration>,
    pub(crate) url: String,
    pub(crate) token: String,
}

/// A request being put together.
pub(crate) struct Call<'d> {
    drive: &'d Drive,
    request: reqwest::RequestBuilder,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // No certificates: nothing here is encrypted, and the machine may have none.
    let builder = Client::builder().tls_certs_only([]).redirect(reqwest::redirect::Policy::none());
    builder.build().expect("a client without certificates can be built")
}

impl Drive {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        Self::start_as(limits, Script::default(), false).await
    }

    /// A drive that makes trouble, and whose meter can be read.
    pub(crate) async fn start_with_trouble(seed: u64, rules: &[&str]) -> Self {
        let rules = rules.iter().map(|rule| rule.parse().expect("a rule")).collect();
        Self::start_as(Limits::default(), Script { seed, rules }, true).await
    }

    /// A drive that applications can sign in to, whose tokens work so long.
    pub(crate) async fn start_with_sign_in(token_life: Duration) -> Self {
        let mut drive = Self::start().await;
        drive.stop().await;
        drive.sign_in = Some(token_life);
        drive.begin().await;
        drive
    }

    async fn start_as(limits: Limits, trouble: Script, admin: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (url, token) = (String::new(), String::new());
        let mut drive =
            Self { server: None, folder, client: client(), limits, trouble, admin, sign_in: None, url, token };
        drive.begin().await;
        drive
    }

    async fn begin(&mut self) {
        let (limits, trouble, admin) = (self.limits, self.trouble.clone(), self.admin);
        let mut options = Options { limits, trouble, admin, ..Options::new(self.data()) };
        if let Some(life) = self.sign_in {
            options = Options { sign_in: true, token_life: life, ..options };
        }
        let server = Server::start(options).await.expect("the server starts");
        self.url = server.url();
        server.token().clone_into(&mut self.token);
        self.server = Some(server);
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").expect("a plain address").parse().expect("an address")
    }

    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Stops the server and starts another on the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'_> {
        let address = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.url) };
        Call { drive: self, request: self.client.request(method, address) }
            .header("authorization", &format!("Bearer {}", self.token))
    }

    /// A call without a token.
    pub(crate) fn anonymous(&self, method: Method, path: &str) -> Call<'_> {
        Call { drive: self, request: self.client.request(method, format!("{}{path}", self.url)) }
    }

    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'_> {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// The file `id`, with all its fields.
    pub(crate) async fn file(&self, id: &str) -> Value {
        self.get(&format!("/drive/v3/files/{id}?fields=*")).send().await.ok()
    }

    /// Creates an item from metadata; all its fields.
    pub(crate) async fn create(&self, metadata: Value) -> Value {
        self.post("/drive/v3/files?fields=*").json(&metadata).send().await.ok()
    }

    pub(crate) async fn folder(&self, name: &str, parent: &str) -> String {
        id(&self.create(json!({ "name": name, "mimeType": FOLDER, "parents": [parent] })).await)
    }

    /// Creates a file with content; all its fields.
    pub(crate) async fn upload(&self, metadata: &Value, content: &[u8]) -> Value {
        self.multipart(Method::POST, "/upload/drive/v3/files?uploadType=multipart&fields=*", metadata, content)
            .send()
            .await
            .ok()
    }

    pub(crate) fn multipart(&self, method: Method, path: &str, metadata: &Value, content: &[u8]) -> Call<'_> {
        let head = format!(
            "--cut\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n\
             --cut\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        let body = [head.as_bytes(), content, b"\r\n--cut--\r\n"].concat();
        self.call(method, path).header("content-type", "multipart/related; boundary=cut").body(body)
    }

    /// Begins a resumable upload; the address of the session.
    pub(crate) async fn session(&self, metadata: &Value, length: Option<usize>) -> String {
        let mut call = self.post("/upload/drive/v3/files?uploadType=resumable&fields=*").json(metadata);
        if let Some(length) = length {
            call = call.header("x-upload-content-length", &length.to_string());
        }
        call.send().await.location()
    }

    pub(crate) async fn content(&self, id: &str) -> Vec<u8> {
        let answer = self.get(&format!("/drive/v3/files/{id}?alt=media")).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Names of what a query finds, in the order it comes.
    pub(crate) async fn names(&self, q: &str) -> Vec<String> {
        names(&self.get("/drive/v3/files?pageSize=1000").query("q", q).send().await.ok())
    }

    pub(crate) async fn start_page_token(&self) -> String {
        let answer = self.get("/drive/v3/changes/startPageToken").send().await.ok();
        answer["startPageToken"].as_str().expect("a token").to_owned()
    }

    pub(crate) async fn changes(&self, token: &str) -> Value {
        self.get("/drive/v3/changes?fields=*").query("pageToken", token).send().await.ok()
    }

    /// Files of bytes in the data folder.
    pub(crate) fn blobs(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.data().join("blobs")).expect("a folder");
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("an entry").path()).expect("a folder"));
        files.map(|file| file.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Call<'_> {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        let value: HeaderValue = value.parse().expect("a header value");
        Self { request: self.request.header(name, value), ..self }
    }

    pub(crate) fn query(self, name: &str, value: &str) -> Self {
        Self { request: self.request.query(&[(name, value)]), ..self }
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self { request: self.request.json(body), ..self }
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self { request: self.request.body(body), ..self }
    }

    pub(crate) async fn send(self) -> Answer {
        self.attempt().await.expect("the server answers, and the answer arrives whole")
    }

    /// As `send`, where the connection may be cut.
    pub(crate) async fn attempt(self) -> reqwest::Result<Answer> {
        let response = self.request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The JSON of a success.
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    pub(crate) fn location(&self) -> String {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.header("location").expect("a location").to_owned()
    }

    /// Status and reason of a refusal, after a look at the envelope.
    pub(crate) fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/json; charset=UTF-8"), "{self:?}");
        let envelope = self.json();
        let error = &envelope["error"];
        assert_eq!(error["code"], self.status, "{envelope}");
        assert_eq!(error["message"], error["errors"][0]["message"], "{envelope}");
        assert!(error["errors"][0]["domain"].is_string(), "{envelope}");
        (self.status, error["errors"][0]["reason"].as_str().expect("a reason").to_owned())
    }

    /// Asserts a refusal.
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        assert_eq!(self.error(), (status, reason.to_owned()), "{}", String::from_utf8_lossy(&self.body));
    }

    /// Where a refusal says the fault is.
    pub(crate) fn fault_location(&self) -> String {
        self.json()["error"]["errors"][0]["location"].as_str().expect("a location").to_owned()
    }
}

pub(crate) fn id(file: &Value) -> String {
    file["id"].as_str().unwrap_or_else(|| panic!("no id: {file}")).to_owned()
}

pub(crate) fn names(list: &Value) -> Vec<String> {
    let files = list["files"].as_array().unwrap_or_else(|| panic!("no files: {list}"));
    files.iter().map(|file| file["name"].as_str().expect("a name").to_owned()).collect()
}

/// Bytes that repeat at no power of two.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index % 251).expect("small") ^ u8::try_from(index / 251 % 256).expect("small"))
        .collect()
}
