//! Answers that lack fields of files, as those of old, foreign or reprocessed files do.

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::header;
use serde_json::{Map, Value};

use super::super::call::header_text;

/// Takes `fields` out of each file that an answer describes.
pub(super) async fn withhold(response: Response, fields: &[String]) -> Response {
    let is_json = header_text(response.headers(), header::CONTENT_TYPE).is_some_and(|kind| kind.contains("json"));
    if !response.status().is_success() || !is_json {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Answers are in memory already.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::from_parts(head, Body::empty()) };
    let body = match serde_json::from_slice(&body) {
        Ok(Value::Object(mut answer)) => {
            strip(&mut answer, fields);
            let is_pretty = body.contains(&b'\n');
            let answer = Value::Object(answer);
            Body::from(if is_pretty { format!("{answer:#}\n") } else { answer.to_string() })
        }
        _ => Body::from(body),
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, body)
}

/// An answer is a file, a list of files, or a list of changes of files.
fn strip(answer: &mut Map<String, Value>, fields: &[String]) {
    let listed = ["files", "changes"].into_iter().filter_map(|list| answer.remove(list).map(|entries| (list, entries)));
    let listed: Vec<_> = listed.collect();
    for field in fields {
        answer.remove(field);
    }
    for (list, mut entries) in listed {
        for entry in entries.as_array_mut().into_iter().flatten() {
            let file = if list == "changes" { entry.get_mut("file") } else { Some(entry) };
            if let Some(file) = file.and_then(Value::as_object_mut) {
                for field in fields {
                    file.remove(field);
                }
            }
        }
        answer.insert(list.to_owned(), entries);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_lose_fields_wherever_they_are_and_the_rest_stays() {
        for (answer, expected) in [
            (json!({ "id": "a", "size": "1" }), json!({ "id": "a" })),
            (
                json!({ "files": [{ "size": "1", "name": "n" }, {}], "nextPageToken": "t" }),
                json!({ "files": [{ "name": "n" }, {}], "nextPageToken": "t" }),
            ),
            (
                json!({ "changes": [{ "fileId": "a", "file": { "size": "1" } }, { "removed": true }] }),
                json!({ "changes": [{ "fileId": "a", "file": {} }, { "removed": true }] }),
            ),
        ] {
            let Value::Object(mut stripped) = answer else { panic!("an object") };
            strip(&mut stripped, &["size".to_owned()]);
            assert_eq!(Value::Object(stripped), expected);
        }
    }
}
