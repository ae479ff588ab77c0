//! `mount.drivemount`: what `mount(8)` calls for `mount -t drivemount` and for lines of `/etc/fstab`.
//!
//! The program itself under another name, as a link at `/sbin/mount.drivemount`. It turns `SOURCE DIR -o OPTION,…` into the command
//! line of `drivemount mount`; the options are the settings of that, written with `_` or `-`. Those that are meant for `mount(8)`,
//! the kernel or systemd are left to them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::builder::{BoolishValueParser, TypedValueParser};
use clap::{Arg, Command};

use super::{Exit, Failure, model};

/// The name that it goes by.
const NAME: &str = "mount.drivemount";

/// Options that say when to mount and who may, or what no drive can heed.
const OF_OTHERS: [&str; 40] = [
    "_netdev",
    "async",
    "atime",
    "auto",
    "bg",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "fg",
    "group",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noatime",
    "noauto",
    "nodev",
    "nodiratime",
    "noexec",
    "nofail",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nouser",
    "owner",
    "relatime",
    "remount",
    "rw",
    "silent",
    "strictatime",
    "suid",
    "sync",
    "user",
    "users",
    "uhelper",
];

/// The same for options that begin so.
const OF_OTHERS_WITH_NAMES: [&str; 3] = ["x-", "X-", "comment"];

const USAGE: &str = "usage: mount -t drivemount SOURCE DIR [-o OPTION,OPTION=VALUE,…]\n\
                     The options are the settings of `drivemount mount`, as cache_size=20G,read_only; ro is read_only";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A command line of `drivemount`.
    Line(Vec<OsString>),
    /// Nothing: it was only tried out (`-f`).
    Nothing,
}

/// What `mount(8)` was told.
#[derive(Debug, Default)]
struct Request {
    places: Vec<OsString>,
    options: Vec<String>,
    /// Options that nobody knows are left out (`-s`).
    sloppy: bool,
    fake: bool,
}

/// The command line of this process, whatever its name.
pub(super) fn read(line: Vec<OsString>) -> Result<Call, Failure> {
    let name = line.first().and_then(|name| Path::new(name).file_name());
    if name != Some(OsStr::new(NAME)) {
        return Ok(Call::Line(line));
    }
    let request = Request::read(line.into_iter().skip(1))?;
    if request.fake {
        return Ok(Call::Nothing);
    }
    let commands = model::commands();
    let mount = commands.find_subcommand("mount").ok_or_else(|| bad("it has no `mount`"))?;
    let mut call = vec!["drivemount".into(), "mount".into()];
    for option in &request.options {
        match flag(mount, option) {
            Ok(flag) => call.extend(flag.map(OsString::from)),
            Err(_) if request.sloppy => {}
            Err(why) => return Err(bad(&why)),
        }
    }
    call.push("--".into());
    call.extend(request.places);
    Ok(Call::Line(call))
}

fn bad(why: &str) -> Failure {
    Failure::new(Exit::Usage, format!("{NAME}: {why}"))
}

impl Request {
    fn read(words: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut request = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let letters = word.to_str().and_then(|word| word.strip_prefix('-')).filter(|letters| !letters.is_empty());
            let Some(letters) = letters else {
                request.places.push(word);
                continue;
            };
            for (at, letter) in letters.char_indices() {
                match letter {
                    's' => request.sloppy = true,
                    'f' => request.fake = true,
                    // There is no mtab, and it always says what it did.
                    'n' | 'v' => {}
                    'o' | 't' | 'N' => {
                        let rest = &letters[at + 1..];
                        let value = if rest.is_empty() { words.next() } else { Some(rest.into()) };
                        let value = value.and_then(|value| value.into_string().ok());
                        let value = value.ok_or_else(|| bad(&format!("-{letter} needs a value; {USAGE}")))?;
                        if letter == 'o' {
                            request.options.extend(split(&value));
                        }
                        break;
                    }
                    _ => return Err(Failure::new(Exit::Usage, USAGE)),
                }
            }
        }
        if request.places.len() == 2 { Ok(request) } else { Err(Failure::new(Exit::Usage, USAGE)) }
    }
}

/// Options, parted by commas; a value with a comma in it stands in double quotes, as `mount(8)` has it.
fn split(options: &str) -> Vec<String> {
    let mut split = Vec::new();
    let mut option = String::new();
    let mut quoted = false;
    for c in options.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => split.push(std::mem::take(&mut option)),
            c => option.push(c),
        }
    }
    split.push(option);
    split.retain(|option| !option.is_empty());
    split
}

/// The flag that an option stands for, if it is for us. An error says what is wrong with it.
fn flag(mount: &Command, option: &str) -> Result<Option<String>, String> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    if OF_OTHERS.contains(&name) || OF_OTHERS_WITH_NAMES.iter().any(|others| name.starts_with(others)) {
        return Ok(None);
    }
    let long = if name == "ro" { "read-only".to_owned() } else { name.replace('_', "-") };
    let Some((flag, arg)) = model::settings_of(mount).find(|(flag, _)| *flag == long) else {
        return Err(format!("there is no option `{name}`; `drivemount mount --help` lists the settings"));
    };
    if arg.is_hide_env_values_set() {
        return Err(format!("`{name}` would be seen by every user of this machine; keep it in a file or an account"));
    }
    match value {
        Some(value) if arg.get_action().takes_values() => Ok(Some(format!("--{flag}={value}"))),
        Some(value) => Ok(is_yes(arg, value)?.then(|| format!("--{flag}"))),
        None if arg.get_action().takes_values() => Err(format!("`{name}` needs a value: {name}=…")),
        None => Ok(Some(format!("--{flag}"))),
    }
}

fn is_yes(arg: &Arg, value: &str) -> Result<bool, String> {
    let yes = BoolishValueParser::new().parse_ref(&Command::new(NAME), Some(arg), OsStr::new(value));
    yes.map_err(|_| format!("`{}` is yes or no, not {value:?}", arg.get_long().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn call(line: &str) -> String {
        match read(words(line)).expect("understood") {
            Call::Line(line) => line.iter().map(|word| word.to_str().expect("text")).collect::<Vec<_>>().join(" "),
            Call::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_words_of_mount_become_flags() {
        for (line, expected) in [
            ("/usr/bin/drivemount status /d", "/usr/bin/drivemount status /d"),
            ("mount.drivemount google /d", "drivemount mount -- google /d"),
            ("/sbin/mount.drivemount google /d -o rw", "drivemount mount -- google /d"),
            (
                "mount.drivemount google /d -sv -o ro,allow_other,cache_size=20G,_netdev,nofail,x-systemd.automount",
                "drivemount mount --read-only --allow-other --cache-size=20G -- google /d",
            ),
            (
                "mount.drivemount google /d -t drivemount -ocache-size=1G",
                "drivemount mount --cache-size=1G -- google /d",
            ),
            ("mount.drivemount google /d -o allow_other=no,read_only=yes", "drivemount mount --read-only -- google /d"),
            ("mount.drivemount google /d -s -o whatever", "drivemount mount -- google /d"),
            ("mount.drivemount google /d -f -o whatever", "nothing"),
            (
                "mount.drivemount google /d -o cache_dir=\"/a,b\",ro",
                "drivemount mount --cache-dir=/a,b --read-only -- google /d",
            ),
        ] {
            assert_eq!(call(line), expected, "{line}");
        }
    }

    #[test]
    fn what_it_does_not_know_is_said() {
        for (line, expected) in [
            ("mount.drivemount google", "usage: mount -t drivemount"),
            ("mount.drivemount google /d -o", "-o needs a value"),
            ("mount.drivemount google /d -x", "usage: mount -t drivemount"),
            ("mount.drivemount google /d -o whatever", "there is no option `whatever`"),
            ("mount.drivemount google /d -o foreground", "there is no option `foreground`"),
            ("mount.drivemount google /d -o cache_size", "`cache_size` needs a value"),
            ("mount.drivemount google /d -o allow_other=maybe", "`allow-other` is yes or no"),
            ("mount.drivemount google /d -o token=hush", "`token` would be seen by every user"),
        ] {
            let said = read(words(line)).expect_err("refused").to_string();
            assert!(said.contains(expected) && !said.contains("hush"), "{line}: {said}");
        }
    }
}
