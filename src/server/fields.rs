//! `fields` masks: which parts of an answer the caller wants.
//!
//! ```text
//! mask      = selection *("," selection)
//! selection = name *("/" name) ["(" mask ")"]          a name may be "*"
//! ```
//!
//! A mask is parsed without knowing what it is for and then resolved against the [`Schema`] of the answer, which refuses
//! unknown names: a server that ignored them would hide the mistakes of its clients.

use super::error::{ApiError, Result};

/// Deeper nesting than any answer has; bounds the recursion.
const MAX_DEPTH: usize = 16;

/// What was selected of one object. A mask that selects nothing renders as `{}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mask {
    everything: bool,
    fields: Vec<(Box<str>, Mask)>,
}

/// The fields that an answer can have.
#[derive(Debug)]
pub(crate) enum Schema {
    /// A plain value.
    Leaf,
    /// An object with keys of the user's choice.
    Map,
    /// An object, or an array of objects, with these fields.
    Object(Vec<(Box<str>, Schema)>),
}

/// A name of a mask with what was selected below it (nothing: all of it).
#[derive(Debug)]
struct Selection {
    name: Box<str>,
    below: Vec<Selection>,
}

impl Mask {
    /// Parses `text` and checks it against `schema`. The empty text selects nothing.
    pub(crate) fn parse(text: &str, schema: &Schema) -> Result<Self> {
        let mut mask = Self::default();
        if !text.trim().is_empty() {
            mask.add(&parse(text)?, schema)?;
        }
        Ok(mask)
    }

    /// What is selected of the field `name`; `None` if it is not wanted.
    pub(crate) fn select(&self, name: &str) -> Option<&Self> {
        if self.everything {
            return Some(self);
        }
        self.fields.iter().find(|(field, _)| **field == *name).map(|(_, mask)| mask)
    }

    fn entry(&mut self, name: &str) -> &mut Self {
        let index = self.fields.iter().position(|(field, _)| **field == *name).unwrap_or_else(|| {
            self.fields.push((name.into(), Self::default()));
            self.fields.len() - 1
        });
        &mut self.fields[index].1
    }

    fn merge(&mut self, other: Self) {
        self.everything |= other.everything;
        for (name, mask) in other.fields {
            self.entry(&name).merge(mask);
        }
    }

    fn add(&mut self, selections: &[Selection], schema: &Schema) -> Result<()> {
        for selection in selections {
            match (&*selection.name, selection.below.as_slice()) {
                ("*", []) => self.everything = true,
                ("*", below) => self.add_below_each(below, schema)?,
                (name, below) => {
                    let child = schema.child(name).ok_or_else(|| ApiError::invalid_field_selection(name))?;
                    let mask = self.entry(name);
                    if below.is_empty() {
                        mask.everything = true;
                    } else {
                        mask.add(below, child)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// `*/x`: x of every field that has one. At least one must.
    fn add_below_each(&mut self, below: &[Selection], schema: &Schema) -> Result<()> {
        let Schema::Object(children) = schema else {
            return Err(ApiError::invalid_field_selection(&below[0].name));
        };
        let mut found = false;
        for (name, child) in children {
            let mut mask = Self::default();
            if mask.add(below, child).is_ok() {
                self.entry(name).merge(mask);
                found = true;
            }
        }
        if found { Ok(()) } else { Err(ApiError::invalid_field_selection(&below[0].name)) }
    }
}

impl Schema {
    /// Builds a schema from a mask that names all fields. `a(*)` is a map; `a(@Type)` has the fields that `types` gives
    /// for that type.
    ///
    /// # Panics
    ///
    /// If the text is malformed: schemas are constants of this program.
    pub(crate) fn build(text: &str, types: &dyn Fn(&str) -> &'static str) -> Self {
        Self::from_selections(&parse(text).expect("schemas are well-formed"), types)
    }

    fn from_selections(selections: &[Selection], types: &dyn Fn(&str) -> &'static str) -> Self {
        match selections {
            [] => Self::Leaf,
            [only] if &*only.name == "*" => Self::Map,
            [only] if only.name.starts_with('@') => Self::build(types(&only.name[1..]), types),
            fields => Self::Object(
                fields.iter().map(|field| (field.name.clone(), Self::from_selections(&field.below, types))).collect(),
            ),
        }
    }

    fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Leaf => None,
            Self::Map => Some(&Self::Leaf),
            Self::Object(fields) => fields.iter().find(|(field, _)| **field == *name).map(|(_, child)| child),
        }
    }
}

fn parse(text: &str) -> Result<Vec<Selection>> {
    let mut parser = Parser { rest: text };
    let selections = parser.mask(0)?;
    if parser.rest.is_empty() { Ok(selections) } else { Err(parser.error()) }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn error(&self) -> ApiError {
        ApiError::invalid_field_selection(self.rest)
    }

    /// Takes `token` if it is next.
    fn take(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        let taken = self.rest.strip_prefix(token).map(str::trim_start);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn name(&mut self) -> Result<Box<str>> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find([',', '/', '(', ')']).unwrap_or(self.rest.len());
        let name = self.rest[..end].trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(self.error());
        }
        self.rest = &self.rest[end..];
        Ok(name.into())
    }

    fn mask(&mut self, depth: usize) -> Result<Vec<Selection>> {
        let mut selections = vec![self.selection(depth)?];
        while self.take(',') {
            selections.push(self.selection(depth)?);
        }
        Ok(selections)
    }

    fn selection(&mut self, depth: usize) -> Result<Selection> {
        if depth > MAX_DEPTH {
            return Err(self.error());
        }
        let name = self.name()?;
        let below = if self.take('/') {
            vec![self.selection(depth + 1)?]
        } else if self.take('(') {
            let below = self.mask(depth + 1)?;
            if !self.take(')') {
                return Err(self.error());
            }
            below
        } else {
            Vec::new()
        };
        Ok(Selection { name, below })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schema() -> Schema {
        Schema::build("kind,next,files(id,name,tags(*),owner(@User),caps(read,write))", &|_| "id,mail")
    }

    fn mask(text: &str) -> Mask {
        Mask::parse(text, &schema()).expect(text)
    }

    /// The selected paths, as a list of leaves with `*` for "all of it".
    fn paths(mask: &Mask) -> Vec<String> {
        if mask.everything {
            return vec!["*".into()];
        }
        let mut all: Vec<String> = mask
            .fields
            .iter()
            .flat_map(|(name, below)| paths(below).into_iter().map(move |path| format!("{name}/{path}")))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn every_form_of_the_grammar_selects_what_it_says() {
        for (text, expected) in [
            ("kind,next", vec!["kind/*", "next/*"]),
            ("files/id", vec!["files/id/*"]),
            (" next , files( id , name ) ", vec!["files/id/*", "files/name/*", "next/*"]),
            ("files(id,owner/mail)", vec!["files/id/*", "files/owner/mail/*"]),
            ("files/owner(id,mail)", vec!["files/owner/id/*", "files/owner/mail/*"]),
            ("files/id,files/name", vec!["files/id/*", "files/name/*"]),
            ("*", vec!["*"]),
            ("files/*", vec!["files/*"]),
            ("*/id", vec!["files/id/*"]),
            ("files/*/mail", vec!["files/owner/mail/*", "files/tags/mail/*"]),
            ("files(*)", vec!["files/*"]),
            ("files/tags/mine", vec!["files/tags/mine/*"]),
            ("files/tags/*", vec!["files/tags/*"]),
            ("", vec![]),
        ] {
            assert_eq!(paths(&mask(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_whole_field_wins_over_a_part_of_it() {
        let mask = mask("files/id,files");
        let file = mask.select("files").expect("selected");
        assert!(file.select("name").is_some());
    }

    #[test]
    fn unknown_names_and_broken_syntax_are_refused_by_name() {
        for (text, selection) in [
            ("etag", "etag"),
            ("files(id,etag)", "etag"),
            ("files/id/x", "x"),
            ("kind/*/x", "x"),
            ("*/etag", "etag"),
            ("kind,", ""),
            ("files(id", ""),
            ("files)", ")"),
            ("a b", "a b"),
            ("(", "("),
        ] {
            let error = Mask::parse(text, &schema()).expect_err(text);
            assert_eq!(format!("{error:?}"), format!("{:?}", ApiError::invalid_field_selection(selection)), "{text}");
        }
        assert!(Mask::parse(&"files(".repeat(100_000), &schema()).is_err());
    }

    proptest! {
        #[test]
        fn no_mask_panics(text in "[a-z*/(), ]{0,40}|.{0,40}") {
            let _ = Mask::parse(&text, &schema());
        }
    }
}
