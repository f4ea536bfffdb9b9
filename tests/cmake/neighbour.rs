//! Another static library that a program may hold: Rust, with a runtime of its own, panics that are caught included.

/// The sum of the numbers below `end`; 0 when that is 0, by way of a panic.
#[no_mangle]
pub extern "C" fn neighbour_sum(end: u64) -> u64 {
    std::panic::set_hook(Box::new(|_| {}));
    let sum = std::panic::catch_unwind(|| if end == 0 { panic!("nothing to add") } else { (0..end).sum() });
    sum.unwrap_or(0)
}
