//! Cases of the suite that pass on a disk and not on a mount, each with its reason; docs/SEMANTICS.md argues each.

/// Names and reasons.
pub(crate) const EXCEPTIONS: &[(&str, &str)] =
    &[("link::link_count_max", "a mount tells no largest number of links: the C library knows that of disks alone")];
