//! rclone's configuration file: sections in brackets, a key and a value a line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The first line of a configuration that a password protects, after comments.
const ENCRYPTED: &str = "RCLONE_ENCRYPT_";

const SCOPE: &str = "https://www.googleapis.com/auth/";

/// All remotes, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Remotes(BTreeMap<String, Section>);

/// What is said of one remote.
#[derive(Clone, Default)]
pub(super) struct Section(BTreeMap<String, String>);

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Section(…)")
    }
}

impl Remotes {
    pub(super) fn get(&self, name: &str) -> Option<&Section> {
        self.0.get(name)
    }

    /// The names of the remotes of one type.
    pub(super) fn of_type<'r>(&'r self, kind: &'r str) -> impl Iterator<Item = &'r str> {
        let fits = move |section: &Section| section.get("type") == Some(kind);
        self.0.iter().filter(move |(_, section)| fits(section)).map(|(name, _)| name.as_str())
    }

    pub(super) fn set(&mut self, name: &str, key: &str, value: &str) {
        if let Some(section) = self.0.get_mut(name) {
            section.0.insert(key.to_owned(), value.to_owned());
        }
    }
}

impl Section {
    /// A value that is there and not empty.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The scopes that the remote was made with: rclone writes them short, with commas between them.
    pub(super) fn scopes(&self) -> String {
        let scopes = self.get("scope").unwrap_or("drive").split(',').map(str::trim).filter(|scope| !scope.is_empty());
        let full = |scope: &str| if scope.contains("://") { scope.to_owned() } else { format!("{SCOPE}{scope}") };
        scopes.map(full).collect::<Vec<_>>().join(" ")
    }
}

/// What is wrong is said without repeating the text, which is full of secrets.
pub(super) fn parse(text: &str) -> Result<Remotes, String> {
    let mut remotes = Remotes::default();
    let mut current = None;
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(ENCRYPTED) {
            return Err(format!(
                "it is encrypted, and only rclone can read it. Let rclone print the token: --token-command '{}', with \
                 $RCLONE_CONFIG_PASS or $RCLONE_PASSWORD_COMMAND set; or take the password away with `rclone config encryption \
                 remove`",
                printing("rclone", "NAME")
            ));
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = Some(remotes.0.entry(name.trim().to_owned()).or_default());
            continue;
        }
        let pair = current.as_mut().zip(line.split_once('='));
        let (section, (key, value)) = pair.ok_or_else(|| format!("line {number} is none of rclone's configuration"))?;
        section.0.insert(key.trim().to_owned(), unquoted(value.trim()).to_owned());
    }
    Ok(remotes)
}

/// The line of the shell by which `rclone` prints the token of a remote: any request makes it renew one that has expired.
pub(super) fn printing(rclone: &str, name: &str) -> String {
    format!("{rclone} about {name}: >/dev/null && {rclone} config show {name} | sed -n \"s/^token = //p\"")
}

/// Values that begin or end with blanks stand in quotes.
fn unquoted(value: &str) -> &str {
    let within = |quote: &str| value.strip_prefix(quote)?.strip_suffix(quote);
    within("\"\"\"").or_else(|| within("`")).unwrap_or(value)
}

/// A path as rclone understands it: `~` is the home folder, and `$NAME` or `${NAME}` a variable.
pub(super) fn expanded(path: &str) -> PathBuf {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let path = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => variable("HOME") + rest,
        _ => path.to_owned(),
    };
    let mut parts = path.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let (name, rest) = braced.unwrap_or_else(|| {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
            part.split_at(end)
        });
        expanded += &variable(name);
        expanded += rest;
    }
    expanded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_as_rclone_writes_them() {
        let text = "# comment\n[work]\ntype = drive\nclient_id = id.apps\ntoken = {\"access_token\":\"a=b\"}\nempty =\n\n\
                    [s3]\ntype = s3\n; more\n[ other ]\ntype=drive\nscope = drive.readonly, drive.file\nname = ` x `\n";
        let remotes = parse(text).expect("reads");
        assert_eq!(remotes.of_type("drive").collect::<Vec<_>>(), ["other", "work"]);
        let work = remotes.get("work").expect("is there");
        assert_eq!(work.get("token"), Some("{\"access_token\":\"a=b\"}"));
        assert_eq!((work.get("empty"), work.get("none")), (None, None));
        assert_eq!(work.scopes(), "https://www.googleapis.com/auth/drive");
        let other = remotes.get("other").expect("is there");
        assert_eq!(other.get("name"), Some(" x "));
        let scopes = "https://www.googleapis.com/auth/drive.readonly https://www.googleapis.com/auth/drive.file";
        assert_eq!(other.scopes(), scopes);
        assert!(!format!("{remotes:?}").contains("a=b"));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_repeating_it() {
        for (text, hint) in [
            ("# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nsecret", "it is encrypted"),
            ("secret = 1\n", "line 1"),
            ("[a]\ntype = drive\nsecret\n", "line 3"),
        ] {
            let why = parse(text).expect_err("not readable");
            assert!(why.contains(hint) && !why.contains("secret"), "{why}");
        }
    }

    #[test]
    fn paths_are_expanded_as_a_shell_does() {
        let home = std::env::var("HOME").unwrap_or_default();
        assert_eq!(expanded("/a/b c"), PathBuf::from("/a/b c"));
        assert_eq!(expanded("~/key.json"), PathBuf::from(format!("{home}/key.json")));
        assert_eq!(expanded("$HOME/x/${HOME}y"), PathBuf::from(format!("{home}/x/{home}y")));
    }
}
