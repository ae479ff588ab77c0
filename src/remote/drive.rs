//! Google Drive v3, and whatever speaks it.
