//! How slow answering has been of late, as a number: a slow batch counts two, a quick one takes one off.
//!
//! One batch whose answers were interrupted, by a thread that needed the core, changes nothing; a callback that waits is
//! noticed at the second measurement. Pure.

const MAX: u32 = 8;
const SLOW_MIN: u32 = 4;

/// Of a new lane: on the slow side, and quick after one quick batch.
pub(super) const NEW: u32 = SLOW_MIN;

/// After one more batch.
pub(super) fn after(slowness: u32, is_slow: bool) -> u32 {
    if is_slow { (slowness + 2).min(MAX) } else { slowness.saturating_sub(1) }
}

/// Whether answers are expected to be quick.
pub(super) fn is_quick(slowness: u32) -> bool {
    slowness < SLOW_MIN
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_slow_when_a_third_of_its_answers_are() {
        let end = |steps: &str| steps.bytes().fold(NEW, |slowness, step| after(slowness, step == b's'));
        let table = [
            ("", false),
            ("q", true),
            ("qs", false),
            ("qqqqs", true),
            ("qqqqss", false),
            ("qqqqsqqqqqqqs", true),
            ("qqqqsqsqsqs", false),
            ("ssssssssqqqq", false),
            ("ssssssssqqqqq", true),
        ];
        for (steps, quick) in table {
            assert_eq!(is_quick(end(steps)), quick, "{steps}");
        }
    }
}
