//! Base64, as JSON web tokens and headers have it.

use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::Engine as _;

/// For addresses: no padding is made, and any is taken.
const URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// For addresses.
pub(super) fn url(bytes: &[u8]) -> String {
    URL.encode(bytes)
}

/// Reads either alphabet, padded or not. `None` if it is neither.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL.decode(text.replace('+', "-").replace('/', "_")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_hold() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(url(bytes.as_bytes()), text.trim_end_matches('='));
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(url(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
        assert_eq!(decode("a"), None);
        assert_eq!(decode("a b!"), None);
    }
}
