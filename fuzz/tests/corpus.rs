//! The committed corpus, and bytes that chance makes of it, through every target: what libFuzzer has found stays found.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::Path;

/// Changed copies of each file.
const COPIES: u64 = 20;

/// The files of a target's corpus.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.collect();
    files.sort();
    assert!(files.len() >= 8, "{target}: found {} files", files.len());
    files.into_iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Numbers that look random and are the same in each run (SplitMix64).
fn number(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The bytes with a few of them changed, and perhaps cut off.
fn changed(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..1 + number(state) % 4 {
        let len = bytes.len() as u64;
        if len > 0 {
            let at = (number(state) % len) as usize;
            bytes[at] = number(state) as u8;
        }
    }
    if number(state).is_multiple_of(8) {
        bytes.truncate((number(state) % (bytes.len() as u64 + 1)) as usize);
    }
    bytes
}

fn check(target: &str, run: fn(&[u8])) {
    let mut state = 1;
    for bytes in corpus(target) {
        run(&bytes);
        for _ in 0..COPIES {
            run(&changed(&bytes, &mut state));
        }
    }
}

#[test]
fn configs_are_read_or_refused() {
    check("config", inferlay_fuzz::config::run);
}

#[test]
fn configs_in_the_text_format_are_read_or_refused() {
    check("pbtxt", inferlay_fuzz::config::run_pbtxt);
}

#[test]
fn servers_survive_their_plugins() {
    check("table", inferlay_fuzz::table::run);
}

#[test]
fn the_c_door_bears_any_calls() {
    check("door", inferlay_fuzz::door::run);
}
