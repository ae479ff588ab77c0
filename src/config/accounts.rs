//! Where stored sign-ins are, and what they may be called.

use std::path::PathBuf;

use super::config_dir;

/// The longest name of an account.
const MAX_NAME: usize = 64;

/// The file of the account `name`. What is wrong with the name is said as the end of a sentence.
pub fn account(name: &str) -> Result<PathBuf, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@+".contains(&byte);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.bytes().all(fits) {
        return Err(format!(
            "not a name for an account; use letters, digits and . - _ @ +, at most {MAX_NAME} of them"
        ));
    }
    let dir = config_dir().ok_or("there is no home folder to keep accounts in")?;
    Ok(dir.join("accounts").join(format!("{name}.json")))
}

/// The names of all accounts that are stored, sorted.
pub fn accounts() -> Vec<String> {
    let entries = config_dir().and_then(|dir| std::fs::read_dir(dir.join("accounts")).ok()).into_iter().flatten();
    let name = |entry: std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned);
    let mut names: Vec<String> = entries.flatten().filter_map(name).filter(|name| account(name).is_ok()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        for name in ["", "..", ".hidden", "a/b", "a b", "é", &"x".repeat(65)] {
            assert!(account(name).is_err(), "{name:?}");
        }
        let path = account("me+drive@example.org").expect("a name");
        assert!(path.ends_with("drivemount/accounts/me+drive@example.org.json"), "{}", path.display());
    }
}
