//! The words of a query.

use super::QueryError;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A term, a keyword, `true` or `false`.
    Word(&'a str),
    /// A quoted value, its escapes resolved.
    Text(String),
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Open,
    Close,
    OpenBrace,
    CloseBrace,
}

/// Cuts `text` into words.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '{' => (Token::OpenBrace, 1),
            '}' => (Token::CloseBrace, 1),
            '=' => (Token::Equal, 1),
            '!' if rest.starts_with("!=") => (Token::NotEqual, 2),
            '<' if rest.starts_with("<=") => (Token::LessOrEqual, 2),
            '<' => (Token::Less, 1),
            '>' if rest.starts_with(">=") => (Token::GreaterOrEqual, 2),
            '>' => (Token::Greater, 1),
            '\'' => quoted(rest)?,
            first if first.is_ascii_alphabetic() => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
                (Token::Word(&rest[..end]), end)
            }
            _ => return Err(QueryError::Syntax),
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// A value in single quotes, in which `\'` and `\\` stand for the second character. Another character after a backslash
/// leaves the backslash what it is.
fn quoted(text: &str) -> Result<(Token<'_>, usize), QueryError> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '\'' => return Ok((Token::Text(value), index + 1)),
            '\\' => match characters.next_if(|&(_, next)| next == '\'' || next == '\\') {
                Some((_, escaped)) => value.push(escaped),
                None => value.push('\\'),
            },
            other => value.push(other),
        }
    }
    Err(QueryError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_quotes_must_close() {
        assert_eq!(tokens(r"'it\'s'"), Ok(vec![Token::Text("it's".into())]));
        assert_eq!(tokens(r"'a\\b\n'"), Ok(vec![Token::Text(r"a\b\n".into())]));
        assert_eq!(tokens(r"'open\'"), Err(QueryError::Syntax));
        assert_eq!(tokens("name ~ 'x'"), Err(QueryError::Syntax));
    }

    #[test]
    fn words_need_no_space_between_them() {
        let expected = vec![Token::Open, Token::Word("name"), Token::NotEqual, Token::Text("x".into()), Token::Close];
        assert_eq!(tokens("(name!='x')"), Ok(expected));
    }
}
