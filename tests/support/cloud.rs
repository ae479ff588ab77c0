//! A cloud for tests: the embedded drive as a process of its own, and somebody else who uses it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_drivemount");

/// How long something that must happen by itself may take. Far beyond what it takes: a bound against hanging, not a measure.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// That the caller knows of shared drives.
pub(crate) const ALL_DRIVES: [(&str, &str); 1] = [("supportsAllDrives", "true")];

/// The embedded drive, with its data in a folder of its own.
pub(crate) struct Cloud {
    pub(crate) url: String,
    dir: PathBuf,
    /// The same, if it goes with this.
    temporary: Option<TempDir>,
    arguments: Vec<String>,
    process: Child,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Cloud {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With more arguments for `serve`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().expect("temporary folder");
        let mut cloud = Self::start_in(temporary.path(), arguments);
        cloud.temporary = Some(temporary);
        cloud
    }

    /// With its data in a folder that stays.
    pub(crate) fn start_in(dir: &Path, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (process, url) = serve(dir, "127.0.0.1:0", &arguments);
        let http = client(&url);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        Self { url, dir: dir.to_owned(), temporary: None, arguments, process, http, runtime }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("pid")
    }

    /// Kills it, as the loss of a server would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("kills");
        self.process.wait().expect("waits");
    }

    /// Starts it again, at the same address.
    pub(crate) fn restart(&mut self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let (process, url) = serve(&self.dir, &address, &self.arguments);
        assert_eq!(url, self.url);
        self.process = process;
        // The connections of the old one are dead, which nobody has noticed.
        self.http = client(&url);
    }

    /// Makes trouble by these rules, and no other.
    pub(crate) fn make_trouble(&self, rules: &[&str]) {
        self.call("PUT", "/admin/trouble", &[], Some(serde_json::json!({ "rules": rules })));
    }

    pub(crate) fn token_file(&self) -> PathBuf {
        self.data("token")
    }

    /// A file in the drive's data folder.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.dir.join("data").join(name)
    }

    /// A call to the API: its status and its answer.
    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let token = std::fs::read_to_string(self.token_file()).expect("token");
        let method = method.parse().expect("method");
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).query(query).bearer_auth(token.trim());
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("answers");
            let status = answer.status().as_u16();
            let body = answer.bytes().await.expect("body");
            (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("json") })
        })
    }

    /// A call that must succeed.
    pub(crate) fn call(&self, method: &str, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Value {
        let (status, answer) = self.try_call(method, path, query, body);
        assert!((200..300).contains(&status), "{method} {path} {query:?}: {status} {answer}");
        answer
    }

    /// All files that are not in the trash, with what tests look at.
    pub(crate) fn files(&self, query: &str) -> Vec<Value> {
        let mut files = Vec::new();
        let mut token = String::new();
        loop {
            let fields = "nextPageToken,files(id,name,parents,mimeType,md5Checksum,size,headRevisionId,createdTime,modifiedTime,trashed,properties,shortcutDetails)";
            let mut parameters = vec![("q", query), ("pageSize", "1000"), ("fields", fields)];
            if !token.is_empty() {
                parameters.push(("pageToken", &token));
            }
            let page = self.call("GET", "/drive/v3/files", &parameters, None);
            files.extend(page["files"].as_array().expect("files").iter().cloned());
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => return files,
            }
        }
    }

    /// All files that are not in the trash.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.files("trashed = false")
    }

    /// The file of a name that only one has.
    pub(crate) fn file(&self, name: &str) -> Value {
        let named: Vec<Value> = self.all().into_iter().filter(|file| file["name"] == name).collect();
        assert_eq!(named.len(), 1, "files with the name {name:?}: {named:?}");
        named[0].clone()
    }

    /// The id of the file of a name that only one has.
    pub(crate) fn id(&self, name: &str) -> String {
        self.file(name)["id"].as_str().expect("id").to_owned()
    }

    pub(crate) fn make_folder(&self, name: &str, parent: &str) -> String {
        let folder = json!({"name": name, "parents": [parent], "mimeType": "application/vnd.google-apps.folder"});
        self.call("POST", "/drive/v3/files", &ALL_DRIVES, Some(folder))["id"].as_str().expect("id").to_owned()
    }

    /// Uploads a new file; says its id.
    pub(crate) fn upload(&self, name: &str, parent: &str, content: &[u8]) -> String {
        // In one request: nobody sees it without its content.
        let metadata = json!({"name": name, "parents": [parent]});
        let mut body = format!(
            "--part\r\nContent-Type: application/json\r\n\r\n{metadata}\r\n\
             --part\r\nContent-Type: application/octet-stream\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n--part--\r\n");
        let token = std::fs::read_to_string(self.token_file()).expect("token");
        let url = format!("{}/upload/drive/v3/files?uploadType=multipart&supportsAllDrives=true", self.url);
        let request = self.http.post(url).bearer_auth(token.trim()).body(body);
        let request = request.header("Content-Type", "multipart/related; boundary=part");
        let answer =
            self.runtime.block_on(async { request.send().await.expect("answers").text().await.expect("text") });
        let created: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
        created["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Gives a file new content.
    pub(crate) fn rewrite(&self, id: &str, content: &[u8]) {
        let token = std::fs::read_to_string(self.token_file()).expect("token");
        let url = format!("{}/upload/drive/v3/files/{id}?uploadType=media&supportsAllDrives=true", self.url);
        let request = self.http.patch(url).bearer_auth(token.trim()).body(content.to_vec());
        let status = self.runtime.block_on(async { request.send().await.expect("answers").status() });
        assert!(status.is_success(), "{status}");
    }

    /// Changes metadata.
    pub(crate) fn patch(&self, id: &str, query: &[(&str, &str)], body: Value) {
        let query = [query, &ALL_DRIVES].concat();
        self.call("PATCH", &format!("/drive/v3/files/{id}"), &query, Some(body));
    }

    pub(crate) fn trash(&self, id: &str) {
        self.patch(id, &[], json!({"trashed": true}));
    }

    pub(crate) fn content(&self, id: &str) -> Vec<u8> {
        let token = std::fs::read_to_string(self.token_file()).expect("token");
        let url = format!("{}/drive/v3/files/{id}?alt=media&supportsAllDrives=true", self.url);
        let request = self.http.get(url).bearer_auth(token.trim());
        self.runtime.block_on(async {
            let answer = request.send().await.expect("answers");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("body").to_vec()
        })
    }

    /// An item, with all that is told of it.
    pub(crate) fn get(&self, id: &str) -> Value {
        let query = [&[("fields", "*")][..], &ALL_DRIVES].concat();
        self.call("GET", &format!("/drive/v3/files/{id}"), &query, None)
    }

    /// Makes a shared drive; says its id.
    pub(crate) fn make_drive(&self, name: &str) -> String {
        let request = format!("{:?}", Instant::now());
        let drive = self.call("POST", "/drive/v3/drives", &[("requestId", &request)], Some(json!({ "name": name })));
        drive["id"].as_str().expect("id").to_owned()
    }

    /// What is in a shared drive and not in its trash, by name.
    pub(crate) fn in_drive(&self, drive: &str) -> Vec<Value> {
        let fields = "files(id,name,parents,md5Checksum,headRevisionId,trashed,mimeType)";
        let query = [
            &[("q", "trashed = false"), ("corpora", "drive"), ("driveId", drive), ("fields", fields)][..],
            &[("includeItemsFromAllDrives", "true"), ("pageSize", "1000"), ("orderBy", "name")],
            &ALL_DRIVES,
        ];
        let list = self.call("GET", "/drive/v3/files", &query.concat(), None);
        list["files"].as_array().expect("files").clone()
    }

    /// Makes a shortcut; says its id.
    pub(crate) fn make_shortcut(&self, name: &str, parent: &str, target: &str) -> String {
        let kind = "application/vnd.google-apps.shortcut";
        let shortcut =
            json!({"name": name, "parents": [parent], "mimeType": kind, "shortcutDetails": {"targetId": target}});
        self.call("POST", "/drive/v3/files", &ALL_DRIVES, Some(shortcut))["id"].as_str().expect("id").to_owned()
    }

    /// Shares an item, or a shared drive, with the service account; says the id of the permission.
    pub(crate) fn share(&self, id: &str, role: &str) -> String {
        let body = json!({"type": "user", "role": role, "emailAddress": "service@drive.localhost"});
        let path = format!("/drive/v3/files/{id}/permissions");
        self.call("POST", &path, &ALL_DRIVES, Some(body))["id"].as_str().expect("id").to_owned()
    }

    /// How often calls with these names were made so far.
    pub(crate) fn requests(&self, methods: &[&str]) -> u64 {
        let meter = self.call("GET", "/admin/meter", &[], None);
        methods.iter().filter_map(|method| meter["methods"][*method]["requests"].as_u64()).sum()
    }

    /// How often anything was asked for that changes something.
    pub(crate) fn changing_requests(&self) -> u64 {
        self.requests(&["files.create", "files.update", "files.delete", "files.copy"]) + self.uploads()
    }

    /// How many contents were sent.
    pub(crate) fn uploads(&self) -> u64 {
        let meter = self.call("GET", "/admin/meter", &[], None);
        let requests = |method: &&str| meter["methods"][*method]["requests"].as_u64();
        ["uploads.simple", "uploads.start"].iter().filter_map(requests).sum()
    }

    pub(crate) fn root(&self) -> String {
        self.call("GET", "/drive/v3/files/root", &[("fields", "id")], None)["id"].as_str().expect("id").to_owned()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

fn client(url: &str) -> reqwest::Client {
    drivemount::net::client(&url.parse().expect("url"), |builder| builder).expect("client")
}

fn serve(dir: &Path, listen: &str, arguments: &[String]) -> (Child, String) {
    let mut process = Command::new(PROGRAM)
        .args(["serve", "--admin", "--listen", listen, "--data"])
        .arg(dir.join("data"))
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut ready = String::new();
    BufReader::new(process.stdout.take().expect("piped")).read_line(&mut ready).expect("ready line");
    let url = ready.split_whitespace().find(|word| word.starts_with("http://")).expect("address in the ready line");
    (process, url.to_owned())
}

/// Waits for something that must come true by itself.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(start.elapsed() < SOON, "did not come true: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
