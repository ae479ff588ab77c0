//! Where Google's libraries find credentials that nobody named (application default credentials).

use std::ffi::OsString;
use std::path::PathBuf;

use super::absolute;

/// The variable that names a file of credentials to all of Google's libraries.
pub const GOOGLE_CREDENTIALS: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Where a machine of Google's is asked for the token of its service account, if no variable says so.
const METADATA_HOST: &str = "metadata.google.internal";

/// The file of application default credentials: what [`GOOGLE_CREDENTIALS`] names, whether it exists or not, or what gcloud
/// has put down. `None`: there is none, and only the machine itself can help.
pub fn application_default() -> Option<PathBuf> {
    let named = variable(GOOGLE_CREDENTIALS).map(PathBuf::from).map(|path| absolute(&path));
    named.or_else(|| gcloud_file().filter(|file| file.exists()))
}

/// Where `gcloud auth application-default login` puts what it got.
pub fn gcloud_file() -> Option<PathBuf> {
    let named = variable("CLOUDSDK_CONFIG").map(PathBuf::from).map(|path| absolute(&path));
    let folder = named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config/gcloud")))?;
    Some(folder.join("application_default_credentials.json"))
}

/// The host, and the port if it is not the usual one, of what knows this machine.
pub fn metadata_host() -> String {
    let named = variable("GCE_METADATA_HOST").and_then(|host| host.into_string().ok());
    named.unwrap_or_else(|| METADATA_HOST.to_owned())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
