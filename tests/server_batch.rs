//! Many calls in one request to the embedded drive.

#[path = "support/server.rs"]
mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Answer, Drive, bytes, id};

/// An answer in a batch, taken apart.
#[derive(Debug)]
struct Part {
    id: Option<String>,
    status: u16,
    headers: String,
    body: String,
}

impl Part {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    fn refused(&self, status: u16, reason: &str) {
        assert_eq!((self.status, &self.json()["error"]["errors"][0]["reason"]), (status, &json!(reason)), "{self:?}");
    }
}

/// The body of a batch of these calls, each named by its place.
fn batch(calls: &[String]) -> String {
    let part = |(index, call): (usize, &String)| {
        format!("--cut\r\nContent-Type: application/http\r\nContent-ID: <call + {index}>\r\n\r\n{call}\r\n")
    };
    calls.iter().enumerate().map(part).collect::<String>() + "--cut--\r\n"
}

fn parts(answer: &Answer) -> Vec<Part> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let content_type = answer.header("content-type").expect("a type");
    let cut = content_type.strip_prefix("multipart/mixed; boundary=").expect("a multipart answer");
    let text = String::from_utf8(answer.body.clone()).expect("text");
    let inner = text.strip_suffix(&format!("--{cut}--\r\n")).expect("a closing boundary");
    let mut parts = Vec::new();
    for part in inner.split(&format!("--{cut}\r\n")).skip(1) {
        let (outer, rest) = part.split_once("\r\n\r\n").expect("headers of the part");
        let (head, body) = rest.split_once("\r\n\r\n").expect("headers of the answer");
        assert!(outer.contains("Content-Type: application/http"), "{outer}");
        let id = outer.lines().find_map(|line| line.strip_prefix("Content-ID: ")).map(str::to_owned);
        let status = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].parse().expect("a status");
        let body = body.strip_suffix("\r\n").expect("a line end").to_owned();
        parts.push(Part { id, status, headers: head.to_owned(), body });
    }
    parts
}

async fn send(drive: &Drive, path: &str, calls: &[String]) -> Answer {
    drive.post(path).header("content-type", "multipart/mixed; boundary=\"cut\"").body(batch(calls)).send().await
}

async fn run(drive: &Drive, calls: &[String]) -> Vec<Part> {
    parts(&send(drive, "/batch/drive/v3", calls).await)
}

#[tokio::test]
async fn calls_are_answered_in_their_order_each_with_its_own_result() {
    let drive = Drive::start().await;
    let file = id(&drive.create(json!({ "name": "a" })).await);
    let calls = [
        format!("GET /drive/v3/files/{file}?fields=name HTTP/1.1\r\n\r\n"),
        format!(
            "PATCH /drive/v3/files/{file}?fields=name\r\nContent-Type: application/json\r\n\r\n{{\"name\": \"ä\"}}"
        ),
        "GET /drive/v3/files/nobody HTTP/1.1".to_owned(),
        "POST /drive/v3/files?fields=name\nContent-Type: application/json\n\n{\"name\": \"new\"}".to_owned(),
        format!("DELETE /drive/v3/files/{file}"),
        format!("GET /drive/v3/files/{file}"),
        "GET /drive/v3/nothing".to_owned(),
    ];
    for path in ["/batch/drive/v3", "/batch"] {
        let parts = parts(&send(&drive, path, &calls).await);
        let ids: Vec<_> = parts.iter().map(|part| part.id.clone().expect("an id")).collect();
        assert_eq!(ids, (0..7).map(|index| format!("<response-call + {index}>")).collect::<Vec<_>>());
        parts[2].refused(404, "notFound");
        parts[5].refused(404, "notFound");
        parts[6].refused(404, "notFound");
        assert_eq!((parts[3].status, parts[3].json()), (200, json!({ "name": "new" })));
        if path == "/batch/drive/v3" {
            assert_eq!((parts[0].status, parts[0].json()), (200, json!({ "name": "a" })));
            assert_eq!((parts[1].status, parts[1].json()), (200, json!({ "name": "ä" })));
            assert_eq!((parts[4].status, &*parts[4].body), (204, ""));
            assert!(parts[4].headers.contains("content-length: 0"), "{:?}", parts[4]);
            assert!(parts[1].headers.contains(&format!("content-length: {}", parts[1].body.len())), "{:?}", parts[1]);
        }
    }
    assert_eq!(drive.names("name = 'new'").await, ["new", "new"]);
}

#[tokio::test]
async fn headers_and_parameters_of_the_batch_hold_for_calls_that_do_not_say_otherwise() {
    let drive = Drive::start().await;
    let own = format!("GET /drive/v3/files/root?fields=id\r\nAuthorization: Bearer {}\r\n", drive.token);
    let wrong = "GET /drive/v3/files/root?fields=id\r\nAuthorization: Bearer wrong\r\n".to_owned();
    let silent = "GET /drive/v3/files/root?fields=id".to_owned();
    let answers = run(&drive, &[own.clone(), wrong.clone(), silent.clone()]).await;
    assert_eq!((answers[0].status, answers[2].status), (200, 200));
    answers[1].refused(401, "authError");

    let multipart = "multipart/mixed; boundary=cut";
    let call = drive.anonymous(Method::POST, "/batch/drive/v3").header("content-type", multipart);
    let answers = parts(&call.body(batch(&[own, wrong, silent])).send().await);
    assert_eq!(answers[0].status, 200);
    answers[1].refused(401, "authError");
    answers[2].refused(401, "authError");

    let calls = ["GET /drive/v3/files/root".to_owned(), "GET /drive/v3/files/root?fields=name".to_owned()];
    let answers = parts(&send(&drive, "/batch/drive/v3?fields=mimeType", &calls).await);
    assert_eq!(answers[0].json(), json!({ "mimeType": support::FOLDER }));
    assert_eq!(answers[1].json(), json!({ "name": "My Drive" }));
}

#[tokio::test]
async fn calls_after_the_hundredth_are_refused() {
    let drive = Drive::start().await;
    let create = "POST /drive/v3/files?fields=id\r\nContent-Type: application/json\r\n\r\n{\"name\": \"x\"}".to_owned();
    let answers = run(&drive, &vec![create; 102]).await;
    assert_eq!(answers.len(), 102);
    assert!(answers[..100].iter().all(|part| part.status == 200));
    answers[100].refused(403, "forbidden");
    answers[101].refused(403, "forbidden");
    assert_eq!(drive.names("name = 'x'").await.len(), 100);
}

#[tokio::test]
async fn there_is_no_media_in_a_batch() {
    let drive = Drive::start().await;
    let file = drive.upload(&json!({ "name": "a" }), &bytes(1000)).await;
    let (file, revision) = (id(&file), file["headRevisionId"].as_str().expect("an id").to_owned());
    let document = json!({ "name": "d", "mimeType": "application/vnd.google-apps.document" });
    let document = id(&drive.create(document).await);
    let calls = [
        format!("GET /drive/v3/files/{file}?alt=media"),
        format!("GET /drive/v3/files/{file}/revisions/{revision}?alt=media"),
        "GET /drive/v3/files/nobody?alt=media".to_owned(),
        format!("GET /drive/v3/files/{document}/export?mimeType=text/plain"),
        "POST /upload/drive/v3/files?uploadType=media\r\nContent-Type: text/plain\r\n\r\nabc".to_owned(),
        format!("GET /drive/v3/files/{file}?alt=media\r\nAuthorization: Bearer wrong\r\n"),
    ];
    let answers = run(&drive, &calls).await;
    for answer in &answers[..2] {
        assert_eq!((answer.status, &*answer.body), (302, ""));
        let location = answer.headers.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
        assert_eq!(drive.get(location).send().await.body, bytes(1000));
    }
    answers[2].refused(404, "notFound");
    answers[3].refused(400, "badRequest");
    answers[4].refused(400, "badRequest");
    answers[5].refused(401, "authError");
}

#[tokio::test]
async fn what_is_no_batch_is_refused_as_a_whole() {
    let drive = Drive::start().await;
    let inner = batch(&["GET /drive/v3/files/root".to_owned()]);
    for (content_type, body) in [
        ("application/json", &*inner),
        ("multipart/related; boundary=cut", &inner),
        ("multipart/mixed", &inner),
        ("multipart/mixed; boundary=cut", "--cut--"),
        ("multipart/mixed; boundary=cut", &inner[..inner.len() - 6]),
        ("multipart/mixed; boundary=cut", "--cut\r\n\r\nGET /drive/v3/files/root\r\n--cut--"),
    ] {
        let call = drive.post("/batch/drive/v3").header("content-type", content_type).body(body.to_owned());
        call.send().await.refused(400, "badRequest");
    }
    drive.get("/batch/drive/v3").send().await.refused(405, "httpMethodNotAllowed");
    let nested = format!("POST /batch/drive/v3\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n{inner}");
    let nested = nested.replace("cut", "inner");
    run(&drive, &[nested]).await[0].refused(404, "notFound");
    let elsewhere = "GET http://127.0.0.1/drive/v3/files/root".to_owned();
    let long = format!("GET /drive/v3/files?q={}", "x".repeat(8000));
    for answer in run(&drive, &[elsewhere, long, "nonsense".to_owned()]).await {
        answer.refused(400, "badRequest");
    }
    let huge = vec![b'x'; 17 * 1024 * 1024];
    let call = drive.post("/batch").header("content-type", "multipart/mixed; boundary=cut").body(huge);
    call.send().await.refused(413, "uploadTooLarge");
}
