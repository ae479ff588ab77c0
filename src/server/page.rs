//! Page tokens of listings.
//!
//! A token holds where the page ended and a fingerprint of the question, and is signed with a key of this drive, so that a
//! token of another question, another drive or no server at all is refused. To clients it is opaque.

use rusqlite::types::Value;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::error::{ApiError, Result};
use super::order::Position;

const SIGNATURE_BYTES: usize = 12;

/// The token for the page after `position` of the listing that `question` asks for.
pub(crate) fn token(secret: &str, question: &str, position: &Position) -> String {
    let keys: Vec<_> = position
        .keys
        .iter()
        .map(|key| match key {
            Value::Integer(number) => json!(number),
            Value::Text(text) => json!(text),
            // No sort key has another type; null never equals one, so such a page would come out empty, not wrong.
            Value::Null | Value::Real(_) | Value::Blob(_) => json!(null),
        })
        .collect();
    let body = json!([position.no, keys]).to_string();
    hex(&[signature(secret, question, body.as_bytes()).as_slice(), body.as_bytes()].concat())
}

/// Reads a token back. Fails if it is not one of this drive for this question.
pub(crate) fn position(secret: &str, question: &str, token: &str) -> Result<Position> {
    parse(secret, question, token).ok_or(ApiError::invalid_value("pageToken"))
}

fn parse(secret: &str, question: &str, token: &str) -> Option<Position> {
    let bytes = unhex(token)?;
    let (signed, body) = bytes.split_at_checked(SIGNATURE_BYTES)?;
    if signed != signature(secret, question, body) {
        return None;
    }
    let (no, keys): (i64, Vec<serde_json::Value>) = serde_json::from_slice(body).ok()?;
    let keys = keys.into_iter().map(|key| match key {
        serde_json::Value::Number(number) => number.as_i64().map_or(Value::Null, Value::Integer),
        serde_json::Value::String(text) => Value::Text(text),
        _ => Value::Null,
    });
    Some(Position { keys: keys.collect(), no })
}

fn signature(secret: &str, question: &str, body: &[u8]) -> [u8; SIGNATURE_BYTES] {
    // Lengths go first, so that no two inputs run together to the same bytes.
    let mut hash = Sha256::new();
    for part in [secret.as_bytes(), question.as_bytes(), body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    std::array::from_fn(|index| digest[index])
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |character: u8| char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_question_and_drive_only() {
        let place = Position { keys: vec![Value::Text("ä'\0".into()), Value::Integer(-3)], no: 42 };
        let token = token("secret", "question", &place);
        assert_eq!(position("secret", "question", &token).ok(), Some(place));
        assert!(position("secret", "another", &token).is_err());
        assert!(position("other", "question", &token).is_err());
        assert!(position("secret", "question", &token[2..]).is_err());
        assert!(position("secret", "question", &format!("{token}00")).is_err());
    }

    proptest! {
        #[test]
        fn garbage_is_refused(text in "[0-9a-f]{0,80}|.{0,40}") {
            prop_assert!(position("secret", "question", &text).is_err());
        }
    }
}
