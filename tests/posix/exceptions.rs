//! Cases of the suite that pass on a disk and not on a mount, each with its reason; docs/SEMANTICS.md argues each.

/// `link(2)` is not offered.
const LINKS: &str = "hard links are refused";

/// Names and reasons.
pub(crate) const EXCEPTIONS: &[(&str, &str)] = &[
    ("link::changed_ctime_success::block", LINKS),
    ("link::changed_ctime_success::char", LINKS),
    ("link::changed_ctime_success::fifo", LINKS),
    ("link::changed_ctime_success::regular", LINKS),
    ("link::changed_ctime_success::socket", LINKS),
    ("link::remove_link::block", LINKS),
    ("link::remove_link::char", LINKS),
    ("link::remove_link::fifo", LINKS),
    ("link::remove_link::regular", LINKS),
    ("link::remove_link::socket", LINKS),
    ("link::share_metadata::block", LINKS),
    ("link::share_metadata::char", LINKS),
    ("link::share_metadata::fifo", LINKS),
    ("link::share_metadata::regular", LINKS),
    ("link::share_metadata::socket", LINKS),
    ("rename::preserve_metadata::block", LINKS),
    ("rename::preserve_metadata::char", LINKS),
    ("rename::preserve_metadata::fifo", LINKS),
    ("rename::preserve_metadata::regular", LINKS),
    ("rename::preserve_metadata::socket", LINKS),
    ("rename::to_multiply_linked::block", LINKS),
    ("rename::to_multiply_linked::char", LINKS),
    ("rename::to_multiply_linked::fifo", LINKS),
    ("rename::to_multiply_linked::regular", LINKS),
    ("rename::to_multiply_linked::socket", LINKS),
    ("unlink::unchanged_ctime_failed::block", LINKS),
    ("unlink::unchanged_ctime_failed::char", LINKS),
    ("unlink::unchanged_ctime_failed::fifo", LINKS),
    ("unlink::unchanged_ctime_failed::regular", LINKS),
    ("unlink::unchanged_ctime_failed::socket", LINKS),
    ("unlink::update_ctime_success::block", LINKS),
    ("unlink::update_ctime_success::char", LINKS),
    ("unlink::update_ctime_success::fifo", LINKS),
    ("unlink::update_ctime_success::regular", LINKS),
    ("unlink::update_ctime_success::socket", LINKS),
    ("link::link_count_max", "a mount tells no largest number of links: the C library knows that of disks alone"),
];
