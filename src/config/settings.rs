//! What a mount was told, as text by the names of its flags: so that a running mount can be compared with one that is asked for.

use std::collections::BTreeMap;

use super::{Credentials, Fsync, Keeper, ListAhead, MountConfig, Passthrough, TreeSnapshot, UseTrash};

/// Values of flags, by their names.
pub type Settings = BTreeMap<String, String>;

/// The name of the sign-in among them.
const SIGN_IN: &str = "sign-in";

impl MountConfig {
    /// All that makes a difference to a running mount. No secrets: of a sign-in it only says where it is.
    pub fn settings(&self) -> Settings {
        let Self { shown, limits, log, .. } = self;
        let mode = |bits: u32| format!("{bits:03o}");
        let size = |bytes: Option<super::Bytes>| bytes.map(|bytes| bytes.to_string());
        let trash = match self.use_trash {
            UseTrash::Auto => "auto",
            UseTrash::Always => "always",
            UseTrash::Never => "never",
        };
        let ahead = match self.list_ahead {
            ListAhead::All => "all",
            ListAhead::None => "none",
        };
        let snapshot = match self.tree_snapshot {
            TreeSnapshot::Keep => "keep",
            TreeSnapshot::None => "none",
        };
        let fsync = match self.fsync {
            Fsync::Local => "local",
            Fsync::Drive => "drive",
        };
        let passthrough = match self.passthrough {
            Passthrough::Auto => "auto",
            Passthrough::Never => "never",
        };
        let keeper = match self.keeper {
            Keeper::Auto => "auto",
            Keeper::Never => "never",
        };
        let all = [
            ("source", Some(self.source.to_string())),
            ("api-url", self.api_url.as_ref().map(|url| url.origin().ascii_serialization())),
            (SIGN_IN, self.credentials.as_ref().map(sign_in)),
            ("root", self.root.clone()),
            ("cache-dir", Some(self.cache_dir.display().to_string())),
            ("cache-size", Some(self.cache_size.to_string())),
            ("cache-min-free-space", size(limits.free_space)),
            ("poll-interval", Some(format!("{:?}", self.poll_interval))),
            ("network-timeout", Some(format!("{:?}", self.network_timeout))),
            ("sync-interval", Some(format!("{:?}", self.sync_interval))),
            ("transfers", limits.transfers.map(|count| count.to_string())),
            ("max-upload-rate", size(limits.upload_rate)),
            ("max-download-rate", size(limits.download_rate)),
            ("read-only", self.read_only.then(|| "true".to_owned())),
            ("allow-other", self.allow_other.then(|| "true".to_owned())),
            ("uid", Some(shown.owner.0.to_string())),
            ("gid", Some(shown.owner.1.to_string())),
            ("file-mode", Some(mode(shown.file_mode))),
            ("dir-mode", Some(mode(shown.dir_mode))),
            ("use-trash", Some(trash.to_owned())),
            ("list-ahead", Some(ahead.to_owned())),
            ("read-ahead", Some(self.read_ahead.word().to_owned())),
            ("tree-snapshot", Some(snapshot.to_owned())),
            ("passthrough", Some(passthrough.to_owned())),
            ("keeper", Some(keeper.to_owned())),
            ("docs", Some(self.docs.word().to_owned())),
            ("fsync", Some(fsync.to_owned())),
            ("log-level", Some(self.log_level.clone())),
            ("log-file", log.file.as_ref().map(|file| file.display().to_string())),
            ("log-format", Some(format!("{:?}", log.format).to_lowercase())),
            ("metrics", self.metrics.map(|address| address.to_string())),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

/// Whose credentials, in words: the same only for the same.
fn sign_in(credentials: &Credentials) -> String {
    let described = credentials.describe();
    match credentials {
        Credentials::File { impersonate: Some(person), .. }
        | Credentials::ApplicationDefault { impersonate: Some(person), .. } => format!("{described} for {person}"),
        Credentials::Rclone { config: Some(config), .. } => format!("{described} in {}", config.display()),
        _ => described,
    }
}

/// What differs between a mount that is there and one that is asked for: `cache-size is 10 GiB, and not 20 GiB`.
pub fn differences(there: &Settings, asked: &Settings) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = there.keys().chain(asked.keys()).collect();
    let differ = names.into_iter().filter(|name| there.get(*name) != asked.get(*name));
    let told = |name: &String| match (name.as_str(), there.get(name), asked.get(name)) {
        (SIGN_IN, Some(there), None) => format!("it uses {there}, and now no sign-in is given"),
        (SIGN_IN, there, Some(asked)) => {
            format!("it uses {}, and not {asked}", there.map_or("no sign-in", |there| there))
        }
        (_, there, None) => format!("{name} is {}, which is not asked for", there.map_or("not set", |there| there)),
        (_, there, Some(asked)) => format!("{name} is {}, and not {asked}", there.map_or("not set", |there| there)),
    };
    differ.map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let settings = |pairs: &[(&str, &str)]| -> Settings {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let there = settings(&[("cache-size", "10 GiB"), ("source", "google")]);
        assert!(differences(&there, &there.clone()).is_empty());
        let asked = settings(&[("cache-size", "20 GiB"), ("source", "google"), ("read-only", "true")]);
        assert_eq!(
            differences(&there, &asked),
            ["cache-size is 10 GiB, and not 20 GiB", "read-only is not set, and not true"]
        );
        assert_eq!(
            differences(&asked, &there),
            ["cache-size is 20 GiB, and not 10 GiB", "read-only is true, which is not asked for"]
        );
    }

    #[test]
    fn a_sign_in_is_told_in_words_and_is_another_one_for_another_person() {
        let file = |person: Option<&str>| Credentials::File {
            path: "/key.json".into(),
            impersonate: person.map(str::to_owned),
        };
        let settings = |person| Settings::from([(SIGN_IN.to_owned(), sign_in(&file(person)))]);
        assert_eq!(
            differences(&settings(None), &settings(Some("me@example.org"))),
            ["it uses the sign-in in /key.json, and not the sign-in in /key.json for me@example.org"]
        );
        assert_eq!(
            differences(&settings(None), &Settings::new()),
            ["it uses the sign-in in /key.json, and now no sign-in is given"]
        );
        assert_eq!(
            differences(&Settings::new(), &settings(None)),
            ["it uses no sign-in, and not the sign-in in /key.json"]
        );
    }
}
