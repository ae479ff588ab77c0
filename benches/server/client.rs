//! As little of an HTTP/1.1 client as will do, so that what is measured is the server: one connection, one request after the
//! other, and bodies that are read into one buffer over and over, and counted.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What is received at a time. It stays in the processor's cache; a larger one made both servers slower.
const BUFFER_BYTES: usize = 256 * 1024;

/// A server, and what a request to it must show.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Address and port.
    pub address: String,
    pub token: Option<String>,
}

impl Target {
    /// A request as it goes over the wire.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            text.extend(["authorization: Bearer ", token, "\r\n"]);
        }
        for (name, value) in headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        let length = body.len().to_string();
        if method != "GET" && !headers.iter().any(|(name, _)| *name == "content-length") {
            text.extend(["content-length: ", &length, "\r\n"]);
        }
        text.push_str("\r\n");
        [text.as_bytes(), body].concat()
    }
}

/// An answer, its body left out.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub status: u16,
    /// Bytes of the body.
    pub length: u64,
    /// Where to go on, if it says that.
    pub location: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let stream = TcpStream::connect(&target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES].into() })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a request and receives the answer to its last byte.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.receive(|_| ()).await
    }

    /// As [`Self::ask`], with the body.
    pub(crate) async fn fetch(&mut self, request: &[u8]) -> io::Result<(Answer, Vec<u8>)> {
        self.send(request).await?;
        let mut body = Vec::new();
        let answer = self.receive(|bytes| body.extend_from_slice(bytes)).await?;
        Ok((answer, body))
    }

    /// Receives an answer, and shows the pieces of its body to `see`.
    pub(crate) async fn receive(&mut self, mut see: impl FnMut(&[u8])) -> io::Result<Answer> {
        let mut filled = 0;
        let (answer, head) = loop {
            filled += self.read(filled).await?;
            let head = self.buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = head {
                break (parse(&self.buffer[..end])?, end + 4);
            }
        };
        see(&self.buffer[head..filled]);
        let mut received = (filled - head) as u64;
        while received < answer.length {
            let read = self.read(0).await?;
            see(&self.buffer[..read]);
            received += read as u64;
        }
        if received > answer.length { Err(io::Error::other("more came than was announced")) } else { Ok(answer) }
    }

    async fn read(&mut self, at: usize) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer[at..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

fn parse(head: &[u8]) -> io::Result<Answer> {
    let head = std::str::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("no status"))?;
    let header = |wanted: &str| {
        let mut headers = lines.clone().filter_map(|line| line.split_once(": "));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    // None of the answers that are asked for here comes in pieces of unknown number.
    let length = header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
    Ok(Answer { status, length, location: header("location").map(str::to_owned) })
}
