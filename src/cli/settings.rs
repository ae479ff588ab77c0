//! The settings file: what a mount is told when neither its command line nor a variable says it.
//!
//! TOML, at `~/.config/drivemount/config.toml` or where `--config` or `$DRIVEMOUNT_CONFIG` says. Its keys are the flags of
//! `mount` that have variables, so there is no second list of them: `clap`'s own model says which there are and which values make
//! sense, and what is read here becomes the default of the flag. What is wrong is said with file, line and key; the value is not
//! repeated if it is a secret.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::model::{CREDENTIALS, gives};
use super::{Exit, Failure, model};
use crate::config;
use crate::mount::mountpoint;

/// Commands whose flags the file speaks for.
const HEEDED_BY: [&str; 2] = ["mount", "doctor"];

/// The flag that names the file, and its variable.
const FLAG: &str = "config";
const VARIABLE: &str = "DRIVEMOUNT_CONFIG";

/// Bits of a mode that let others read a file.
const READABLE_BY_OTHERS: u32 = 0o044;

/// Where the settings file is.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    /// File with settings: the names of these flags, as `cache-size = "20G"`; default: ~/.config/drivemount/config.toml
    #[arg(long = FLAG, value_name = "FILE", env = VARIABLE)]
    _config: Option<PathBuf>,
}

/// What a settings file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    settings: Vec<Setting>,
}

/// One of them.
#[derive(Debug)]
struct Setting {
    key: String,
    values: Vec<String>,
}

impl Settings {
    /// Those for a command line: none if its command heeds none, or only tells how it is used.
    pub(super) fn of(line: &[OsString]) -> Result<Self, Failure> {
        let heeded =
            line.get(1).and_then(|command| command.to_str()).is_some_and(|command| HEEDED_BY.contains(&command));
        let asks = line.iter().any(|word| word == "--help" || word == "-h");
        if heeded && !asks { Self::load(named(line)) } else { Ok(Self::default()) }
    }

    /// The file that a command line, or the variable, names.
    pub(super) fn place(line: &[OsString]) -> Option<PathBuf> {
        let variable = || std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        named(line).or_else(variable).or_else(usual)
    }

    /// Reads the file: that which is given, or named by the variable, or lies at the usual place.
    pub(super) fn load(given: Option<PathBuf>) -> Result<Self, Failure> {
        let variable = || std::env::var_os(VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        let given = given.or_else(variable);
        let is_given = given.is_some();
        let Some(file) = given.or_else(usual) else { return Ok(Self::default()) };
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error)
                if !is_given && matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(bad(format!("the settings file {} cannot be read: {error}", file.display())));
            }
        };
        let mode = std::fs::metadata(&file).map(|metadata| metadata.mode()).unwrap_or_default();
        let settings = read(&file, &text, mode)?;
        Ok(Self { file: Some(file), settings })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.settings.len()
    }

    /// Makes them the defaults of the flags of commands that heed them.
    pub(super) fn settle(&self, command: Command, line: &[OsString]) -> Command {
        let command = command.mut_subcommands(|below| {
            if HEEDED_BY.contains(&below.get_name()) { self.settle_one(below, line) } else { below }
        });
        self.settle_one(command, line)
    }

    fn settle_one(&self, command: Command, line: &[OsString]) -> Command {
        let is_set =
            |arg: &Arg| arg.get_env().is_some_and(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        let is_credential = |arg: &Arg| arg.get_long().is_some_and(|flag| CREDENTIALS.contains(&flag));
        let signed_in = CREDENTIALS.iter().any(|flag| gives(line, flag))
            || command.get_arguments().any(|arg| is_credential(arg) && is_set(arg));
        command.mut_args(|arg| {
            let setting = self.settings.iter().find(|setting| arg.get_long() == Some(&setting.key));
            match setting {
                Some(setting) if !(signed_in && is_credential(&arg)) => arg.default_values(setting.values.clone()),
                _ => arg,
            }
        })
    }
}

fn bad(message: String) -> Failure {
    Failure::new(Exit::Usage, message)
}

/// Where the file is looked for when nothing names another.
fn usual() -> Option<PathBuf> {
    Some(config::user_dir("XDG_CONFIG_HOME", ".config")?.join("drivemount/config.toml"))
}

/// The file that a command line names.
fn named(line: &[OsString]) -> Option<PathBuf> {
    let mut words = line.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        let Some(rest) = word.to_str().and_then(|word| word.strip_prefix("--")?.strip_prefix(FLAG)) else { continue };
        if rest.is_empty() {
            return words.next().map(PathBuf::from);
        }
        if let Some(path) = rest.strip_prefix('=') {
            return Some(path.into());
        }
    }
    None
}

fn read(file: &Path, text: &str, mode: u32) -> Result<Vec<Setting>, Failure> {
    let commands = model::commands();
    let Some(mount) = commands.find_subcommand("mount") else { return Ok(Vec::new()) };
    let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    let wrong = |at: usize, what: &str| bad(format!("{}, line {}: {what}", file.display(), line_of(at)));
    // The message of the parser alone: the text around it may hold a secret.
    let table = DeTable::parse(text).map_err(|error| {
        wrong(
            error.span().map_or(0, |span| span.start),
            &format!("{}; settings are written as `cache-size = \"20G\"`", error.message()),
        )
    })?;
    let mut entries: Vec<(&Spanned<_>, &Spanned<DeValue<'_>>)> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut settings: Vec<Setting> = Vec::new();
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let at = key.span().start;
        let arg = |name: &str| model::settings_of(mount).find(|(flag, _)| *flag == name && name != FLAG);
        let Some((flag, arg)) = arg(name) else {
            let dashed = name.replace('_', "-").to_lowercase();
            let hint = match arg(dashed.trim_start_matches('-')) {
                Some((flag, _)) => format!("it is called `{flag}`"),
                None => "`drivemount mount --help` lists them".to_owned(),
            };
            return Err(wrong(at, &format!("there is no setting `{name}`; {hint}")));
        };
        let is_secret = arg.is_hide_env_values_set();
        if is_secret && mode & READABLE_BY_OTHERS != 0 {
            let word = mountpoint::word(file);
            let mode = mode & 0o777;
            return Err(wrong(
                at,
                &format!(
                    "`{flag}` is a secret, and others can read this file (mode {mode:o}); close it with `chmod 600 {word}`"
                ),
            ));
        }
        if let Some(other) =
            settings.iter().find(|other| CREDENTIALS.contains(&flag) && CREDENTIALS.contains(&other.key.as_str()))
        {
            return Err(wrong(at, &format!("`{flag}` and `{}` are two sign-ins; keep one of them", other.key)));
        }
        let values = values(arg, value.get_ref()).and_then(|values| {
            values.iter().try_for_each(|value| check(mount, arg, value, is_secret))?;
            Ok(values)
        });
        let values = values.map_err(|why| wrong(at, &format!("`{flag}` {why}")))?;
        settings.push(Setting { key: flag.to_owned(), values });
    }
    Ok(settings)
}

/// A value as the command line would have it. An error is the end of a sentence.
fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let is_switch = !arg.get_action().takes_values();
    match value {
        DeValue::Boolean(value) => Ok(vec![value.to_string()]),
        _ if is_switch => Err("is true or false".to_owned()),
        DeValue::String(text) if text.is_empty() => Err("is empty; leave it out instead".to_owned()),
        DeValue::String(text) => Ok(vec![text.to_string()]),
        DeValue::Integer(number) => Ok(vec![number.as_str().to_owned()]),
        DeValue::Float(number) => Ok(vec![number.as_str().to_owned()]),
        DeValue::Array(items) if matches!(arg.get_action(), ArgAction::Append) => {
            let mut values = Vec::new();
            for item in items {
                match item.get_ref() {
                    DeValue::String(text) => values.push(text.to_string()),
                    _ => return Err("is a list of texts".to_owned()),
                }
            }
            Ok(values)
        }
        _ => Err("takes one value: a text in quotes, a number, or true or false".to_owned()),
    }
}

/// Asks the flag itself whether a value makes sense. An error is the end of a sentence.
fn check(mount: &Command, arg: &Arg, value: &str, is_secret: bool) -> Result<(), String> {
    let Some(flag) = arg.get_long().filter(|_| arg.get_action().takes_values()) else { return Ok(()) };
    // What the environment says is none of the file's business.
    let probe = mount.clone().mut_args(|arg| arg.env(Resettable::Reset));
    let line = ["mount", &format!("--{flag}={value}"), "/"];
    let Err(error) = probe.try_get_matches_from(line) else { return Ok(()) };
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        // That it needs another flag beside it is told once all is known.
        return Ok(());
    }
    let why = match (error.get(ContextKind::ValidValue), error.source()) {
        (Some(ContextValue::Strings(valid)), _) if !valid.is_empty() => format!("it is one of {}", valid.join(", ")),
        (_, Some(source)) => source.to_string(),
        _ => "not a value for it".to_owned(),
    };
    Err(if is_secret { format!("cannot be used: {why}") } else { format!("= {value:?} is {why}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, mode: u32) -> String {
        read(Path::new("/etc/drive.toml"), text, mode).expect_err("refused").to_string()
    }

    #[test]
    fn a_file_says_what_flags_say() {
        let text = "# my machine\ncache-size = \"20G\"\nread-only = true\n\npoll-interval = 7\n";
        let settings = read(Path::new("/c"), text, 0o644).expect("good");
        let settings: Vec<_> =
            settings.iter().map(|setting| (setting.key.as_str(), setting.values[0].as_str())).collect();
        assert_eq!(settings, [("cache-size", "20G"), ("read-only", "true"), ("poll-interval", "7")]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_key() {
        for (text, words) in [
            (
                "\n\ncache-size = \"lots\"",
                "/etc/drive.toml, line 3: `cache-size` = \"lots\" is not a size; write it as",
            ),
            ("cache_size = \"1G\"", "line 1: there is no setting `cache_size`; it is called `cache-size`"),
            ("x = 1\n", "line 1: there is no setting `x`; `drivemount mount --help` lists them"),
            ("foreground = true", "there is no setting `foreground`"),
            ("config = \"/x\"", "there is no setting `config`"),
            ("[mount]\ncache-size = \"1G\"", "there is no setting `mount`"),
            ("read-only = \"yes\"", "`read-only` is true or false"),
            ("cache-size = [\"1G\"]", "`cache-size` takes one value"),
            ("token-file = \"\"", "`token-file` is empty"),
            ("token-file = \"/a\"\ncredentials = \"/b\"", "line 2: `credentials` and `token-file` are two sign-ins"),
            ("cache-size = 20G", "line 1: "),
        ] {
            let said = said(text, 0o600);
            assert!(said.contains(words), "{text:?}: {said}");
        }
    }

    #[test]
    fn a_secret_is_neither_left_open_nor_repeated() {
        let open = said("token = \"hush\"", 0o640);
        assert!(open.contains("chmod 600 /etc/drive.toml") && open.contains("mode 640"), "{open}");
        read(Path::new("/c"), "token = \"hush\"", 0o600).expect("closed");
        for text in ["token = \"hush", "token = [\"hush\"]", "token = \"hush\"\ntoken = \"hush\""] {
            assert!(!said(text, 0o600).contains("hush"), "{}", said(text, 0o600));
        }
    }

    #[test]
    fn the_file_is_named_by_the_line() {
        let line = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        assert_eq!(named(&line(&["drivemount", "mount", "--config", "/a", "/b"])), Some("/a".into()));
        assert_eq!(named(&line(&["drivemount", "mount", "--config=/a", "/b"])), Some("/a".into()));
        assert_eq!(named(&line(&["drivemount", "mount", "--", "--config=/a"])), None);
        assert_eq!(named(&line(&["drivemount", "mount", "--configuration", "/a"])), None);
    }
}
