//! Search queries: the `q` of `files.list`, and that of `drives.list`, which has other terms.
//!
//! [`parse`] turns the text into an [`Expr`]; [`sql::condition`] turns that into a condition of the database, so that its
//! indexes answer what they can (of drives there are few: [`drives::holds`] looks at each). What a comparison of words means is in [`words`].
//!
//! ```text
//! or     = and *("or" and)                 "and" binds tighter; "not" binds tightest
//! and    = unary *("and" unary)
//! unary  = "not" unary | "(" or ")" | term
//! term   = name operator value | 'value' "in" name | name "has" "{" key='…' and value='…' "}"
//! ```

pub(crate) mod drives;
mod lexer;
mod parser;
pub(crate) mod sql;
pub(crate) mod words;

use crate::clock::Timestamp;

use super::error::ApiError;
use super::permission::{Holder, Role};

pub(crate) use parser::{parse, parse_for_drives};

/// A condition on files, or on shared drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    /// Both.
    And(Box<Expr>, Box<Expr>),
    /// Either.
    Or(Box<Expr>, Box<Expr>),
    /// The opposite.
    Not(Box<Expr>),
    /// One comparison.
    Term(Term),
}

/// One comparison. `!=` is [`Expr::Not`] of `=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Term {
    /// The name, in any case.
    Name(String),
    /// Words of the name begin with these.
    NameContains(String),
    /// Whole words of the name, the description or the indexable text.
    FullText(String),
    /// The media type.
    MimeType(String),
    /// The beginning of the media type.
    MimeTypeContains(String),
    /// A time against another.
    Time(TimeField, Comparison, Timestamp),
    /// In the trash, or not.
    Trashed(bool),
    /// Starred, or not.
    Starred(bool),
    /// Given to this user by another, or not.
    SharedWithMe(bool),
    /// Directly in this folder.
    InParents(String),
    /// This person owns it.
    InOwners(String),
    /// This person, group or domain has this role on it, or a higher one.
    InUsers(String, Role),
    /// A shared drive that is hidden, or is not.
    Hidden(bool),
    /// Has this property.
    Property { scope: PropertyScope, key: String, value: String },
    /// Who can find it.
    Visibility(Visibility),
    /// A shortcut to this file.
    ShortcutTarget(String),
    /// Bears this label.
    InLabels(String),
}

/// A time that a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeField {
    Created,
    Modified,
    ViewedByMe,
}

/// How two times are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

/// Whose properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PropertyScope {
    /// `properties`: all applications see them.
    Public,
    /// `appProperties`: the caller's application alone.
    Private,
}

/// Who can find a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visibility {
    /// Only people and groups that it was shared with.
    Limited,
    /// A domain or anyone, who find it in searches or do not.
    Shared(Holder, bool),
}

/// Why a query was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryError {
    /// It is not a query, or too large a one.
    Syntax,
    /// `name < 'x'` and its like, on which the real service fails.
    NameOrder,
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Syntax => Self::invalid_value("q"),
            QueryError::NameOrder => Self::backend(),
        }
    }
}

impl Expr {
    /// Whether it searches by text, whose results come in an order of their own.
    pub(crate) fn has_full_text(&self) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => left.has_full_text() || right.has_full_text(),
            Self::Not(inner) => inner.has_full_text(),
            Self::Term(term) => matches!(term, Term::FullText(_)),
        }
    }

    /// Whether it asks for what is in one folder or in another.
    pub(crate) fn has_several_parents(&self) -> bool {
        match self {
            Self::Or(left, right) if left.has_parent() && right.has_parent() => true,
            Self::And(left, right) | Self::Or(left, right) => left.has_several_parents() || right.has_several_parents(),
            Self::Not(inner) => inner.has_several_parents(),
            Self::Term(_) => false,
        }
    }

    fn has_parent(&self) -> bool {
        match self {
            Self::And(left, right) | Self::Or(left, right) => left.has_parent() || right.has_parent(),
            Self::Not(inner) => inner.has_parent(),
            Self::Term(term) => matches!(term, Term::InParents(_)),
        }
    }
}
