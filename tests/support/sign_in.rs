//! Tokens of a service account, which acts for itself or for the person of the drive.
#![allow(dead_code)] // each test file uses its part

use drivemount::clock;
use reqwest::Method;
use rsa::PrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::signature::{SignatureEncoding, Signer};
use serde_json::{Value, json};
use sha2::Sha256;

use super::support::{Call, Drive};

pub(crate) const OWNER: &str = "owner@drive.localhost";
const SCOPE: &str = "https://www.googleapis.com/auth/";
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Base64 for addresses, bit by bit.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |six: &[u8]| (0..6).fold(0, |value, bit| value << 1 | usize::from(*six.get(bit).unwrap_or(&0)));
    bits.chunks(6).map(|six| char::from(alphabet[digit(six)])).collect()
}

/// A description that the drive keeps for applications.
pub(crate) fn kept(drive: &Drive, file: &str) -> Value {
    let text = std::fs::read_to_string(drive.data().join(file)).expect("is kept");
    serde_json::from_str(&text).expect("JSON")
}

/// Somebody with a token of their own.
pub(crate) struct Guest<'d> {
    drive: &'d Drive,
    token: String,
    pub(crate) email: String,
}

impl<'d> Guest<'d> {
    /// The service account, with a token for these scopes; `subject`: for whom it acts, if not for itself.
    pub(crate) async fn sign_in(drive: &'d Drive, scopes: &[&str], subject: Option<&str>) -> Self {
        let account = kept(drive, "service-account.json");
        let text = |name: &str| account[name].as_str().expect("text").to_owned();
        let now = clock::now().millis() / 1000;
        let scopes: Vec<_> = scopes.iter().map(|scope| format!("{SCOPE}{scope}")).collect();
        let (email, audience) = (text("client_email"), text("token_uri"));
        let mut claims =
            json!({ "iss": email, "aud": audience, "scope": scopes.join(" "), "iat": now, "exp": now + 3600 });
        if let Some(subject) = subject {
            claims["sub"] = subject.into();
        }
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": account["private_key_id"] });
        let signed = format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()));
        let key = PrivateKey::from_pkcs8_pem(&text("private_key")).expect("a key");
        let signature = SigningKey::<Sha256>::new(key).sign(signed.as_bytes());
        let assertion = format!("{signed}.{}", base64(&signature.to_bytes()));
        let fields = [("grant_type", ASSERTION), ("assertion", &*assertion)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let call = drive.anonymous(Method::POST, "/token");
        let answer = call.header("content-type", "application/x-www-form-urlencoded").body(body).send().await.ok();
        Self { drive, token: answer["access_token"].as_str().expect("a token").to_owned(), email }
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> Call<'d> {
        self.drive.anonymous(method, path).header("authorization", &format!("Bearer {}", self.token))
    }

    pub(crate) fn get(&self, path: &str) -> Call<'d> {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call<'d> {
        self.call(Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Call<'d> {
        self.call(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call<'d> {
        self.call(Method::DELETE, path)
    }
}
