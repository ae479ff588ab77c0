//! How trouble is written down: as words for a flag, as JSON for a request. Both come to the same.
//!
//! ```text
//!   METHODS:KIND[,KEY=VALUE]…      files.list+files.get:answer,status=503,share=0.1
//!   {"on": ["files.list", "files.get"], "kind": "answer", "status": 503, "share": 0.1}
//! ```
//!
//! METHODS are names as `methods` has them, joined by `+`; `*` stands for all, `files.*` for those of a family. Of the calls
//! that a rule applies to, it hits those that `nth=N` (only the N-th), `skip=N` (none of the first N), `share=P` (a part of
//! them, by chance) and `times=N` (no more than N) leave it. A range is written `A-B`, and chance takes a number from it.
//!
//! ```text
//!   latency      ms=RANGE                      waits before it looks at the request
//!   bandwidth    up=SIZE down=SIZE shared=true bytes a second, of each request or of all that the rule hits together
//!   answer       status=N reason= message=     answers so, and does nothing; done=true does it first
//!                body=json|truncated|html|empty text= retry_after=SECONDS
//!   cut-request  after=RANGE                   cuts the connection after so many bytes of the request's body
//!   cut-answer   after=RANGE                   … of the answer's body
//!   lose-answer                                does what was asked, and cuts the connection
//!   expire-session                             ends the upload session that the request is on
//!   move-session                               goes on with it at another address, and at the old one no more
//!   store-less   part=RANGE                    stores at most so many percent of what is sent on it (0-99), in whole units
//!   revoke       requests=N time=TIME          refuses the token, for so many requests or so long; else for good
//!   lag          time=TIME                     the feed of changes is behind by so much
//!   list-lag     time=TIME                     listings leave out what was made less long ago
//!   empty-page                                 the page of a listing, or of changes, is empty, and there is a next one
//!   short-page   size=RANGE                    … has at most so many entries (1)
//!   expire-page-token                          refuses the page token of a listing
//!   or-empty                                   finds nothing when a listing is of several folders
//!   withhold     fields=A+B                    leaves these fields of files out of the answer
//!   flagged                                    refuses content as harmful, unless acknowledgeAbuse=true
//!   quota        units=N per=TIME status=N     refuses what exceeds so many units a time (one minute; 403)
//! ```
//!
//! What is meant for some calls (sessions, listings, content) does nothing to others.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

use super::super::{methods, schema};
use super::answer::{Answer, Form};
use super::rule::{self, Kind, Order, Rule};
use super::{MAX_RULES, too_many};
use crate::config::{Bytes, parse_duration};

const KINDS: [&str; 19] = [
    "latency",
    "bandwidth",
    "answer",
    "cut-request",
    "cut-answer",
    "lose-answer",
    "expire-session",
    "move-session",
    "store-less",
    "revoke",
    "lag",
    "list-lag",
    "empty-page",
    "short-page",
    "expire-page-token",
    "or-empty",
    "withhold",
    "flagged",
    "quota",
];

/// A seed and rules, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// What chance begins with.
    pub seed: u64,
    /// What may happen.
    pub rules: Vec<Rule>,
}

impl Script {
    /// From `{"seed": N, "rules": […]}`, where a rule is an object, or a text as in a flag.
    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err("a script is an object".to_owned()) };
        if let Some(name) = fields.keys().find(|name| !matches!(name.as_str(), "seed" | "rules")) {
            return Err(format!("a script has no {name}; it has a seed and rules"));
        }
        let seed = match fields.get("seed") {
            None => 0,
            Some(seed) => seed.as_u64().ok_or("the seed is a whole number")?,
        };
        let rules = match fields.get("rules") {
            None => &[][..],
            Some(Value::Array(rules)) => rules,
            Some(_) => return Err("the rules are a list".to_owned()),
        };
        if rules.len() > MAX_RULES {
            return Err(too_many());
        }
        let rules = rules.iter().map(|rule| match rule {
            Value::Object(fields) => Rule::from_fields(fields.clone()),
            Value::String(text) => text.parse(),
            _ => Err("a rule is an object, or a text".to_owned()),
        });
        Ok(Self { seed, rules: rules.collect::<Result<_, _>>()? })
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "a rule is written METHODS:KIND,KEY=VALUE,…, as files.get_media:latency,ms=200";
        let (on, rest) = text.split_once(':').ok_or(form)?;
        let mut words = rest.split(',');
        let mut fields = Map::new();
        fields.insert("on".to_owned(), on.split('+').map(|method| method.trim().to_owned()).collect());
        fields.insert("kind".to_owned(), words.next().unwrap_or_default().trim().into());
        for word in words {
            let (key, value) = word.split_once('=').ok_or(form)?;
            if fields.insert(key.trim().to_owned(), value.trim().into()).is_some() {
                return Err(format!("{} is given twice", key.trim()));
            }
        }
        Self::from_fields(fields)
    }
}

impl Rule {
    fn from_fields(written: Map<String, Value>) -> Result<Self, String> {
        let mut fields = Fields(written.clone());
        let on = fields.methods()?;
        let kind = fields.text("kind")?.ok_or("a rule needs a kind")?;
        let rule = Self {
            on,
            nth: fields.number("nth")?,
            skip: fields.number("skip")?.unwrap_or(0),
            times: fields.number("times")?,
            share: fields.share()?,
            kind: fields.kind(&kind)?,
            written,
        };
        match fields.0.keys().next() {
            Some(key) => Err(format!("{kind} has no {key}")),
            None => Ok(rule),
        }
    }
}

/// What is still unread of a rule.
struct Fields(Map<String, Value>);

impl Fields {
    fn methods(&mut self) -> Result<Vec<String>, String> {
        let on = match self.0.remove("on") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) => {
                let texts = several.into_iter().map(|one| match one {
                    Value::String(text) => Ok(text),
                    _ => Err("methods are named by texts".to_owned()),
                });
                texts.collect::<Result<_, _>>()?
            }
            _ => return Err("a rule needs on, the methods it is for; * stands for all".to_owned()),
        };
        match on.iter().find(|pattern| !methods::all().any(|method| rule::covers(pattern, method))) {
            Some(unknown) => {
                let known: Vec<_> = methods::all().collect();
                Err(format!("there is no method {unknown}; there are {}", known.join(", ")))
            }
            None if on.is_empty() => Err("a rule needs on, the methods it is for; * stands for all".to_owned()),
            None => Ok(on),
        }
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(truth)) => Ok(Some(truth.to_string())),
            Some(_) => Err(format!("{key} is a text or a number")),
        }
    }

    fn parsed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, String> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        parse(&text).map(Some).map_err(|error| format!("{key}={text}: {error}"))
    }

    fn number(&mut self, key: &str) -> Result<Option<u64>, String> {
        self.parsed(key, whole)
    }

    fn range(&mut self, key: &str) -> Result<Option<RangeInclusive<u64>>, String> {
        self.parsed(key, |text| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let range = whole(first.trim())?..=whole(last.trim())?;
            if range.is_empty() { Err("the range ends before it begins".to_owned()) } else { Ok(range) }
        })
    }

    fn rate(&mut self, key: &str) -> Result<Option<u64>, String> {
        self.parsed(key, |text| match text.parse::<Bytes>()?.0 {
            0 => Err("nothing would ever arrive".to_owned()),
            bytes => Ok(bytes),
        })
    }

    fn flag(&mut self, key: &str) -> Result<bool, String> {
        let flag = self.parsed(key, |text| text.parse().map_err(|_| "it is true or false".to_owned()))?;
        Ok(flag.unwrap_or(false))
    }

    /// Names of fields of files.
    fn names(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        self.parsed(key, |text| {
            let names: Vec<_> = text.split('+').map(|name| name.trim().to_owned()).collect();
            let unknown = names.iter().find(|name| schema::FILE.mask(Some(name.as_str())).is_err());
            unknown.map_or(Ok(()), |unknown| Err(format!("files have no {unknown}")))?;
            Ok(names)
        })
    }

    fn share(&mut self) -> Result<f64, String> {
        let share = self.parsed("share", |text| {
            let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
            share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
        });
        Ok(share?.unwrap_or(1.0))
    }

    fn status(&mut self, among: RangeInclusive<u16>) -> Result<Option<StatusCode>, String> {
        self.parsed("status", |text| {
            let (first, last) = among.clone().into_inner();
            let status = text.parse::<u16>().ok().filter(|status| among.contains(status));
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            status.ok_or_else(|| format!("the status is a number from {first} to {last}"))
        })
    }

    fn kind(&mut self, kind: &str) -> Result<Kind, String> {
        let needs = |key: &str| format!("{kind} needs {key}");
        Ok(match kind {
            "latency" => Kind::Latency(self.range("ms")?.ok_or_else(|| needs("ms"))?),
            "bandwidth" => {
                let (up, down) = (self.rate("up")?, self.rate("down")?);
                if up.is_none() && down.is_none() {
                    return Err(needs("up or down"));
                }
                Kind::Bandwidth { up, down, is_shared: self.flag("shared")? }
            }
            "answer" => Kind::Answer(Box::new(self.answer()?)),
            "cut-request" => Kind::CutRequest(self.range("after")?.ok_or_else(|| needs("after"))?),
            "cut-answer" => Kind::CutAnswer(self.range("after")?.ok_or_else(|| needs("after"))?),
            "lose-answer" => Kind::LoseAnswer,
            "withhold" => Kind::Withhold(self.names("fields")?.ok_or_else(|| needs("fields"))?),
            "revoke" => {
                let requests = self.parsed("requests", |text| match whole(text)? {
                    0 => Err("it would never be refused".to_owned()),
                    requests => Ok(requests),
                });
                Kind::Revoke { requests: requests?, time: self.parsed("time", parse_duration)? }
            }
            "quota" => Kind::Quota {
                units: self.number("units")?.ok_or_else(|| needs("units"))?,
                per: self.parsed("per", parse_duration)?.unwrap_or(Duration::from_mins(1)),
                refusal: Box::new(Answer::over_quota(self.status(400..=599)?.unwrap_or(StatusCode::FORBIDDEN))),
            },
            other => Kind::Order(self.order(other)?),
        })
    }

    fn order(&mut self, kind: &str) -> Result<Order, String> {
        let time =
            |fields: &mut Self| fields.parsed("time", parse_duration)?.ok_or_else(|| format!("{kind} needs time"));
        Ok(match kind {
            "expire-session" => Order::ExpireSession,
            "move-session" => Order::MoveSession,
            "store-less" => match self.range("part")?.unwrap_or(0..=99) {
                part if *part.end() < 100 => Order::StoreLess(part),
                part => return Err(format!("part={}: of all, nothing is missing", part.end())),
            },
            "lag" => Order::Lag(time(self)?),
            "list-lag" => Order::ListLag(time(self)?),
            "empty-page" => Order::ShortPage(0..=0),
            "short-page" => match self.range("size")?.unwrap_or(1..=1) {
                sizes if *sizes.start() > 0 => Order::ShortPage(sizes),
                _ => return Err("size=0: a page without entries is an empty-page".to_owned()),
            },
            "expire-page-token" => Order::ExpirePageToken,
            "or-empty" => Order::OrEmpty,
            "flagged" => Order::Flagged,
            other => return Err(format!("there is no kind {other}; there are {}", KINDS.join(", "))),
        })
    }

    fn answer(&mut self) -> Result<Answer, String> {
        let mut answer = Answer::new(self.status(200..=599)?.ok_or("answer needs status")?);
        if let Some(reason) = self.text("reason")? {
            answer.reason = reason;
        }
        if let Some(message) = self.text("message")? {
            answer.message = message;
        }
        let form = self.parsed("body", |text| match text {
            "json" => Ok(Form::Json),
            "truncated" => Ok(Form::Truncated),
            "html" => Ok(Form::Html),
            "empty" => Ok(Form::Empty),
            _ => Err("it is json, truncated, html or empty".to_owned()),
        })?;
        answer.form = match (form, self.text("text")?) {
            (Some(_), Some(_)) => return Err("body and text exclude each other".to_owned()),
            (Some(form), None) => form,
            (None, Some(text)) => Form::Text(text),
            (None, None) => Form::Json,
        };
        answer.retry_after = self.number("retry_after")?;
        answer.is_done = self.flag("done")?;
        Ok(answer)
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_and_json_come_to_the_same() {
        for (words, fields) in [
            ("*:latency,ms=5-10,nth=3", json!({ "on": "*", "kind": "latency", "ms": "5-10", "nth": 3 })),
            (
                "files.list+changes.*:answer,status=503,body=html,retry_after=2,done=true,share=0.5",
                json!({ "on": ["files.list", "changes.*"], "kind": "answer", "status": 503, "body": "html",
                        "retry_after": 2, "done": true, "share": 0.5 }),
            ),
            (
                "*:withhold,fields=md5Checksum+size",
                json!({ "on": "*", "kind": "withhold", "fields": "md5Checksum+size" }),
            ),
            ("*:short-page,size=1-2", json!({ "on": "*", "kind": "short-page", "size": "1-2" })),
            (
                "uploads.*:bandwidth,up=1M,shared=true,skip=1,times=2",
                json!({ "on": ["uploads.*"], "kind": "bandwidth", "up": 1_048_576, "shared": true, "skip": 1, "times": 2 }),
            ),
        ] {
            let from_words: Rule = words.parse().expect(words);
            let script = Script::from_json(&json!({ "seed": 7, "rules": [fields, words] })).expect(words);
            let [from_fields, again] = &script.rules[..] else { panic!("two rules") };
            assert_eq!((script.seed, again), (7, &from_words));
            assert_eq!(Rule { written: from_words.written.clone(), ..from_fields.clone() }, from_words);
        }
    }

    #[test]
    fn every_kind_is_known_by_its_name() {
        for kind in KINDS {
            let error = format!("*:{kind},nonsense=1").parse::<Rule>().expect_err(kind);
            assert!(error.contains("needs") || error.contains("has no nonsense"), "{kind}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (words, told) in [
            ("latency", "METHODS:KIND"),
            ("*:latency", "needs ms"),
            ("*:latency,ms", "KEY=VALUE"),
            ("*:latency,ms=9-1", "ends before"),
            ("*:latency,ms=1,ms=2", "twice"),
            ("*:latency,ms=1,status=503", "has no status"),
            ("file.list:latency,ms=1", "there is no method file.list"),
            ("*:earthquake", "there is no kind earthquake"),
            ("*:answer", "needs status"),
            ("*:answer,status=99", "from 200 to 599"),
            ("*:answer,status=500,share=2", "from 0 to 1"),
            ("*:answer,status=500,body=html,text=x", "exclude"),
            ("*:bandwidth", "needs up or down"),
            ("*:bandwidth,up=0", "ever arrive"),
            ("*:revoke,requests=0", "never be refused"),
            ("*:lag,time=soon", "not a time"),
            ("*:quota,per=1m", "needs units"),
            ("*:withhold", "needs fields"),
            ("*:withhold,fields=md5Checksum+colour", "no colour"),
            ("*:short-page,size=0", "empty-page"),
            ("*:store-less,part=50-100", "nothing is missing"),
            ("*:list-lag", "needs time"),
        ] {
            let error = words.parse::<Rule>().expect_err(words);
            assert!(error.contains(told), "{words}: {error}");
        }
        for script in
            [json!([]), json!({ "rule": [] }), json!({ "seed": -1 }), json!({ "rules": [1] }), json!({ "rules": 1 })]
        {
            assert!(Script::from_json(&script).is_err(), "{script}");
        }
    }
}
