//! A drive that says what it was told to.
//!
//! [`ScriptedDrive`] expects requests in a given order, answers each as the script says, and keeps what it was asked. It
//! speaks HTTP/1.1 by hand, so that an answer can also be cut, held back, or be none at all. It knows nothing of drives.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// A server with a script.
pub(crate) struct ScriptedDrive {
    pub(crate) url: String,
    stage: Arc<Stage>,
    server: JoinHandle<()>,
}

struct Stage {
    script: Mutex<VecDeque<(&'static str, String, Answer)>>,
    seen: Mutex<Vec<Seen>>,
    count: watch::Sender<usize>,
    open: watch::Sender<usize>,
    complaints: Mutex<Vec<String>>,
}

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }
}

/// What is answered to one request.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// Of the request's body only this much is read; the connection ends after the answer.
    takes: Option<usize>,
    /// The connection ends after this much of the body.
    cut: Option<usize>,
    /// No head before this is open.
    head_gate: Option<Gate>,
    /// No body before this is open.
    body_gate: Option<Gate>,
    /// The connection ends without an answer.
    reset: bool,
    /// The length is not said.
    chunked: bool,
}

/// Holds answers back until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub(crate) fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self) {
        drop(self.0.acquire().await);
    }
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            takes: None,
            cut: None,
            head_gate: None,
            body_gate: None,
            reset: false,
            chunked: false,
        }
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200).header("Content-Type", "application/json; charset=UTF-8").body(body.to_string())
    }

    /// An error as the drive says it.
    pub(crate) fn error(status: u16, reason: &str) -> Self {
        let entry = json!({"domain": "global", "reason": reason, "message": "Words."});
        let body = json!({"error": {"code": status, "message": "Words.", "errors": [entry]}});
        Self { status, ..Self::json(&body) }
    }

    /// Content, whole.
    pub(crate) fn content(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200).body(body)
    }

    /// Content from `start` on, of a file of `size` bytes.
    pub(crate) fn part(body: impl Into<Vec<u8>>, start: usize, size: usize) -> Self {
        let body = body.into();
        let range = format!("bytes {start}-{}/{size}", start + body.len() - 1);
        Self::status(206).header("Content-Range", &range).body(body)
    }

    /// The connection breaks before there is an answer.
    pub(crate) fn reset() -> Self {
        Self { reset: true, ..Self::status(0) }
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn takes(mut self, bytes: usize) -> Self {
        self.takes = Some(bytes);
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }

    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.head_gate = Some(gate.clone());
        self
    }

    pub(crate) fn body_after(mut self, gate: &Gate) -> Self {
        self.body_gate = Some(gate.clone());
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }
}

impl ScriptedDrive {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stage = Arc::new(Stage {
            script: Mutex::default(),
            seen: Mutex::default(),
            count: watch::channel(0).0,
            open: watch::channel(0).0,
            complaints: Mutex::default(),
        });
        let server = tokio::spawn({
            let stage = Arc::clone(&stage);
            async move {
                for connection in 0.. {
                    let Ok((stream, _)) = listener.accept().await else { return };
                    let stage = Arc::clone(&stage);
                    tokio::spawn(async move {
                        stage.open.send_modify(|open| *open += 1);
                        // How a connection ends is the matter of the client; the tests look at what it makes of it.
                        drop(stage.serve(connection, stream).await);
                        stage.open.send_modify(|open| *open -= 1);
                    });
                }
            }
        });
        Self { url, stage, server }
    }

    /// The next request that is to come, and its answer.
    pub(crate) fn expect(&self, method: &'static str, path: &str, answer: Answer) -> &Self {
        self.stage.script.lock().push_back((method, path.to_owned(), answer));
        self
    }

    /// Waits until `count` requests came in all.
    pub(crate) async fn arrived(&self, count: usize) {
        self.stage.count.subscribe().wait_for(|seen| *seen >= count).await.expect("the server lives");
    }

    /// Waits until the client has given up all connections.
    pub(crate) async fn all_closed(&self) {
        self.stage.open.subscribe().wait_for(|open| *open == 0).await.expect("the server lives");
    }

    /// Forgets what was asked so far.
    pub(crate) fn forget(&self) {
        self.stage.seen.lock().clear();
    }

    /// All that was asked, which must be all that was expected.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let left: Vec<_> =
            self.stage.script.lock().iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        assert!(left.is_empty(), "never asked: {left:?}");
        let complaints = self.stage.complaints.lock().clone();
        assert!(complaints.is_empty(), "{complaints:?}");
        self.stage.seen.lock().clone()
    }
}

impl Drop for ScriptedDrive {
    fn drop(&mut self) {
        self.server.abort();
        if !std::thread::panicking() {
            self.seen();
        }
    }
}

impl Stage {
    async fn serve(&self, connection: usize, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(mut seen) = read_head(&mut stream).await? {
            seen.connection = connection;
            let answer = self.answer_to(&seen);
            let closes = answer.takes.is_some();
            let body = read_body(&mut stream, &seen, answer.takes).await;
            let broken = body.is_err();
            seen.body = body.unwrap_or_default();
            self.seen.lock().push(seen);
            self.count.send_modify(|count| *count += 1);
            if broken || !answer.send(stream.get_mut()).await? || closes {
                break;
            }
        }
        Ok(())
    }

    fn answer_to(&self, seen: &Seen) -> Answer {
        let expected = self.script.lock().pop_front();
        match expected {
            Some((method, path, answer)) if method == seen.method && path == seen.path => answer,
            other => {
                let other = other.map(|(method, path, _)| format!("{method} {path}"));
                self.complaints.lock().push(format!("{} {} instead of {other:?}", seen.method, seen.path));
                Answer::status(418)
            }
        }
    }
}

impl Answer {
    /// Waits for the gate. `false` if the client goes away meanwhile, unless it has more to say than is taken.
    async fn opens(&self, gate: &Gate, stream: &mut TcpStream) -> bool {
        if self.takes.is_some() {
            gate.pass().await;
            return true;
        }
        tokio::select! {
            () = gate.pass() => true,
            _ = stream.read_u8() => false,
        }
    }

    /// Whether the connection goes on.
    async fn send(self, stream: &mut TcpStream) -> io::Result<bool> {
        if let Some(gate) = &self.head_gate
            && !self.opens(gate, stream).await
        {
            return Ok(false);
        }
        if self.reset {
            return Ok(false);
        }
        let framing = if self.chunked {
            "Transfer-Encoding: chunked".to_owned()
        } else {
            format!("Content-Length: {}", self.body.len())
        };
        let mut head = vec![format!("HTTP/1.1 {} Scripted", self.status), framing];
        head.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let head = head.join("\r\n") + "\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        if let Some(gate) = &self.body_gate
            && !self.opens(gate, stream).await
        {
            return Ok(false);
        }
        let body = &self.body[..self.cut.unwrap_or(self.body.len())];
        if self.chunked {
            for piece in body.chunks(1000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
                stream.write_all(piece).await?;
                stream.write_all(b"\r\n").await?;
            }
            if self.cut.is_none() {
                stream.write_all(b"0\r\n\r\n").await?;
            }
        } else {
            stream.write_all(body).await?;
        }
        Ok(self.cut.is_none())
    }
}

/// The head of the next request; `None` at the end of the connection.
async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let url = url::Url::parse("http://drive").and_then(|base| base.join(target)).expect("an address");
    let mut seen = Seen {
        method: method.to_owned(),
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        ..Seen::default()
    };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => {
                let old = seen.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                assert_eq!(old, None, "{name} is said twice");
            }
            None => return Ok(Some(seen)),
        }
    }
}

/// The body, or what is to be taken of it.
async fn read_body(stream: &mut BufReader<TcpStream>, seen: &Seen, takes: Option<usize>) -> io::Result<Vec<u8>> {
    let length = seen.headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; takes.unwrap_or(length).min(length)];
    stream.read_exact(&mut body).await?;
    Ok(body)
}
