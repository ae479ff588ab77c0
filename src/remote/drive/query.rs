//! The query language of `files.list`, as far as we speak it.

use crate::remote::FileId;

/// The children of some folders that are not in the trash.
pub(super) fn children_of(folders: &[FileId]) -> String {
    let parents: Vec<_> = folders.iter().map(|folder| format!("{} in parents", quote(&folder.0))).collect();
    match parents.as_slice() {
        [parent] => format!("{parent} and trashed = false"),
        // Which of `and` and `or` binds tighter is not documented.
        parents => format!("({}) and trashed = false", parents.join(" or ")),
    }
}

/// What is in the trash of this account. What others own can be neither restored nor deleted by it.
pub(super) const TRASHED: &str = "trashed = true and 'me' in owners";

/// What has this name, and may have it in other letters.
pub(super) fn of_name(name: &str) -> String {
    format!("name = {} and trashed = false", quote(name))
}

/// The children of a folder that have this name, and may have it in other letters.
pub(super) fn named(folder: &FileId, name: &str) -> String {
    format!("{} and name = {}", children_of(std::slice::from_ref(folder)), quote(name))
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
        let folders = ["1AbC_-", "2"].map(|id| FileId(id.to_owned()));
        assert_eq!(children_of(&folders[..1]), "'1AbC_-' in parents and trashed = false");
        assert_eq!(children_of(&folders), "('1AbC_-' in parents or '2' in parents) and trashed = false");
    }

    #[test]
    fn an_entry_is_asked_for_by_its_name_in_a_folder() {
        let query = "'1AbC' in parents and trashed = false and name = 'it\\'s'";
        assert_eq!(named(&FileId("1AbC".to_owned()), "it's"), query);
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
