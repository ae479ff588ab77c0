//! Signed claims: a JSON web token with RS256 (RFC 7515, section 3.1).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD as BASE64, Engine as _};
use rsa::pkcs1v15::SigningKey;
use rsa::signature::{SignatureEncoding, Signer};
use serde_json::Value;
use sha2::Sha256;

/// `claims`, signed. Takes some milliseconds of computing.
pub(super) fn signed(header: &Value, claims: &Value, key: &SigningKey<Sha256>) -> String {
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = key.sign(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(signature.to_bytes()))
}
