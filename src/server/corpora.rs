//! Where a listing looks, and whose log of changes is read: My Drive, one shared drive, or everywhere.
//!
//! The parameters that say so depend on each other. What does not fit together is refused rather than guessed at, as the
//! real service does.

use super::access::Access;
use super::caller::{Caller, Files};
use super::error::{ApiError, Result};
use super::params::Params;
use super::store::changes::Log;
use super::store::list::{Scope, Spaces};

/// Where a listing looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Corpus {
    MyDrive,
    Everywhere,
    /// The shared drive with this id.
    Drive(String),
}

impl Corpus {
    /// Of a listing of files. Every member has accessed all that is in a shared drive, so `user` with the items of all drives
    /// is all.
    pub(crate) fn of_files(params: &Params) -> Result<Self> {
        let corpora = params.filled("corpora").unwrap_or("user");
        if !matches!(corpora, "user" | "domain" | "drive" | "allDrives") {
            return Err(ApiError::invalid_value("corpora"));
        }
        let drive = drive_id(params);
        let included = is_included(params, drive.is_some() || matches!(corpora, "drive" | "allDrives"))?;
        match (corpora, drive) {
            ("drive", Some(id)) => Ok(Self::Drive(id.to_owned())),
            ("drive", None) | (_, Some(_)) => Err(ApiError::drive_and_corpora()),
            _ if included => Ok(Self::Everywhere),
            _ => Ok(Self::MyDrive),
        }
    }

    /// The part of the items that it is. Fails if there is no such drive.
    pub(crate) fn scope(&self, access: &Access<'_>) -> Result<Scope> {
        Ok(match self {
            Self::MyDrive => Scope::MyDrive,
            Self::Everywhere => Scope::Everything,
            Self::Drive(id) => Scope::Drive(access.drive(id)?.0.no),
        })
    }
}

/// Which log of changes is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogName {
    Own,
    User {
        shared_drives: bool,
    },
    /// That of the shared drive with this id.
    Drive(String),
}

impl LogName {
    pub(crate) fn of(params: &Params) -> Result<Self> {
        let drive = drive_id(params);
        let shared_drives = is_included(params, drive.is_some())?;
        Ok(match drive {
            Some(id) => Self::Drive(id.to_owned()),
            None if params.flag("restrictToMyDrive", false)? => Self::Own,
            None => Self::User { shared_drives },
        })
    }

    /// The log of this name. Fails if there is no such drive.
    pub(crate) fn log(&self, access: &Access<'_>) -> Result<Log> {
        Ok(match self {
            Self::Own => Log::Own,
            Self::User { shared_drives } => Log::User { shared_drives: *shared_drives },
            Self::Drive(id) => Log::Drive(Box::new(access.drive(id)?.0)),
        })
    }
}

/// The spaces that a call names. Fails if the token does not reach one of them.
pub(crate) fn spaces(params: &Params, caller: &Caller) -> Result<Spaces> {
    let named = params.list("spaces");
    if named.iter().any(|space| !matches!(*space, "drive" | "appDataFolder" | "photos")) {
        return Err(ApiError::invalid_value("spaces"));
    }
    let spaces =
        Spaces { drive: named.is_empty() || named.contains(&"drive"), app_data: named.contains(&"appDataFolder") };
    let is_granted =
        (!spaces.drive || caller.files != Files::None) && (!spaces.app_data || caller.app_folder.is_some());
    if is_granted { Ok(spaces) } else { Err(ApiError::spaces_not_granted()) }
}

/// The shared drive that a call names, by the parameter of today or that of before.
pub(crate) fn drive_id(params: &Params) -> Option<&str> {
    params.filled("driveId").or_else(|| params.filled("teamDriveId"))
}

/// Whether the caller declares that it knows of shared drives.
pub(crate) fn supports_all_drives(params: &Params) -> Result<bool> {
    Ok(params.flag("supportsAllDrives", false)? || params.flag("supportsTeamDrives", false)?)
}

/// Whether items of shared drives are wanted. Fails if they must be and are not.
fn is_included(params: &Params, must_be: bool) -> Result<bool> {
    let included = params.flag("includeItemsFromAllDrives", false)? || params.flag("includeTeamDriveItems", false)?;
    if must_be && !included {
        return Err(ApiError::all_drives_not_included());
    }
    if included && !supports_all_drives(params)? {
        return Err(ApiError::all_drives_not_supported());
    }
    Ok(included)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> std::result::Result<Corpus, (u16, &'static str)> {
        Corpus::of_files(&Params::parse(query)).map_err(|error| (error.status().as_u16(), error.reason()))
    }

    #[test]
    fn parameters_that_do_not_fit_together_are_refused() {
        const ALL: &str = "includeItemsFromAllDrives=true&supportsAllDrives=true";
        let drive = || Corpus::Drive("D".into());
        for (query, expected) in [
            (String::new(), Ok(Corpus::MyDrive)),
            ("corpora=user".into(), Ok(Corpus::MyDrive)),
            ("corpora=domain".into(), Ok(Corpus::MyDrive)),
            ("corpora=nothing".into(), Err((400, "invalid"))),
            ("supportsAllDrives=true".into(), Ok(Corpus::MyDrive)),
            ("includeItemsFromAllDrives=true".into(), Err((403, "forbidden"))),
            (ALL.into(), Ok(Corpus::Everywhere)),
            ("includeTeamDriveItems=true&supportsTeamDrives=true".into(), Ok(Corpus::Everywhere)),
            ("corpora=allDrives".into(), Err((403, "forbidden"))),
            (format!("corpora=allDrives&{ALL}"), Ok(Corpus::Everywhere)),
            ("corpora=drive&driveId=D".into(), Err((403, "forbidden"))),
            ("driveId=D&supportsAllDrives=true".into(), Err((403, "forbidden"))),
            (format!("corpora=drive&driveId=D&{ALL}"), Ok(drive())),
            (format!("corpora=drive&teamDriveId=D&{ALL}"), Ok(drive())),
            (format!("corpora=drive&{ALL}"), Err((400, "invalid"))),
            (format!("driveId=D&{ALL}"), Err((400, "invalid"))),
            (format!("corpora=allDrives&driveId=D&{ALL}"), Err((400, "invalid"))),
        ] {
            assert_eq!(of(&query), expected, "{query}");
        }
    }

    #[test]
    fn a_log_is_named_by_the_drive_alone() {
        let of = |query: &str| LogName::of(&Params::parse(query)).ok();
        let all = "includeItemsFromAllDrives=true&supportsAllDrives=true";
        assert_eq!(of(""), Some(LogName::User { shared_drives: false }));
        assert_eq!(of(all), Some(LogName::User { shared_drives: true }));
        assert_eq!(of(&format!("{all}&restrictToMyDrive=true")), Some(LogName::Own));
        assert_eq!(of(&format!("{all}&driveId=D")), Some(LogName::Drive("D".into())));
        assert_eq!(of("driveId=D&supportsAllDrives=true"), None);
    }
}
