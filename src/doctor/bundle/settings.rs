//! The settings file as it may be told.
//!
//! It is read as TOML and not searched for what looks like a secret: only values of keys that are known to be harmless stay. So a
//! secret is gone in whatever way it is quoted, and one whose key is misspelt, too. Comments go: they may hold what was a setting.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::redact::REDACTED;

/// The text of the file without its secrets, or why it is left out. None if there is no file.
pub(super) fn told(path: &Path, harmless: &[String]) -> Option<String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return None,
        Err(error) => return Some(format!("left out: it cannot be read: {error}\n")),
    };
    let left_out = |line| format!("left out: line {line} is no TOML, so that secrets cannot be told from the rest\n");
    Some(without_secrets(&text, harmless).unwrap_or_else(left_out))
}

/// What a part of the text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Plain,
    Secret,
}

/// `text` without the values of all keys but the harmless ones. An error is the line that cannot be understood.
fn without_secrets(text: &str, harmless: &[String]) -> Result<String, usize> {
    let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|error| line_of(error.span().map_or(0, |span| span.start)))?;
    let mut parts = Vec::new();
    for (key, value) in table.get_ref() {
        // As it is meant, if not as it is written.
        let name = key.get_ref().replace('_', "-").to_lowercase();
        parts.push((key.span(), Part::Plain));
        add_parts(value, if harmless.contains(&name) { Part::Plain } else { Part::Secret }, &mut parts);
    }
    parts.sort_by_key(|(span, _)| span.start);
    let mut told = String::with_capacity(text.len());
    let mut at = 0;
    for (span, part) in parts {
        let start = span.start;
        let (before, within) = text.get(at..start).zip(text.get(span.clone())).ok_or_else(|| line_of(start))?;
        told.push_str(&without_comments(before));
        match part {
            Part::Plain => told.push_str(within),
            Part::Secret => told.extend(["\"", REDACTED, "\""]),
        }
        at = span.end;
    }
    told.push_str(&without_comments(text.get(at..).unwrap_or_default()));
    Ok(told)
}

/// Adds the keys and the single values of which `value` is made.
fn add_parts(value: &Spanned<DeValue<'_>>, part: Part, parts: &mut Vec<(Range<usize>, Part)>) {
    match value.get_ref() {
        DeValue::Array(items) => items.iter().for_each(|item| add_parts(item, part, parts)),
        DeValue::Table(entries) => {
            for (key, value) in entries {
                parts.push((key.span(), Part::Plain));
                add_parts(value, part, parts);
            }
        }
        _ => parts.push((value.span(), part)),
    }
}

/// What stands between keys and values, without comments: there, a `#` begins one.
fn without_comments(between: &str) -> String {
    let lines = between.split_inclusive('\n').map(|line| match line.split_once('#') {
        Some((before, comment)) if comment.ends_with('\n') => format!("{}\n", before.trim_end()),
        Some((before, _)) => before.trim_end().to_owned(),
        None => line.to_owned(),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> Result<String, usize> {
        without_secrets(text, &["cache-size".to_owned(), "exclude".to_owned()])
    }

    #[test]
    fn a_secret_is_gone_however_it_is_quoted() {
        for value in [
            r#""curl -su \"me:hunter2\" https://idp/t""#,
            r#""curl -su 'me:hunter2' https://idp/t""#,
            r#"'curl -su "me:hunter2" https://idp/t'"#,
            "\"\"\"\nhunter2\n\"hunter2\"\n\"\"\"",
            "'''\nhunter2 # hunter2\nhunter2'''",
            "\"hunter2\\u0022hunter2 # é\"",
        ] {
            for key in ["token", "token-command", "client-secret", "'token'", "tokn", "Token_Command"] {
                let text = format!("cache-size = \"2G\"\n{key} = {value} # was hunter2\nexclude = [\"#1\"]\n");
                let told = redacted(&text).expect("TOML");
                assert_eq!(told, format!("cache-size = \"2G\"\n{key} = \"[redacted]\"\nexclude = [\"#1\"]\n"));
            }
        }
    }

    #[test]
    fn a_secret_is_gone_wherever_it_stands() {
        assert_eq!(
            redacted("#token = \"hunter2\"\ntoken = [\"hunter2\", # hunter2\n  { a = \"hunter2\" }]\n"),
            Ok("\ntoken = [\"[redacted]\",\n  { a = \"[redacted]\" }]\n".to_owned())
        );
        assert_eq!(
            redacted("cache_size = 7\na.b = 1\n[mount]\ntoken = \"hunter2\"\n[mount.x]\n[[y]]\nz=1\n[[y]]\nz=2 #"),
            Ok("cache_size = 7\na.b = \"[redacted]\"\n[mount]\ntoken = \"[redacted]\"\n[mount.x]\n[[y]]\n\
                z=\"[redacted]\"\n[[y]]\nz=\"[redacted]\""
                .to_owned())
        );
        assert_eq!(redacted(""), Ok(String::new()));
    }

    #[test]
    fn a_file_that_is_no_toml_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("config.toml");
        assert_eq!(told(&path, &[]), None);
        for (text, words) in
            [(&b"\ntoken = hunter2"[..], "left out: line 2"), (b"token = \"hunter2", "left out: line 1")]
        {
            fs::write(&path, text).expect("writes");
            let told = told(&path, &[]).expect("why");
            assert!(told.starts_with(words) && !told.contains("hunter2"), "{told}");
        }
        fs::write(&path, b"token = \"hunter2\xff\"").expect("writes");
        let told = told(&path, &[]).expect("why");
        assert!(told.starts_with("left out: it cannot be read") && !told.contains("hunter2"), "{told}");
    }
}
