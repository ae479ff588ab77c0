//! What a program complained of, fit to be shown and logged.

use std::cmp::Reverse;
use std::iter;

/// More of a line than this helps nobody.
const MAX_CHARS: usize = 200;

/// Longer words of digits and letters may be a token, a key or part of one.
const LONG_WORD: usize = 20;

/// How secrets of Google's begin, and those of others that are signed.
const PREFIXES: [&str; 5] = ["ya29.", "1//", "GOCSPX-", "AIza", "eyJ"];

/// Shorter words of the command are `-u`, `sed` or `get`, and stand in any text by chance.
const LEAST_WORD: usize = 4;

/// What words of a command end at, beside blanks.
const PUNCTUATION: &str = "'\"=;|&()<>`$,@";

/// What stands in the place of a secret.
const HIDDEN: &str = "…";

/// What follows these words, and `:` or `=`, is not for everybody.
const NAMES: [&str; 7] = ["token", "secret", "password", "passwd", "bearer", "key", "code"];

/// The last line with something in it, without what may be a secret: a token, or part of the `command` itself, which may hold a
/// password and which a shell may repeat.
pub(super) fn last_line(complaint: &str, command: &str) -> Option<String> {
    let line = complaint.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let mut line = line.to_owned();
    for part in parts_of(command) {
        line = line.replace(part, HIDDEN);
    }
    let mut shown = String::new();
    let mut hide_next = false;
    for piece in line.split_inclusive(|c: char| !is_of_word(c)) {
        let (word, end) = match piece.char_indices().next_back() {
            Some((at, c)) if !is_of_word(c) => piece.split_at(at),
            _ => (piece, ""),
        };
        if !word.is_empty() {
            shown.push_str(if hide_next || is_secret(word) { HIDDEN } else { word });
        }
        shown.push_str(end);
        let is_name = NAMES.iter().any(|name| word.to_ascii_lowercase().ends_with(name));
        let says_more = matches!(end, ":" | "=" | "\"" | "'") || word.eq_ignore_ascii_case("bearer");
        // Blanks and quotes may stand between the name and what it is the name of, unless that is gone already.
        hide_next = (is_name && says_more) || (hide_next && word.is_empty() && end != HIDDEN);
    }
    let shown: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let shortened: String = shown.chars().take(MAX_CHARS).collect();
    Some(if shortened.len() < shown.len() { shortened + HIDDEN } else { shown })
}

/// What of a command nobody else is to read, the longest first: its lines, its words, and those on both sides of a colon. Its
/// first word is the name of the program, which may be told; flags and paths may, too.
fn parts_of(command: &str) -> Vec<&str> {
    let mut words =
        command.split(|c: char| c.is_whitespace() || PUNCTUATION.contains(c)).filter(|word| !word.is_empty());
    let program = words.next();
    let words = words.flat_map(|word| iter::once(word).chain(word.split(':')));
    let words = words.filter(|word| !word.starts_with(['-', '/']) && Some(*word) != program);
    let lines = command.lines().map(str::trim).filter(|line| Some(*line) != program);
    let mut parts: Vec<&str> = lines.chain(words).filter(|part| part.len() >= LEAST_WORD).collect();
    parts.sort_by_key(|part| Reverse(part.len()));
    parts
}

/// A character that secrets are made of.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '+' | '/')
}

fn is_secret(word: &str) -> bool {
    let has_digit = word.bytes().any(|byte| byte.is_ascii_digit());
    let long = |part: &str| part.len() >= LONG_WORD && part.bytes().any(|byte| byte.is_ascii_digit());
    // A path is long, too, but its parts are not.
    let is_path = word.starts_with('/') && !word.split('/').any(long);
    PREFIXES.iter().any(|prefix| word.contains(prefix)) || (has_digit && word.len() >= LONG_WORD && !is_path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_are_not_repeated() {
        for (command, complaint, shown) in [
            ("fetch --pasword hunter2", "fetch: no such flag: --pasword hunter2", "fetch: no such flag: --pasword …"),
            ("fetch --pass='open sesame'", "fetch: what is \"sesame\"?", "fetch: what is \"…\"?"),
            ("fetch -u me:hunter2", "fetch: hunter2 is not the one of me", "fetch: … is not the one of me"),
            ("fetch \"-uhunter2\" hunter2hunter2", "fetch: not hunter2hunter2", "fetch: not …"),
            ("fetch hunter2; fetch hunter2x", "fetch: hunter2x", "fetch: …"),
            ("P=hunter2 fetch", "password=hunter2 was refused", "password=… was refused"),
            ("/usr/bin/fetch -f /etc/fetch", "fetch: /etc/fetch: no such file", "fetch: /etc/fetch: no such file"),
            ("fetch", "fetch: not signed in", "fetch: not signed in"),
        ] {
            assert_eq!(last_line(complaint, command).as_deref(), Some(shown), "{command}");
        }
    }

    #[test]
    fn the_last_line_is_shown_without_what_may_be_a_secret() {
        for (complaint, shown) in [
            ("warning\nERROR: no active account\n\n", "ERROR: no active account"),
            ("cannot read /home/me/.config/gcloud/x2.db", "cannot read /home/me/.config/gcloud/x2.db"),
            ("bad token ya29.a0AfB_short", "bad token …"),
            ("refused 1//0gabc", "refused …"),
            ("header eyJhbGciOiJSUzI1NiJ9.e30.c2ln is wrong", "header … is wrong"),
            ("no such key: d0a5c8f2e1b34455aabb", "no such key: …"),
            ("login with password=hunter2 failed", "login with password=… failed"),
            (r#"{"refresh_token": "short"}"#, r#"{"refresh_token": "…"}"#),
            ("sent Bearer abc", "sent Bearer …"),
            ("sh: 1: eval: print --user me:hunter2 (unexpected", "sh: 1: eval: …unexpected"),
            ("a\u{1b}[31mred", "a [31mred"),
        ] {
            assert_eq!(last_line(complaint, "print --user me:hunter2 (").as_deref(), Some(shown));
        }
        assert_eq!(last_line("\n \n", "x"), None);
        assert_eq!(last_line(&"é".repeat(300), "x").expect("a line").chars().count(), MAX_CHARS + 1);
    }
}
