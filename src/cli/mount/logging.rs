//! Flags: what a mount tells of itself, and where.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{self, LogFormat, Logging, parse_log_level, parse_metrics_address};

/// What a mount tells of itself.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Log and numbers")]
pub(crate) struct LoggingArgs {
    /// What to log: error, warn, info, debug, trace, or by part (`drivemount::writeback=debug`)
    #[arg(long, value_name = "LEVEL", env = "DRIVEMOUNT_LOG_LEVEL", default_value = "info",
          value_parser = parse_log_level)]
    pub(super) log_level: String,
    /// File to add the log to; default: drivemount.log in the cache folder, or the terminal with --foreground
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_LOG_FILE")]
    log_file: Option<PathBuf>,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", env = "DRIVEMOUNT_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
    /// Serve numbers for Prometheus at this address, as 127.0.0.1:9100 or the port alone, under /metrics; to this machine only
    #[arg(long, value_name = "ADDRESS", env = "DRIVEMOUNT_METRICS", value_parser = parse_metrics_address)]
    pub(super) metrics: Option<SocketAddr>,
}

impl LoggingArgs {
    pub(super) fn log(&self) -> Logging {
        Logging { file: self.log_file.as_deref().map(config::absolute), format: self.log_format }
    }
}
