//! Google Drive v3, and whatever speaks it.

#![expect(dead_code, reason = "the calls that use this come next")]

mod convert;
mod errors;
mod pace;
mod query;
mod request;
mod retry;
mod types;
