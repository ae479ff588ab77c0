//! Google Drive v3, and whatever speaks it.

#![expect(dead_code, reason = "the calls that use this come next")]

mod errors;
mod pace;
mod request;
mod retry;
