//! Flags: who somebody is to the drive.

use std::path::{Path, PathBuf};

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};

use super::super::stored::{accounts, unusable};
use super::super::{Exit, Failure};
use crate::auth::Secret;
use crate::config::{self, Credentials, Source};

/// Ways to sign in, of which a mount takes one.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sign-in (one of these)")]
pub(super) struct CredentialArgs {
    /// A sign-in that `drivemount login` stored
    #[arg(long, value_name = "NAME", env = "DRIVEMOUNT_ACCOUNT", group = "credential")]
    account: Option<String>,
    /// Key of a service account: the JSON file that Google's console hands out
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_SERVICE_ACCOUNT_FILE", group = "credential")]
    service_account_file: Option<PathBuf>,
    /// Person for whom the service account acts (their email address); needs domain-wide delegation
    #[arg(long, value_name = "PERSON", env = "DRIVEMOUNT_IMPERSONATE", value_parser = NonEmptyStringValueParser::new())]
    impersonate: Option<String>,
    /// Sign-in file that says itself what it is: `authorized_user`, as `gcloud auth application-default login` writes it, or
    /// `service_account`
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_CREDENTIALS", group = "credential")]
    credentials: Option<PathBuf>,
    /// What Google's libraries use: the file that `$GOOGLE_APPLICATION_CREDENTIALS` names, gcloud's, or the service account of the
    /// machine. The two files are also taken, in this order, if no way to sign in is given
    #[arg(long, env = "DRIVEMOUNT_APPLICATION_DEFAULT", group = "credential", value_parser = BoolishValueParser::new())]
    application_default: bool,
    /// Program that prints an access token, alone or in JSON, run by the shell whenever one is needed: 'gcloud auth
    /// print-access-token'. Other users of the machine can see arguments: if it holds a secret, use the variable
    #[arg(long, value_name = "COMMAND", env = "DRIVEMOUNT_TOKEN_COMMAND", hide_env_values = true, group = "credential",
          value_parser = secret)]
    token_command: Option<Secret>,
    /// File that holds an access token; read again when it changes
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_TOKEN_FILE", group = "credential")]
    token_file: Option<PathBuf>,
    /// Access token. Other users of the machine can see arguments: better use --token-file or the variable
    #[arg(long, value_name = "TOKEN", env = "DRIVEMOUNT_TOKEN", hide_env_values = true, group = "credential",
          value_parser = secret)]
    token: Option<Secret>,
    /// Sign-in of a remote of rclone (of the type `drive`), which must have a client of its own
    #[arg(long, value_name = "NAME", env = "DRIVEMOUNT_RCLONE_REMOTE", group = "credential",
          value_parser = NonEmptyStringValueParser::new())]
    rclone_remote: Option<String>,
    /// rclone's configuration file; default: `$RCLONE_CONFIG`, or where rclone looks for it
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_RCLONE_CONFIG")]
    rclone_config: Option<PathBuf>,
}

/// Not repeated by anybody from here on.
fn secret(text: &str) -> Result<Secret, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(text)) }
}

impl CredentialArgs {
    /// The person for whom a service account shall act.
    pub(super) fn impersonate(&self) -> Option<String> {
        self.impersonate.clone()
    }

    /// The one that was given, if one was.
    pub(super) fn given(self, mountpoint: &Path) -> Result<Option<Credentials>, Failure> {
        let impersonate = self.impersonate;
        Ok(if let Some(name) = self.account {
            let path = accounts()?.path(&name).map_err(|error| unusable(&error))?;
            Some(Credentials::Account { name, path })
        } else if let Some(path) = self.service_account_file.or(self.credentials) {
            Some(Credentials::File { path: config::absolute(&path), impersonate })
        } else if self.application_default {
            Some(Credentials::ApplicationDefault { file: config::application_default(), impersonate })
        } else if let Some(line) = self.token_command {
            Some(Credentials::TokenCommand { line: line.expose().to_owned(), dir: working_dir(mountpoint) })
        } else if let Some(path) = self.token_file {
            Some(Credentials::TokenFile(config::absolute(&path)))
        } else if let Some(token) = self.token {
            Some(Credentials::Token(token.expose().to_owned()))
        } else if let Some(remote) = self.rclone_remote {
            let remote = remote.trim_end_matches(':').to_owned();
            let config = self.rclone_config.map(|path| config::absolute(&path)).or_else(config::rclone_config);
            Some(Credentials::Rclone { remote, config })
        } else {
            None
        })
    }
}

/// Those for `source`: the ones that were given, or what can be found without being told. A folder of this machine needs none.
pub(super) fn settled(
    source: &Source,
    given: Option<Credentials>,
    impersonate: Option<String>,
) -> Result<Option<Credentials>, Failure> {
    if matches!(source, Source::Local(_)) {
        return Ok(None);
    }
    match &given {
        None | Some(Credentials::File { .. } | Credentials::ApplicationDefault { .. }) => {}
        Some(_) if impersonate.is_some() => {
            let message = "only a service account can act for somebody else: --impersonate goes with --service-account-file, \
                           --credentials or --application-default";
            return Err(Failure::new(Exit::Usage, message));
        }
        Some(_) => {}
    }
    Ok(given.or_else(|| found(source, impersonate)))
}

/// What Google's own programs would find. It is for Google alone: another server would get a token that is good there, too.
fn found(source: &Source, impersonate: Option<String>) -> Option<Credentials> {
    let file = config::application_default().filter(|_| *source == Source::Google)?;
    Some(Credentials::ApplicationDefault { file: Some(file), impersonate })
}

/// Where a program is run: where it was named, but never in the mount, whose answers wait for its token.
fn working_dir(mountpoint: &Path) -> PathBuf {
    let dir = std::env::current_dir().ok().filter(|dir| !dir.starts_with(config::real(mountpoint)));
    dir.unwrap_or_else(|| "/".into())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        credentials: CredentialArgs,
    }

    fn credentials(line: &[&str]) -> Result<Option<Credentials>, Failure> {
        let args = Only::try_parse_from([&["mount"], line].concat()).expect("parses").credentials;
        let person = args.impersonate();
        let source = Source::Http("http://h".parse().expect("address"));
        settled(&source, args.given(Path::new("/content/drive"))?, person)
    }

    #[test]
    fn one_way_to_sign_in_is_taken_and_no_second_one() {
        let ways = [
            ["--account", "me"],
            ["--service-account-file", "a"],
            ["--credentials", "b"],
            ["--token-command", "c"],
            ["--token-file", "d"],
            ["--token", "e"],
            ["--rclone-remote", "f"],
        ];
        for (first, one) in ways.iter().enumerate() {
            for other in &ways[first + 1..] {
                let line = [&["mount"][..], one, other].concat();
                let error = Only::try_parse_from(line).expect_err("two ways").to_string();
                assert!(error.contains("cannot be used with"), "{error}");
            }
            let line = [&["mount"][..], one, &["--application-default"]].concat();
            assert!(Only::try_parse_from(line).is_err(), "{one:?}");
        }
        assert_eq!(credentials(&[]).expect("nothing is found for another server"), None);
    }

    #[test]
    fn a_secret_on_the_command_line_is_not_shown_again() {
        for flag in ["--token", "--token-command"] {
            let only = Only::try_parse_from(["mount", flag, "hunter2"]).expect("parses");
            assert!(!format!("{only:?}").contains("hunter2"));
            let given = credentials(&[flag, "hunter2"]).expect("valid");
            assert!(!format!("{given:?}").contains("hunter2"));
        }
    }

    #[test]
    fn only_a_service_account_acts_for_somebody_else() {
        let person = ["--impersonate", "me@example.org"];
        for fits in [&["--service-account-file", "a"][..], &["--credentials", "a"], &["--application-default"]] {
            let given = credentials(&[fits, &person].concat()).expect("valid").expect("is there");
            assert_eq!(given.label().as_deref(), Some("me@example.org"));
        }
        for other in [["--token", "a"], ["--token-file", "a"], ["--rclone-remote", "a"]] {
            let failure = credentials(&[&other[..], &person].concat()).expect_err("acts for nobody");
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.contains("--service-account-file"), "{failure}");
        }
    }

    #[test]
    fn a_name_that_no_account_can_have_is_refused() {
        let failure = credentials(&["--account", "../x"]).expect_err("no name");
        assert_eq!(failure.exit, Exit::Usage);
    }
}
