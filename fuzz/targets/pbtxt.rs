//! The fuzz target `pbtxt`, see `inferlay_fuzz::config`. Without libFuzzer it runs the files that it is given.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| inferlay_fuzz::config::run_pbtxt(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    inferlay_fuzz::replay(inferlay_fuzz::config::run_pbtxt)
}
