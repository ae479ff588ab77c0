//! What text comparisons of the drive mean.

/// The form in which names are compared: without case. Unicode is not normalised.
pub(crate) fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// The words of a text: runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// `contains` for names. The words searched for must follow each other in the name, the last may be only the beginning
/// of a word: `Hello` finds `HelloWorld`, `World` does not. Nothing is contained in everything; punctuation alone in
/// nothing. Both texts are folded.
pub(crate) fn name_contains(name: &str, searched: &str) -> bool {
    searched.is_empty() || follows(name, searched, |word, beginning| word.starts_with(beginning))
}

/// `contains` for full text: all whole words, in any order; what stands in double quotes must stand together. Both texts
/// are folded.
pub(crate) fn text_contains(text: &str, searched: &str) -> bool {
    let whole = |word: &str, searched: &str| word == searched;
    let mut found = false;
    // Every second piece between double quotes is a phrase.
    for (index, piece) in searched.split('"').enumerate() {
        if words(piece).next().is_none() {
            continue;
        }
        let all = if index % 2 == 1 {
            follows(text, piece, whole)
        } else {
            words(piece).all(|searched| words(text).any(|word| word == searched))
        };
        if !all {
            return false;
        }
        found = true;
    }
    found
}

/// Whether the words of `searched` stand in `text` one after the other, where `last` decides on the last one.
fn follows(text: &str, searched: &str, last: fn(&str, &str) -> bool) -> bool {
    let searched: Vec<&str> = words(searched).collect();
    let Some((end, leading)) = searched.split_last() else { return false };
    let mut rest = words(text);
    loop {
        let mut candidate = rest.clone();
        if leading.iter().all(|word| candidate.next() == Some(word))
            && candidate.next().is_some_and(|word| last(word, end))
        {
            return true;
        }
        if rest.next().is_none() {
            return false;
        }
    }
}

/// A text whose bytewise order is the order of people: `a2` before `a10`. Each number is preceded by its length.
pub(crate) fn natural_key(text: &str) -> String {
    let mut key = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        key.push_str(&rest[..start]);
        let digits = &rest[start..];
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let number = digits[..end].trim_start_matches('0');
        key.extend([&*format!("{:05}", number.len()), number]);
        rest = &digits[end..];
    }
    key.push_str(rest);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_contains_finds_beginnings_of_words() {
        for (name, searched, found) in [
            ("helloworld", "hello", true),
            ("helloworld", "world", false),
            ("hello world.txt", "world", true),
            ("hello world.txt", "txt", true),
            ("hello world.txt", "hello wor", true),
            ("hello world.txt", "hello.world", true),
            ("hello world.txt", "hell wor", false),
            ("hello big world", "hello world", false),
            ("a a b", "a b", true),
            ("x", "", true),
            ("x", "--", false),
            ("größe", "grö", true),
        ] {
            assert_eq!(name_contains(name, searched), found, "{name} contains {searched}");
        }
    }

    #[test]
    fn full_text_finds_whole_words_and_phrases() {
        for (text, searched, found) in [
            ("the quick brown fox", "fox quick", true),
            ("the quick brown fox", "qui", false),
            ("the quick brown fox", "\"quick brown\"", true),
            ("the quick brown fox", "\"quick fox\"", false),
            ("the quick brown fox", "\"quick brown\" fox", true),
            ("the quick brown fox", "", false),
        ] {
            assert_eq!(text_contains(text, searched), found, "{searched}");
        }
    }

    #[test]
    fn natural_order_counts() {
        let mut names = ["a10", "a2", "a", "b1", "a02b", "a2a"];
        names.sort_by_key(|name| natural_key(name));
        assert_eq!(names, ["a", "a2", "a2a", "a02b", "a10", "b1"]);
    }
}
