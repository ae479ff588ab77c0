//! The value that a name is set to, in whatever notation: JSON, JSON within JSON, TOML, a form, a header, a log.

/// A quote that a value stands in.
struct Quote {
    mark: u8,
    /// There are three of them, and the value may have many lines.
    is_triple: bool,
    /// So many `\` stand before it: one in JSON within JSON or in a log, three in JSON within that.
    escapes: usize,
}

impl Quote {
    /// The one that `text` begins with, and how many bytes it has.
    fn at_start_of(text: &str) -> Option<(Self, usize)> {
        let bytes = text.as_bytes();
        let escapes = bytes.iter().take_while(|byte| **byte == b'\\').count();
        let mark = *bytes.get(escapes).filter(|byte| matches!(byte, b'"' | b'\''))?;
        let count = bytes[escapes..].iter().take_while(|byte| **byte == mark).count();
        let is_triple = count >= 3;
        // Two are an empty value, unless it goes on: so a quote is written in CSV.
        let goes_on = |byte: &u8| !byte.is_ascii_whitespace() && !b",;:&)}]".contains(byte);
        let is_doubled = count == 2 && bytes.get(escapes + 2).is_some_and(goes_on);
        let length = if is_triple { 3 } else { 1 + usize::from(is_doubled) };
        Some((Self { mark, is_triple, escapes }, escapes + length))
    }

    /// Where the value ends that begins with `body`: at the same quote, or with its line.
    fn end_in(&self, body: &str) -> usize {
        let mut backslashes = 0;
        for (at, byte) in body.bytes().enumerate() {
            if byte == self.mark && self.ends(backslashes) && (!self.is_triple || self.has_three(&body[at..])) {
                return at - backslashes.min(self.escapes);
            }
            if byte == b'\n' && !self.is_triple {
                return at;
            }
            backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        }
        body.len()
    }

    /// Whether it ends the value after so many `\`: with as many as it began with, beside those that escape one another. With
    /// fewer, all ends that this stands in.
    fn ends(&self, backslashes: usize) -> bool {
        backslashes < self.escapes || backslashes % (2 * (self.escapes + 1)) == self.escapes
    }

    fn has_three(&self, text: &str) -> bool {
        text.bytes().take_while(|byte| *byte == self.mark).count() >= 3
    }
}

/// The value of the `name` that `rest` begins with: where it begins, and its length. A word that is a name `anyhow` is one after
/// which a `:` is enough.
pub(super) fn after(rest: &str, name: &str, anyhow: bool) -> Option<(usize, usize)> {
    let bytes = rest.as_bytes();
    let mut at = name.len();
    let skip = |at: &mut usize, set: &[u8]| {
        let begin = *at;
        while bytes.get(*at).is_some_and(|byte| set.contains(byte)) {
            *at += 1;
        }
        *at > begin
    };
    let is_quoted = skip(&mut at, b"\\\"'");
    skip(&mut at, b" \t");
    let separator = *bytes.get(at)?;
    let counts = separator == b'=' || (separator == b':' && (anyhow || is_quoted));
    if !counts {
        return None;
    }
    at += 1;
    skip(&mut at, b" \t");
    let body = rest.get(at..)?;
    let (at, length) = if let Some((quote, length)) = Quote::at_start_of(body) {
        (at + length, quote.end_in(&body[length..]))
    } else if name.ends_with("command") {
        // It has words.
        (at, body.find(['\n', '\r']).unwrap_or(body.len()))
    } else if separator == b':' {
        // A header: to the end of the line.
        (at, body.find(['\n', '\r', ',', '}']).unwrap_or(body.len()))
    } else {
        let is_end = |c: char| c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\'' | ')' | '}');
        (at, body.find(is_end).unwrap_or(body.len()))
    };
    let is_nothing = matches!(rest.get(at..at + length)?.trim(), "" | "null" | "true" | "false" | "…");
    (length > 0 && !is_nothing).then_some((at, length))
}
