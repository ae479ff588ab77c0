//! From the words of a query to its meaning.

use crate::clock::Timestamp;

use super::super::permission::{Holder, Role};
use super::lexer::{Token, tokens};
use super::{Comparison, Expr, PropertyScope, QueryError, Term, TimeField, Visibility};

/// Nesting of parentheses and negations; bounds the recursion here and the depth of the database's expression.
const MAX_DEPTH: usize = 64;
/// Comparisons in one query. Clients join some 50 folders in one; the database refuses expressions deeper than 1000.
const MAX_TERMS: usize = 500;

/// What a query is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Files,
    Drives,
}

/// Parses a query on files.
pub(crate) fn parse(text: &str) -> Result<Expr, QueryError> {
    parse_for(Subject::Files, text)
}

/// Parses a query on shared drives. Terms that only an administrator may use are refused.
pub(crate) fn parse_for_drives(text: &str) -> Result<Expr, QueryError> {
    parse_for(Subject::Drives, text)
}

fn parse_for(subject: Subject, text: &str) -> Result<Expr, QueryError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { subject, rest: &tokens, terms: 0 };
    let expr = parser.or(0)?;
    if parser.rest.is_empty() { Ok(expr) } else { Err(QueryError::Syntax) }
}

struct Parser<'t, 's> {
    subject: Subject,
    rest: &'t [Token<'s>],
    terms: usize,
}

impl<'t, 's> Parser<'t, 's> {
    fn next(&mut self) -> Result<&'t Token<'s>, QueryError> {
        let (first, rest) = self.rest.split_first().ok_or(QueryError::Syntax)?;
        self.rest = rest;
        Ok(first)
    }

    fn take(&mut self, token: &Token<'_>) -> bool {
        let taken = self.rest.first() == Some(token);
        if taken {
            self.rest = &self.rest[1..];
        }
        taken
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let taken = matches!(self.rest.first(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        if taken {
            self.rest = &self.rest[1..];
        }
        taken
    }

    fn expect(&mut self, token: &Token<'_>) -> Result<(), QueryError> {
        if self.take(token) { Ok(()) } else { Err(QueryError::Syntax) }
    }

    fn or(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut expr = self.and(depth)?;
        while self.keyword("or") {
            expr = Expr::Or(Box::new(expr), Box::new(self.and(depth)?));
        }
        Ok(expr)
    }

    fn and(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut expr = self.unary(depth)?;
        while self.keyword("and") {
            expr = Expr::And(Box::new(expr), Box::new(self.unary(depth)?));
        }
        Ok(expr)
    }

    fn unary(&mut self, depth: usize) -> Result<Expr, QueryError> {
        if depth > MAX_DEPTH {
            return Err(QueryError::Syntax);
        }
        if self.keyword("not") {
            return Ok(Expr::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.take(&Token::Open) {
            let expr = self.or(depth + 1)?;
            self.expect(&Token::Close)?;
            return Ok(expr);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(QueryError::Syntax);
        }
        self.term()
    }

    fn term(&mut self) -> Result<Expr, QueryError> {
        match self.next()? {
            Token::Text(value) if self.subject == Subject::Files => self.membership(value.clone()),
            Token::Word(name) if self.subject == Subject::Files => self.comparison(name),
            Token::Word(name) => self.comparison_of_drives(name),
            _ => Err(QueryError::Syntax),
        }
    }

    /// `'value' in …`
    fn membership(&mut self, value: String) -> Result<Expr, QueryError> {
        if !self.keyword("in") {
            return Err(QueryError::Syntax);
        }
        let term = match self.next()? {
            Token::Word("parents") => Term::InParents(value),
            Token::Word("owners") => Term::InOwners(value),
            Token::Word("writers") => Term::InUsers(value, Role::Writer),
            Token::Word("readers") => Term::InUsers(value, Role::Reader),
            Token::Word("labels") => Term::InLabels(value),
            _ => return Err(QueryError::Syntax),
        };
        Ok(Expr::Term(term))
    }

    fn comparison(&mut self, name: &str) -> Result<Expr, QueryError> {
        match name {
            "name" => self.text(Term::Name, Some(Term::NameContains)),
            "mimeType" => self.text(Term::MimeType, Some(Term::MimeTypeContains)),
            "shortcutDetails.targetId" => self.text(Term::ShortcutTarget, None),
            "fullText" => {
                if !self.keyword("contains") {
                    return Err(QueryError::Syntax);
                }
                Ok(Expr::Term(Term::FullText(self.value()?)))
            }
            "createdTime" => self.time(TimeField::Created),
            "modifiedTime" => self.time(TimeField::Modified),
            "viewedByMeTime" => self.time(TimeField::ViewedByMe),
            "trashed" => self.flag(Term::Trashed),
            "starred" => self.flag(Term::Starred),
            "sharedWithMe" => self.flag(Term::SharedWithMe),
            "visibility" => self.visibility(),
            "properties" => self.property(PropertyScope::Public),
            "appProperties" => self.property(PropertyScope::Private),
            _ => Err(QueryError::Syntax),
        }
    }

    fn comparison_of_drives(&mut self, name: &str) -> Result<Expr, QueryError> {
        match name {
            "name" => self.text(Term::Name, Some(Term::NameContains)),
            "createdTime" => self.time(TimeField::Created),
            "hidden" => self.flag(Term::Hidden),
            _ => Err(QueryError::Syntax),
        }
    }

    fn value(&mut self) -> Result<String, QueryError> {
        match self.next()? {
            Token::Text(value) => Ok(value.clone()),
            _ => Err(QueryError::Syntax),
        }
    }

    /// `=` or `!=`: whether the comparison is to be negated.
    fn negated(&mut self) -> Result<bool, QueryError> {
        match self.next()? {
            Token::Equal => Ok(false),
            Token::NotEqual => Ok(true),
            _ => Err(QueryError::Syntax),
        }
    }

    fn text(&mut self, equal: fn(String) -> Term, contains: Option<fn(String) -> Term>) -> Result<Expr, QueryError> {
        if let Some(contains) = contains
            && self.keyword("contains")
        {
            return Ok(Expr::Term(contains(self.value()?)));
        }
        let ordered = matches!(
            self.rest,
            [Token::Less | Token::LessOrEqual | Token::Greater | Token::GreaterOrEqual, Token::Text(_), ..]
        );
        if ordered && matches!(equal(String::new()), Term::Name(_)) {
            return Err(QueryError::NameOrder);
        }
        let negated = self.negated()?;
        Ok(term(equal(self.value()?), negated))
    }

    fn time(&mut self, field: TimeField) -> Result<Expr, QueryError> {
        let (comparison, negated) = match self.next()? {
            Token::Less => (Comparison::Less, false),
            Token::LessOrEqual => (Comparison::LessOrEqual, false),
            Token::Equal => (Comparison::Equal, false),
            Token::NotEqual => (Comparison::Equal, true),
            Token::GreaterOrEqual => (Comparison::GreaterOrEqual, false),
            Token::Greater => (Comparison::Greater, false),
            _ => return Err(QueryError::Syntax),
        };
        let time = time(&self.value()?).ok_or(QueryError::Syntax)?;
        Ok(term(Term::Time(field, comparison, time), negated))
    }

    fn flag(&mut self, make: fn(bool) -> Term) -> Result<Expr, QueryError> {
        let negated = self.negated()?;
        let value = match self.next()? {
            Token::Word("true") => true,
            Token::Word("false") => false,
            _ => return Err(QueryError::Syntax),
        };
        Ok(Expr::Term(make(value != negated)))
    }

    fn visibility(&mut self) -> Result<Expr, QueryError> {
        let negated = self.negated()?;
        let visibility = match self.value()?.as_str() {
            "limited" => Visibility::Limited,
            "anyoneCanFind" => Visibility::Shared(Holder::Anyone, true),
            "anyoneWithLink" => Visibility::Shared(Holder::Anyone, false),
            "domainCanFind" => Visibility::Shared(Holder::Domain, true),
            "domainWithLink" => Visibility::Shared(Holder::Domain, false),
            _ => return Err(QueryError::Syntax),
        };
        Ok(term(Term::Visibility(visibility), negated))
    }

    /// `has { key='…' and value='…' }`, in either order.
    fn property(&mut self, scope: PropertyScope) -> Result<Expr, QueryError> {
        if !self.keyword("has") {
            return Err(QueryError::Syntax);
        }
        self.expect(&Token::OpenBrace)?;
        let first = self.property_part()?;
        if !self.keyword("and") {
            return Err(QueryError::Syntax);
        }
        let second = self.property_part()?;
        self.expect(&Token::CloseBrace)?;
        let ((("key", key), ("value", value)) | (("value", value), ("key", key))) = (first, second) else {
            return Err(QueryError::Syntax);
        };
        Ok(Expr::Term(Term::Property { scope, key, value }))
    }

    fn property_part(&mut self) -> Result<(&'s str, String), QueryError> {
        let Token::Word(name) = *self.next()? else { return Err(QueryError::Syntax) };
        self.expect(&Token::Equal)?;
        Ok((name, self.value()?))
    }
}

fn term(term: Term, negated: bool) -> Expr {
    let expr = Expr::Term(term);
    if negated { Expr::Not(Box::new(expr)) } else { expr }
}

/// RFC 3339, where the zone may be missing (it is UTC then), and the time of day too.
fn time(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TtZz".contains(&byte)) {
        return None;
    }
    let date_only = text.len() == "2026-01-02".len();
    Timestamp::parse_rfc3339(text)
        .or_else(|| Timestamp::parse_rfc3339(&format!("{text}Z")))
        .or_else(|| if date_only { Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")) } else { None })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> Expr {
        Expr::Term(Term::Name(name.into()))
    }

    fn not(expr: Expr) -> Expr {
        Expr::Not(Box::new(expr))
    }

    fn and(left: Expr, right: Expr) -> Expr {
        Expr::And(Box::new(left), Box::new(right))
    }

    fn or(left: Expr, right: Expr) -> Expr {
        Expr::Or(Box::new(left), Box::new(right))
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        let (a, b, c) = (|| name("a"), || name("b"), || name("c"));
        for (text, expected) in [
            ("name='a' or name='b' and name='c'", or(a(), and(b(), c()))),
            ("(name='a' or name='b') and name='c'", and(or(a(), b()), c())),
            ("not name='a' and name='b'", and(not(a()), b())),
            ("not (name='a' and not name='b')", not(and(a(), not(b())))),
            ("name='a' AND name='b' and name='c'", and(and(a(), b()), c())),
            ("((name != 'a'))", not(a())),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_term_is_understood() {
        for text in [
            "name contains 'x'",
            "fullText contains '\"two words\"'",
            "mimeType != 'text/plain'",
            "mimeType contains 'image/'",
            "modifiedTime > '2012-06-04T12:00:00'",
            "createdTime<='2012-06-04T12:00:00.123-08:00'",
            "viewedByMeTime != '2012-06-04'",
            "trashed = false and starred != true and sharedWithMe=true",
            "'x' in parents or 'me' in owners or 'me' in writers or 'me' in readers",
            "properties has { key='k' and value='it\\'s' }",
            "appProperties has {value='v' and key='k'}",
            "visibility = 'limited'",
            "shortcutDetails.targetId = 'x'",
            "'labels/x' in labels",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in [
            "name",
            "name =",
            "name = x",
            "name = \"x\"",
            "name = 'x",
            "name = 'x' and",
            "name = 'x' name = 'y'",
            "(name = 'x'",
            "name = 'x')",
            "id >= 'x'",
            "title = 'x'",
            "mimeType > 'x'",
            "trashed = 'true'",
            "trashed",
            "parents in 'x'",
            "'x' in name",
            "modifiedTime > 'yesterday'",
            "modifiedTime contains '2012'",
            "fullText = 'x'",
            "properties has { key='k' }",
            "properties has { key='k' and key='v' }",
            "visibility = 'secret'",
            "not",
            "()",
        ] {
            assert_eq!(parse(text), Err(QueryError::Syntax), "{text}");
        }
    }

    #[test]
    fn an_order_of_names_is_the_fault_of_the_service() {
        assert_eq!(parse("trashed = false and name > 'x'"), Err(QueryError::NameOrder));
    }

    #[test]
    fn size_and_nesting_are_bounded() {
        let joined = |count: usize| vec!["'x' in parents"; count].join(" or ");
        assert!(parse(&joined(MAX_TERMS)).is_ok());
        assert_eq!(parse(&joined(MAX_TERMS + 1)), Err(QueryError::Syntax));
        assert_eq!(parse(&"(".repeat(100_000)), Err(QueryError::Syntax));
        assert_eq!(parse(&"not ".repeat(100_000)), Err(QueryError::Syntax));
    }

    #[test]
    fn a_time_without_zone_is_utc() {
        let expected = Timestamp::parse_rfc3339("2012-06-04T12:00:00Z");
        assert_eq!(time("2012-06-04T12:00:00"), expected);
        assert_eq!(time("2012-06-04T14:00:00+02:00"), expected);
        assert_eq!(time("2012-06-04"), Timestamp::parse_rfc3339("2012-06-04T00:00:00Z"));
        assert_eq!(time("2012-06-04T12:00:00[Europe/Berlin]"), None);
        assert_eq!(time("12:00:00"), None);
    }

    proptest! {
        #[test]
        fn no_query_panics(text in "(name|not|and|or|in|parents|has|contains|trashed|true|'|\\\\|[(){}=!<> .x])*|.*") {
            let _ = parse(&text);
        }
    }
}
