//! What somebody pastes: an address from a browser, or a code, with what a clipboard adds to it.

use super::super::Secret;

/// Why what was pasted is no answer. One sentence that says what to paste instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasteError {
    /// Nothing at all.
    #[error("nothing was pasted; paste the whole address that the browser shows after you have allowed access")]
    Empty,
    /// The link itself, or an address that leads elsewhere.
    #[error("this address has no code in it; allow access first, and paste the address that the browser shows then")]
    NoCode,
    /// It was made for another link.
    #[error(
        "this address belongs to another sign-in; open the link of this one, and paste the address that comes of it"
    )]
    OtherSignIn,
    /// The person said no.
    #[error("access was not allowed; open the link again, and allow it")]
    Denied,
    /// Anything else.
    #[error(
        "this is neither the address that the browser shows nor a code; paste the whole address, it begins with http://127.0.0.1"
    )]
    Unknown,
}

/// The code in what was pasted.
pub(super) fn understand(text: &str, state: &str) -> Result<Secret, PasteError> {
    let text = text.trim().trim_matches(['"', '\'', '<', '>', '`']).trim();
    if text.is_empty() {
        return Err(PasteError::Empty);
    }
    // Browsers leave out parts of an address that they show, and people parts of what they copy.
    let query = match text.split_once('?') {
        Some((_, query)) => query.split('#').next().unwrap_or(query),
        None if text.contains("code=") => text,
        None if text.contains("://") => return Err(PasteError::NoCode),
        None => return code_alone(text),
    };
    let part = |name: &str| {
        let mut parts = url::form_urlencoded::parse(query.as_bytes());
        parts.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    if part("state").is_some_and(|other| other != state) {
        return Err(PasteError::OtherSignIn);
    }
    if part("error").is_some() {
        return Err(PasteError::Denied);
    }
    part("code").filter(|code| !code.is_empty()).map(|code| Secret::new(&code)).ok_or(PasteError::NoCode)
}

/// A code without its address: as it is, or as it stands in an address (`4%2F0Ab…`).
fn code_alone(text: &str) -> Result<Secret, PasteError> {
    let field = format!("code={}", text.replace('+', "%2B"));
    let code = url::form_urlencoded::parse(field.as_bytes()).next().map(|(_, code)| code.into_owned());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/+=".contains(&byte);
    let code = code.filter(|code| code.len() >= 10 && code.bytes().all(fits));
    code.map(|code| Secret::new(&code)).ok_or(PasteError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_in_whatever_a_browser_or_a_clipboard_makes_of_it() {
        for text in [
            "http://127.0.0.1:4711/?state=s1&code=4%2F0AbCd-efgh&scope=x",
            " \"http://127.0.0.1:4711/?code=4/0AbCd-efgh&state=s1\"\n",
            "127.0.0.1:4711/?state=s1&code=4/0AbCd-efgh",
            "localhost:4711/?code=4/0AbCd-efgh",
            "?state=s1&code=4/0AbCd-efgh",
            "code=4/0AbCd-efgh&state=s1",
            "4/0AbCd-efgh",
            "4%2F0AbCd-efgh",
        ] {
            assert_eq!(understand(text, "s1").expect(text).expose(), "4/0AbCd-efgh", "{text}");
        }
    }

    #[test]
    fn what_is_no_answer_says_what_to_paste_instead() {
        for (text, error) in [
            ("", PasteError::Empty),
            ("  \n", PasteError::Empty),
            ("https://accounts.google.com/o/oauth2/v2/auth?client_id=x&state=s1", PasteError::NoCode),
            ("http://127.0.0.1:1/?state=other&code=4/0AbCd-efgh", PasteError::OtherSignIn),
            ("http://127.0.0.1:1/?state=s1&error=access_denied", PasteError::Denied),
            ("yes", PasteError::Unknown),
            ("I have allowed it", PasteError::Unknown),
        ] {
            assert_eq!(understand(text, "s1").expect_err(text), error, "{text}");
        }
    }
}
