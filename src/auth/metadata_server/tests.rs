//! The metadata server, as far as tokens go.

use std::collections::HashMap;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;

use super::super::TokenSource;
use super::*;
use crate::error::Kind;

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

#[tokio::test]
async fn the_machine_is_asked_as_google_documents_it() {
    let answer = |Query(query): Query<HashMap<String, String>>, headers: HeaderMap| async move {
        assert_eq!(headers[FLAVOR], "Google");
        assert_eq!(query["scopes"], Access::ReadOnly.scope());
        ([(FLAVOR, "Google")], r#"{"access_token": "ya29.machine", "expires_in": 3599, "token_type": "Bearer"}"#)
    };
    let host = serve(Router::new().route(PATH, get(answer))).await;
    let machine = MetadataServer::open(&host, Access::ReadOnly).expect("opens");
    assert_eq!(machine.token().await.expect("a token").expose(), "ya29.machine");
    assert!(!format!("{machine:?}").contains("ya29"));
}

#[tokio::test]
async fn a_machine_without_a_service_account_is_told() {
    let host =
        serve(Router::new().route(PATH, get(|| async { (StatusCode::NOT_FOUND, [(FLAVOR, "Google")], "") }))).await;
    let error = MetadataServer::open(&host, Access::ReadWrite).expect("opens").token().await.expect_err("none");
    assert!(error.to_string().contains("runs as no service account"), "{error}");
}

#[tokio::test]
async fn where_nobody_answers_or_somebody_else_there_are_no_credentials() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let stranger = serve(Router::new().route(PATH, get(|| async { "hello" }))).await;
    for host in [free, stranger] {
        let error = MetadataServer::open(&host, Access::ReadWrite).expect("opens").token().await.expect_err("none");
        assert_eq!(error.kind(), Kind::SignIn);
        let text = error.to_string();
        assert!(text.contains("GOOGLE_APPLICATION_CREDENTIALS") && text.contains("gcloud auth"), "{text}");
    }
    assert!(MetadataServer::open("no host", Access::ReadWrite).is_err());
}
