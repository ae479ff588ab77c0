//! Identities and secrets that the drive gives out.
//!
//! All of them come from a cryptographic generator, so that an upload address or a token cannot be guessed. File and root
//! ids have the shape that Google's have, because clients and people recognise it; nothing may depend on the shape.

use rand::RngExt;
use sha2::{Digest, Sha256};

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn text(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
}

/// Id of a file, a folder, a shortcut: 33 characters beginning with `1`.
pub(crate) fn file() -> String {
    format!("1{}", text(BASE64_URL, 32))
}

/// Id of the folder at the top: 19 characters beginning with `0A`.
pub(crate) fn root() -> String {
    format!("0A{}Uk9PVA", text(BASE64_URL, 11))
}

/// Id of one content of a file.
pub(crate) fn revision() -> String {
    format!("0B{}", text(BASE64_URL, 49))
}

/// Id of the permissions of somebody who has no account here, or of a domain: digits only, the same for each item.
pub(crate) fn permission_of(address: &str) -> String {
    let digest = Sha256::digest(address.to_lowercase().as_bytes());
    digest.iter().take(20).map(|byte| char::from(b'0' + byte % 10)).collect()
}

/// Id of an account: digits only.
pub(crate) fn account() -> String {
    text(b"0123456789", 20)
}

/// Id of an upload session. Whoever knows it can write to the file.
pub(crate) fn upload() -> String {
    format!("A{}", text(BASE64_URL, 63))
}

/// A token or a key: 258 bits.
pub(crate) fn secret() -> String {
    text(BASE64_URL, 43)
}

/// Code that a person reads on one screen and types on another: `ABCD-EFGH`, of letters that are not mistaken for others.
pub(crate) fn user_code() -> String {
    let letters = b"BCDFGHJKLMNPQRSTVWXZ";
    format!("{}-{}", text(letters, 4), text(letters, 4))
}

/// Id of an application that was registered to ask for sign-ins.
pub(crate) fn client() -> String {
    format!("{}-{}.apps.drive.localhost", text(b"0123456789", 12), text(b"0123456789abcdefghijklmnopqrstuvwxyz", 32))
}

/// Id of the key of a service account.
pub(crate) fn key() -> String {
    text(b"0123456789abcdef", 40)
}

/// Name of a file of bytes in the data folder.
pub(crate) fn blob() -> String {
    text(b"0123456789abcdef", 32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn ids_have_the_shape_that_clients_know() {
        assert_eq!(super::file().len(), 33);
        assert!(super::file().starts_with('1'));
        assert_eq!(super::root().len(), 19);
        assert!(super::root().starts_with("0A"));
        assert_ne!(super::file(), super::file());
    }
}
