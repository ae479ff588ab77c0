//! Where the memory of this program comes from.

/// The allocator of the system, but for the buffers into which `fuser` takes requests of the kernel.
///
/// The kernel copies a request into such a buffer. If a page of that is touched for the first time then, and the process is being
/// killed, the copy fails, and with it the request: the one moment in which a kill would be seen by a program. So as much as the
/// largest request takes is touched when the buffer is made.
#[derive(Debug)]
pub struct Allocator;

/// Such a buffer (`fuser`, `read_buf.rs`): 16 MiB and a page.
const REQUEST_BUFFER: usize = (16 << 20) + 4096;

/// What the largest request takes of it: a write of 1 MiB, and its head.
const REQUEST: usize = (1 << 20) + 8192;

// SAFETY: all is done by the allocator of the system; what is written is within memory that it just gave, and is zero as it was.
unsafe impl std::alloc::GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: std::alloc::Layout, size: usize) -> *mut u8 {
        // SAFETY: the contract is the same.
        unsafe { std::alloc::System.realloc(memory, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: std::alloc::Layout) -> *mut u8 {
        // SAFETY: the contract is the same.
        let memory = unsafe { std::alloc::System.alloc_zeroed(layout) };
        if layout.size() == REQUEST_BUFFER && !memory.is_null() {
            for at in (0..REQUEST).step_by(4096) {
                // SAFETY: within the block, which is longer, and which nobody else knows yet.
                unsafe { memory.add(at).write_volatile(0) };
            }
        }
        memory
    }
}
