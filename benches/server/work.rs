//! What is measured, and what must hold.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::client::{Connection, Target};
use super::fill::{BIG_BYTES, Filled};
use super::load::{Load, Outcome, Question};

/// What drivemount asks of each entry of a listing.
const FIELDS: &str = "nextPageToken,incompleteSearch,files(id,name,mimeType,parents,size,md5Checksum,headRevisionId,\
    version,modifiedTime,createdTime,trashed,properties,webViewLink,spaces)";
/// The bound for bytes, as a share of what nginx serves.
const SHARE: f64 = 0.7;
/// The bound for a page of 1,000 entries, in milliseconds.
pub(crate) const PAGE_MILLIS: f64 = 50.0;

/// One thing that is measured.
#[derive(Debug)]
pub(crate) struct Work {
    pub name: String,
    pub load: Load,
    pub figures: Vec<Figure>,
}

/// A number of an outcome.
#[derive(Debug)]
pub(crate) struct Figure {
    pub name: &'static str,
    pub of: fn(&Outcome) -> f64,
    pub is_time: bool,
    pub bound: Option<Bound>,
}

/// What must hold of our number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// This share of nginx's at least.
    Share(f64),
    /// Less than this.
    Below(f64),
}

fn throughput(bound: Option<Bound>) -> Figure {
    Figure { name: "GB/s", of: |outcome| outcome.bytes_per_second() / 1e9, is_time: false, bound }
}

fn rate() -> Figure {
    Figure { name: "requests/s", of: Outcome::requests_per_second, is_time: false, bound: None }
}

fn times(median: Option<Bound>, late: Option<Bound>) -> [Figure; 2] {
    [
        Figure { name: "p50, ms", of: |outcome| outcome.percentile(50), is_time: true, bound: median },
        Figure { name: "p99, ms", of: |outcome| outcome.percentile(99), is_time: true, bound: late },
    ]
}

/// All of it, with the files put in place that nginx serves from `root`. `data` is the data folder of our server.
pub(crate) async fn all(ours: &Target, filled: &Filled, data: &Path, root: &Path) -> io::Result<Vec<Work>> {
    let mut mirror = Mirror { ours, root, connection: Connection::open(ours).await? };
    share_big(data, root)?;
    let big = |range| Question { path: media(&filled.big), file: "big".into(), range };
    let quarter = (BIG_BYTES / 4) as u64;
    let quarters = (0..4).map(|index| big(Some((index * quarter, (index + 1) * quarter - 1)))).collect();
    let mut small = Vec::new();
    for id in &filled.small {
        small.push(mirror.question(&media(id), &format!("small-{id}")).await?);
    }
    let bound = Some(Bound::Share(SHARE));
    let mut works = vec![
        Work {
            name: "1 GiB, one stream".into(),
            load: Load { questions: vec![big(None)], connections: 1, requests: 1 },
            figures: vec![throughput(bound)],
        },
        Work {
            name: "1 GiB, 4 ranges at a time".into(),
            load: Load { questions: quarters, connections: 4, requests: 4 },
            figures: vec![throughput(bound)],
        },
        Work {
            name: "files of 20 KiB, 200 in flight".into(),
            load: Load { questions: small.clone(), connections: 200, requests: 20_000 },
            figures: [rate()].into_iter().chain(times(None, None)).collect(),
        },
    ];

    let in_folder = format!("'{}' in parents and trashed = false", filled.large_folder);
    let pages = [
        ("first page of the large folder", page(&in_folder, 1000, None)),
        ("page 50 of the large folder", mirror.deep_page(&in_folder, 50).await?),
        ("page 500 of the whole account", mirror.deep_page("trashed = false", 500).await?),
    ];
    for (index, (name, path)) in pages.into_iter().enumerate() {
        let question = mirror.question(&path, &format!("page-{index}")).await?;
        for (readers, plural) in [(1, ""), (8, "s")] {
            let bound = Some(Bound::Below(PAGE_MILLIS));
            works.push(Work {
                name: format!("{name}, {readers} reader{plural}"),
                load: Load { questions: vec![question.clone()], connections: readers, requests: 200 * readers.min(2) },
                figures: times(bound, bound.filter(|_| readers == 1)).into(),
            });
        }
    }

    let mut mixed = Vec::new();
    for (index, small) in small.iter().enumerate() {
        // Of ten requests, six are for metadata, three for content, one for a page of 100.
        match index % 10 {
            0 => {
                let folder = filled.folders.get(index / 10).unwrap_or(&filled.large_folder);
                let path = page(&format!("'{folder}' in parents and trashed = false"), 100, None);
                mixed.push(mirror.question(&path, &format!("list-{index}")).await?);
            }
            1..=3 => mixed.push(small.clone()),
            _ => {
                let path = format!("/drive/v3/files/{}?fields=*", filled.small[index]);
                mixed.push(mirror.question(&path, &format!("file-{index}")).await?);
            }
        }
    }
    works.push(Work {
        name: "gets, lists and contents, 200 in flight".into(),
        load: Load { questions: mixed, connections: 200, requests: 10_000 },
        figures: [rate()].into_iter().chain(times(None, None)).collect(),
    });
    Ok(works)
}

fn media(id: &str) -> String {
    format!("/drive/v3/files/{id}?alt=media")
}

/// The address of a page of a listing.
pub(crate) fn page(q: &str, size: usize, token: Option<&str>) -> String {
    let mut query = Serializer::new("/drive/v3/files?".to_owned());
    query.append_pair("q", q).append_pair("pageSize", &size.to_string()).append_pair("fields", FIELDS);
    query.append_pair("includeItemsFromAllDrives", "true").append_pair("supportsAllDrives", "true");
    query.extend_pairs(token.map(|token| ("pageToken", token)));
    query.finish()
}

/// Lets nginx serve the very file that our server serves.
fn share_big(data: &Path, root: &Path) -> io::Result<()> {
    for folder in fs::read_dir(data.join("blobs"))? {
        for blob in fs::read_dir(folder?.path())? {
            let blob = blob?;
            if blob.metadata()?.len() == BIG_BYTES as u64 {
                return symlink(fs::canonicalize(blob.path())?, root.join("big"));
            }
        }
    }
    Err(io::Error::other("the data folder has no file of 1 GiB"))
}

/// Puts answers of our server where nginx finds them.
struct Mirror<'a> {
    ours: &'a Target,
    root: &'a Path,
    connection: Connection,
}

impl Mirror<'_> {
    async fn fetch(&mut self, path: &str) -> io::Result<Vec<u8>> {
        let (answer, body) = self.connection.fetch(&self.ours.request("GET", path, &[], b"")).await?;
        if answer.status == 200 { Ok(body) } else { Err(io::Error::other(format!("{path}: {}", answer.status))) }
    }

    async fn question(&mut self, path: &str, file: &str) -> io::Result<Question> {
        let body = self.fetch(path).await?;
        fs::write(self.root.join(file), body)?;
        Ok(Question { path: path.to_owned(), file: file.to_owned(), range: None })
    }

    /// The address of page number `number` of a listing, or of the last before it if there are fewer.
    async fn deep_page(&mut self, q: &str, number: usize) -> io::Result<String> {
        let mut path = page(q, 1000, None);
        for _ in 1..number {
            let list: Value = serde_json::from_slice(&self.fetch(&path).await?)?;
            let Some(token) = list["nextPageToken"].as_str() else { break };
            path = page(q, 1000, Some(token));
        }
        Ok(path)
    }
}
