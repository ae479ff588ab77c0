//! The drive that is read from, and the same files on the local disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::{Connection, Target};
use crate::cloud::Cloud;
use crate::content::{self, Large, PIECE};
use crate::fill;
use crate::machine::sh;

/// The large file.
pub(crate) const LARGE: &str = "large.bin";
/// A model of which only the start is read. It has no other bytes than zeros, and takes no place on the disk.
pub(crate) const MODEL: &str = "model.safetensors";
/// Files in a folder of many.
pub(crate) const IN_A_FOLDER: usize = 100;
pub(crate) const PICTURE_BYTES: usize = 20_000;
pub(crate) const TINY_BYTES: usize = 4096;
/// Files of which only the first byte is read, and their size.
const FIRSTS: usize = 5;
const FIRST_BYTES: usize = 2 * PIECE;

/// When the files were changed. As in any data set, nobody is at work on them.
const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// How much a drive has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of the large file.
    pub(crate) large: usize,
    /// Bytes of the model.
    pub(crate) model: usize,
    /// Files of 20 KB.
    pub(crate) pictures: usize,
    /// Files of 4 KiB.
    pub(crate) tiny: usize,
}

impl Shape {
    pub(crate) const FULL: Self = Self { large: 1 << 30, model: 5 << 30, pictures: 20_000, tiny: 10_000 };
    pub(crate) const QUICK: Self = Self { large: 64 << 20, model: 64 << 20, pictures: 400, tiny: 500 };
}

/// The ids of what is there.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) large: String,
    pub(crate) model: String,
    pub(crate) firsts: Vec<String>,
    pub(crate) pictures: Vec<String>,
}

pub(crate) struct Drive {
    pub(crate) cloud: Cloud,
    pub(crate) shape: Shape,
    pub(crate) ids: Ids,
    /// The same files on the local disk, the model and those of first bytes aside.
    pub(crate) local: PathBuf,
    /// Of the pieces of the large file.
    pub(crate) sums: Vec<u64>,
}

impl Drive {
    /// A drive of that shape, made if it is not there.
    pub(crate) fn open(data: &Path, shape: Shape) -> Self {
        let Shape { large, model, pictures, tiny } = shape;
        let at = data.join(format!("reads-{}-{}-{pictures}-{tiny}", large >> 20, model >> 20));
        let (folder, local, known) = (at.join("drive"), at.join("local"), at.join("ids.json"));
        if !known.exists() {
            // What was made in part is of no use.
            let _rest = fs::remove_dir_all(&at);
            fs::create_dir_all(&folder).expect("makes");
            eprintln!("making the drive");
            let ids = Maker::of(&folder).make(shape).expect("makes the drive");
            make_local(&local, shape);
            fs::write(&known, serde_json::to_vec(&ids).expect("json")).expect("notes it");
        }
        let ids = serde_json::from_slice(&fs::read(&known).expect("reads")).expect("json");
        check_disk(&local);
        Self { cloud: Cloud::start_in(&folder, &[]), shape, ids, local, sums: Large::sums(large) }
    }

    /// From now on each request is answered so much later.
    pub(crate) fn far_away(&self, way: impl Into<Way>) {
        let Way { milliseconds, line } = way.into();
        let latency = format!("*:latency,ms={milliseconds}");
        let line = line.map(|rate| format!("files.get_media+revisions.get_media:bandwidth,down={rate},shared=true"));
        let rules: Vec<&str> = std::iter::once(latency.as_str()).chain(line.as_deref()).collect();
        self.cloud.make_trouble(&rules);
    }

    pub(crate) fn near(&self) {
        self.cloud.make_trouble(&[]);
    }

    pub(crate) fn target(&self) -> Target {
        target(&self.cloud)
    }
}

/// How far away a drive is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    /// So much later it answers.
    pub(crate) milliseconds: u64,
    /// So many bytes a second come over the line, by all requests together; `None`: as many as this machine can do.
    pub(crate) line: Option<&'static str>,
}

impl From<u64> for Way {
    fn from(milliseconds: u64) -> Self {
        Self { milliseconds, line: None }
    }
}

/// The path of a file of 20 KB.
pub(crate) fn picture(number: usize) -> String {
    format!("pictures/{}/picture {number:05}.jpg", class(number))
}

/// The path of a file of 4 KiB.
pub(crate) fn tiny(number: usize) -> String {
    format!("tiny/{}/tiny {number:05}.txt", class(number))
}

/// The path of a file of which only the first byte is read.
pub(crate) fn first(number: usize) -> String {
    format!("first {number}.bin")
}

fn class(number: usize) -> String {
    format!("class {:03}", number / IN_A_FOLDER)
}

fn target(cloud: &Cloud) -> Target {
    let token = fs::read_to_string(cloud.token_file()).expect("token");
    Target { address: cloud.url.trim_start_matches("http://").to_owned(), token: Some(token.trim().to_owned()) }
}

/// Shares would mean nothing if what is compared were on different disks.
fn check_disk(local: &Path) {
    let temporary = tempfile::tempdir().expect("temporary folder");
    let disk = |path: &Path| fs::metadata(path).expect("stat").dev();
    assert_eq!(disk(local), disk(temporary.path()), "TMPDIR, where the caches are, and --data must be on one disk");
}

struct Maker {
    cloud: Cloud,
    target: Target,
    runtime: tokio::runtime::Runtime,
}

impl Maker {
    fn of(folder: &Path) -> Self {
        let cloud = Cloud::start_in(folder, &[]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        Self { target: target(&cloud), cloud, runtime }
    }

    fn make(&self, shape: Shape) -> io::Result<Ids> {
        let model = self.make_model(shape.model)?;
        let mut large = Large::new();
        let mut upload = |name: &str, size: usize| {
            let content = |at: usize| Bytes::copy_from_slice(large.piece(at / PIECE));
            self.upload(name, size, content)
        };
        let large = upload(LARGE, shape.large)?;
        let firsts = (0..FIRSTS).map(|number| upload(&first(number), FIRST_BYTES)).collect::<io::Result<_>>()?;
        let pictures = self.make_small("pictures", picture, shape.pictures, PICTURE_BYTES)?;
        self.make_small("tiny", tiny, shape.tiny, TINY_BYTES)?;
        Ok(Ids { large, model, firsts, pictures })
    }

    fn upload(&self, name: &str, size: usize, content: impl FnMut(usize) -> Bytes) -> io::Result<String> {
        const REQUEST: usize = 16 * PIECE;
        self.runtime.block_on(async {
            let mut connection = Connection::open(&self.target).await?;
            let metadata = json!({ "name": name, "modifiedTime": LONG_AGO });
            let uploaded = fill::upload(&self.target, &mut connection, &metadata, size, REQUEST, content).await?;
            Ok(uploaded.0)
        })
    }

    /// The first of all: what else is there is not looked through for zeros.
    fn make_model(&self, size: usize) -> io::Result<String> {
        let (header, zeros) = (content::header(), Bytes::from(vec![0; PIECE]));
        let data = self.cloud.data("");
        // Nobody writes to what came in earlier requests.
        let make_sparse =
            || sh(&format!("find '{}' -type f -size +1M -exec fallocate --dig-holes {{}} ';'", data.display()));
        let id = self.upload(MODEL, size, |at| {
            if at > 0 {
                if at.is_multiple_of(16 * PIECE) {
                    make_sparse();
                }
                return zeros.clone();
            }
            let mut start = zeros.to_vec();
            start[..header.len()].copy_from_slice(&header);
            start.into()
        })?;
        make_sparse();
        Ok(id)
    }

    fn make_small(
        &self,
        folder: &str,
        path: fn(usize) -> String,
        count: usize,
        size: usize,
    ) -> io::Result<Vec<String>> {
        self.runtime.block_on(async {
            let parent = self.make_folder(folder, "root").await?;
            let mut parents = Vec::new();
            for number in (0..count).step_by(IN_A_FOLDER) {
                parents.push(self.make_folder(&class(number), &parent).await?);
            }
            let target = self.target.clone();
            let request = move |number: usize| {
                let path = path(number);
                let name = path.rsplit('/').next().unwrap_or(&path);
                let parent = &parents[number / IN_A_FOLDER];
                let metadata = json!({ "name": name, "parents": [parent], "modifiedTime": LONG_AGO });
                multipart(&target, &metadata, number, size)
            };
            fill::make_all(&self.target, count, request).await
        })
    }

    async fn make_folder(&self, name: &str, parent: &str) -> io::Result<String> {
        let folder = json!({ "name": name, "parents": [parent], "mimeType": "application/vnd.google-apps.folder" });
        let mut connection = Connection::open(&self.target).await?;
        fill::make(&mut connection, &fill::post(&self.target, fill::FILES, &folder)).await
    }
}

/// A request that makes a small file with its content.
fn multipart(target: &Target, metadata: &Value, number: usize, size: usize) -> Vec<u8> {
    let start = format!(
        "--part\r\nContent-Type: application/json\r\n\r\n{metadata}\r\n\
         --part\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    let body = [start.as_bytes(), &content::small(number, size), b"\r\n--part--\r\n"].concat();
    let path = "/upload/drive/v3/files?uploadType=multipart&fields=id";
    target.request("POST", path, &[("content-type", "multipart/related; boundary=part")], &body)
}

fn make_local(at: &Path, shape: Shape) {
    let make = |path: &str| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        File::create(path).expect("makes")
    };
    let (mut large, mut file) = (Large::new(), make(LARGE));
    for index in 0..shape.large / PIECE {
        file.write_all(large.piece(index)).expect("writes");
    }
    for number in 0..shape.pictures {
        make(&picture(number)).write_all(&content::small(number, PICTURE_BYTES)).expect("writes");
    }
    for number in 0..shape.tiny {
        make(&tiny(number)).write_all(&content::small(number, TINY_BYTES)).expect("writes");
    }
}
