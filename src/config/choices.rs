//! Settings that are one of a few words, or an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What becomes of files that are in the mountpoint already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Occupied {
    /// It is not mounted there.
    #[default]
    Refuse,
    /// They are hidden for as long as it is mounted.
    Hide,
    /// They are moved into the drive.
    Import,
}

/// What becomes of what is removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum UseTrash {
    /// What was made here within the last day, and that nobody else changed or may see, is deleted for good; all else goes to
    /// the drive's trash
    Auto,
    /// Everything goes to the drive's trash: the default, because a model that was trained for hours and removed by mistake on
    /// the same day is in no other place
    #[default]
    Always,
    /// Everything is deleted for good
    Never,
}

/// Which folders are listed though nobody asked for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ListAhead {
    /// All, in the background, so that whatever somebody asks for is known already
    #[default]
    All,
    /// None: a folder is listed when somebody first asks for it
    None,
}

/// Whether the kernel may read files of the cache by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Passthrough {
    /// Where the kernel and the rights of the mount allow it, for large files that are whole in the cache
    #[default]
    Auto,
    /// Never: all is read through the mount, and kept in the kernel's page cache
    Never,
}

/// Whether a mount outlives its daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Keeper {
    /// Where the rights of the mount allow it: a small process keeps it, and when the one that serves it dies, starts another that goes
    /// on where that was
    #[default]
    Auto,
    /// Never: the mount is dead then, and is mounted again by hand
    Never,
}

/// Which content is fetched though nobody asked for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ReadAhead {
    /// The rest of a file that is read on, and the other small files of folders whose small files are read one by one
    #[default]
    Folder,
    /// The rest of a file that is read on
    File,
    /// None: a program waits for each piece that it reads
    None,
}

impl ReadAhead {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::File => "file",
            Self::None => "none",
        }
    }
}

/// What becomes of what is known of the drive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TreeSnapshot {
    /// It is kept on the drive, where people do not see it, so that another machine need not list everything again
    #[default]
    Keep,
    /// It stays on this machine
    None,
}

/// What documents of online editors are shown as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Docs {
    /// Small files that hold the address of the document: `Plan.gdoc`. Never a request, and every copy and search gets through
    #[default]
    Link,
    /// Files of office programs, made by the drive when they are first opened: `Plan.docx`, `.xlsx`, `.pptx`, `.svg`. They cannot be
    /// written. What cannot be had so is shown as with `link`
    Export,
    /// Nothing
    Hide,
}

impl Docs {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Export => "export",
            Self::Hide => "hide",
        }
    }
}

/// What `fsync` waits for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// The disk of this machine: what was written survives the loss of power
    #[default]
    Local,
    /// The drive: what was written survives the loss of this machine
    Drive,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// Where the log goes, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The file, absolute; `None`: the one in the cache folder, or the terminal of a mount in the foreground.
    pub file: Option<PathBuf>,
    /// How it is written.
    pub format: LogFormat,
}

/// Parses where numbers are served: `127.0.0.1:9100`, `[::1]:9100`, `localhost:9100`, or the port alone. Only this machine may
/// ask, because whoever does need not sign in.
pub fn parse_metrics_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let local = text.strip_prefix("localhost:").unwrap_or(text.strip_prefix(':').unwrap_or(text));
    let address = match local.parse::<u16>() {
        Ok(port) => Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => text.parse().ok(),
    };
    let address = address.ok_or("not an address of this machine; write it as 127.0.0.1:9100, or the port alone")?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "an address that other machines may reach, and nobody who asks there signs in; give 127.0.0.1:{}, and let a proxy or \
             an agent on this machine pass the numbers on",
            address.port()
        ));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_served_to_this_machine_alone() {
        for text in ["127.0.0.1:9100", "localhost:9100", ":9100", "9100"] {
            assert_eq!(parse_metrics_address(text).expect(text).to_string(), "127.0.0.1:9100");
        }
        assert_eq!(parse_metrics_address("[::1]:9100").expect("IPv6").to_string(), "[::1]:9100");
        for text in ["", "here", "localhost", "127.0.0.1", "99999", "example.org:9100"] {
            assert!(parse_metrics_address(text).expect_err(text).contains("127.0.0.1:9100"), "{text:?}");
        }
        for text in ["0.0.0.0:9100", "192.168.1.5:9100", "[::]:9100"] {
            assert!(parse_metrics_address(text).expect_err(text).contains("signs in"), "{text:?}");
        }
    }
}
