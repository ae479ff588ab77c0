//! The query language of `files.list`, as far as we speak it.

use super::convert::FOLDER;

/// The children of a folder that are not in the trash.
pub(super) fn children_of(folder: &str) -> String {
    format!("{} in parents and trashed = false", quote(folder))
}

/// What is in the trash of this account. What others own can be neither restored nor deleted by it.
pub(super) const TRASHED: &str = "trashed = true and 'me' in owners";

/// The folders of a name in a folder that are not in the trash.
pub(super) fn folders_of(folder: &str, name: &str) -> String {
    format!("{} and name = {} and mimeType = {}", children_of(folder), quote(name), quote(FOLDER))
}

/// A text as a value. `\'` is documented; that a backslash itself is doubled only follows from the examples, and is what
/// `rclone` does.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        if matches!(character, '\'' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_asked_for_by_the_id_of_the_folder() {
        assert_eq!(children_of("1AbC_-"), "'1AbC_-' in parents and trashed = false");
    }

    #[test]
    fn a_folder_is_asked_for_by_its_name_in_another() {
        let query = "'1AbC' in parents and trashed = false and name = 'it\\'s' and mimeType = 'application/vnd.google-apps.folder'";
        assert_eq!(folders_of("1AbC", "it's"), query);
    }

    #[test]
    fn no_text_can_end_its_quotes() {
        for (text, quoted) in
            [("it's", r"'it\'s'"), (r"a\", r"'a\\'"), (r"\'", r"'\\\''"), ("", "''"), ("né\n", "'né\n'")]
        {
            assert_eq!(quote(text), quoted);
        }
    }
}
