//! Stands between a mount and the embedded drive, and delays, drops or refuses what it is told to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::cloud::Cloud;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    /// It reaches the drive so much later.
    ArrivesAfter(Duration),
    /// Its answer comes so much later.
    AnsweredAfter(Duration),
    /// The drive does it, and nobody hears of it.
    AnswerLost,
    /// The connection breaks before the drive hears of it.
    Broken,
    /// It is answered with this status and this JSON, and the drive hears nothing of it.
    Answered(&'static str, &'static str),
}

type Rule = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// The way to a drive.
pub(crate) struct Proxy {
    pub(crate) url: String,
    rule: Arc<Mutex<Rule>>,
}

impl Proxy {
    pub(crate) fn start(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let drive = cloud.url.trim_start_matches("http://").to_owned();
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(|_, _| Fate::Pass)));
        let shared = Arc::clone(&rule);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (drive, rule) = (drive.clone(), Arc::clone(&shared));
                std::thread::spawn(move || serve(client, &drive, &rule));
            }
        });
        Self { url, rule }
    }

    /// From now on the fate of a request is told from its method and path.
    pub(crate) fn rule(&self, rule: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        *self.rule.lock() = Box::new(rule);
    }

    /// The first request that `is` means by method and path has this fate, and all others pass. Says whether it has come.
    pub(crate) fn first(&self, fate: Fate, is: impl Fn(&str, &str) -> bool + Send + 'static) -> Arc<AtomicBool> {
        let came = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&came);
        self.rule(move |method, path| {
            let is_first = is(method, path) && !seen.swap(true, Ordering::Relaxed);
            if is_first { fate } else { Fate::Pass }
        });
        came
    }
}

/// One request: each connection serves one.
fn serve(mut client: TcpStream, drive: &str, rule: &Mutex<Rule>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if read_more(&mut client, &mut bytes)? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let (method, path) = first.split_once(' ').unwrap_or_default();
    let mut sent = format!("{first}\r\n");
    let (mut length, mut is_chunked) = (0, false);
    for line in lines.filter(|line| !line.is_empty()) {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        is_chunked |= lower.starts_with("transfer-encoding:");
        if !lower.starts_with("connection:") {
            sent.push_str(line);
            sent.push_str("\r\n");
        }
    }
    sent.push_str("connection: close\r\n\r\n");
    let fate = (rule.lock())(method, path);
    if fate == Fate::Broken {
        return Ok(());
    }
    let mut body = bytes.split_off(end);
    while if is_chunked { !body.ends_with(b"0\r\n\r\n") } else { body.len() < length } {
        if read_more(&mut client, &mut body)? == 0 {
            return Ok(());
        }
    }
    if let Fate::Answered(status, json) = fate {
        let length = json.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        return client.write_all(format!("{head}{json}").as_bytes());
    }
    if let Fate::ArrivesAfter(time) = fate {
        std::thread::sleep(time);
    }
    let mut server = TcpStream::connect(drive)?;
    server.write_all(sent.as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fate {
        Fate::AnswerLost => return Ok(()),
        Fate::AnsweredAfter(time) => std::thread::sleep(time),
        _ => {}
    }
    client.write_all(&answer)
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut piece = vec![0; 64 * 1024];
    let count = stream.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..count]);
    Ok(count)
}
