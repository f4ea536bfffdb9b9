//! Whether what comes and goes leaves memory behind: the resident size of this process over many cycles.
//!
//! The slope counts, not the difference of two sizes: one page more at the wrong moment says nothing. For a program of one
//! test that measures, as all tests of a process share its memory, or one whose other tests are soon over.

#![allow(clippy::print_stdout, reason = "the figure is worth a look")]
#![allow(dead_code, reason = "every program uses a part of it")]

/// What the resident size may grow by in [`CYCLES`]: in the short form, whose warm-up is short, and in the long one.
const GROWTH_MAX: (f64, f64) = (5e6, 0.5e6);

/// The cycles that growth is told for.
pub(crate) const CYCLES: usize = 1000;

/// How many cycles to run: the second number in the long form, which `INFERLAY_SOAK` asks for.
pub(crate) fn cycles(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Whether the long form is asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("INFERLAY_SOAK").is_some()
}

/// Fails if so many cycles leave more behind than they may.
pub(crate) fn refuse_growth(cycles: usize, cycle: impl Fn()) {
    let mut sizes = Vec::with_capacity(cycles);
    for at in 0..cycles {
        cycle();
        // After a warm-up of a tenth.
        if at >= cycles / 10 {
            sizes.push(resident());
        }
    }
    let growth = slope(&sizes) * CYCLES as f64;
    let (kilobytes, end) = (growth / 1024.0, sizes[sizes.len() - 1] / 1024.0);
    let warm = cycles / 10;
    println!(
        "{cycles} cycles: {end:.0} KB resident, growing by {kilobytes:.1} KB per {CYCLES} after {warm} of warm-up"
    );
    let most = if is_long() { GROWTH_MAX.1 } else { GROWTH_MAX.0 };
    assert!(growth < most, "resident memory grows by {kilobytes:.1} KB in {CYCLES} cycles");
}

/// Bytes that are resident, once the allocator has given back what it can.
pub(crate) fn resident() -> f64 {
    // SAFETY: it touches nothing but memory that the allocator holds free.
    unsafe { libc::malloc_trim(0) };
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024.0
}

/// The slope of the line through the values that leaves the smallest squares.
pub(crate) fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let parts = values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value - mean));
    let (above, below) = parts.fold((0.0, 0.0), |(a, b), (x, y)| (a + x * y, b + x * x));
    above / below
}
