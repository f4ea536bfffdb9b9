//! The engine under sanitizers and under libFuzzer, without tract.
//!
//! ```text
//!   target/sanitize   ASan and coverage: the tests of plugins, the fuzz targets     (built once for both stages)
//!   target/tsan       TSan: the C library, under a C program of many threads
//! ```
//!
//! The toolchain is the stable one: it carries the runtimes of the sanitizers, and `RUSTC_BOOTSTRAP` lets its compiler
//! use them. The standard library is not instrumented; `tests/stress_c/tsan.supp` says what that hides from TSan.

use crate::House;
use crate::report::Outcome;
use crate::step::Step;
use std::path::{Path, PathBuf};

/// The tests of native plugins that leave nothing behind.
const TESTS: &str = "--test backend_c --test backend_cpp --test abi_v1";

/// The tests of bad plugins, some of which never let go what they took.
const LEAKING: &str = "--test plugins";

/// Both packages at once, so that they share one build.
const PACKAGES: &str = "-p inferlay -p inferlay-fuzz --no-default-features --features inferlay/capi";

const TARGETS: [&str; 4] = ["config", "pbtxt", "table", "door"];

/// Seconds that each fuzz target runs for: in the tests, in their long form, and in the soak.
const SECONDS: [u64; 3] = [15, 120, 300];

/// Address sanitizer, whose runtime plugins look up by name, and the coverage that libFuzzer steers by.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Clink-arg=-rdynamic -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The standard library is compiled without, which this flag admits.
const TSAN_FLAGS: &str = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";

/// What a program in C must be linked with beside the static library.
const LIBRARIES: &str = "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc";

/// Plugins with memory of every kind under ASan, and many threads under TSan.
pub(crate) fn sanitize(house: &House) -> Outcome {
    let run = || {
        let remark = plugins(house)?;
        threads(house)?;
        Ok(remark)
    };
    run().into()
}

/// The fuzz targets, for a short while.
pub(crate) fn fuzz(house: &House) -> Outcome {
    fuzz_for(house, SECONDS[usize::from(house.full)]).into()
}

/// The fuzz targets, for long.
pub(crate) fn fuzz_long(house: &House) -> Outcome {
    fuzz_for(house, SECONDS[2]).into()
}

/// A cargo whose compiler instruments for the machine at hand, and leaves build scripts alone.
fn cargo(house: &House, words: &str, flags: &str, folder: &str) -> Result<Step, String> {
    let step = Step::cargo(house, &format!("{words} --target {}", triple(house)?));
    let step = step.env("RUST_BACKTRACE", "0");
    Ok(step.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", house.target.join(folder)))
}

fn triple(house: &House) -> Result<String, String> {
    let told = Step::new(house, "rustc").args(["-vV"]).ask()?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc names no host".to_owned())
}

/// Runs the tests of plugins, whose C code is instrumented too where clang is there: the runtime is LLVM's.
fn plugins(house: &House) -> Result<String, String> {
    let has_clang = Step::new(house, "clang").args(["--version"]).ask().is_ok();
    for (tests, options) in [(TESTS, "detect_leaks=1"), (LEAKING, "detect_leaks=0")] {
        let words = format!("test {PACKAGES} {tests}");
        let mut step = cargo(house, &words, FLAGS, "sanitize")?.env("ASAN_OPTIONS", options).env("INFERLAY_CMAKE", "");
        for (name, value) in CLANG.iter().filter(|_| has_clang) {
            step = step.env(name, value);
        }
        step.run()?;
    }
    let without = "without clang, C code was not instrumented";
    Ok(if has_clang { String::new() } else { without.to_owned() })
}

/// Instruments C code as the Rust code is. The runtime is that of the program which loads it.
const CLANG: [(&str, &str); 4] =
    [("CC", "clang"), ("CXX", "clang++"), ("CFLAGS", "-fsanitize=address"), ("CXXFLAGS", "-fsanitize=address")];

/// Builds the C library and the program of many threads for TSan, and runs it.
fn threads(house: &House) -> Result<(), String> {
    let words = "rustc --lib -p inferlay --no-default-features --features capi --crate-type staticlib";
    cargo(house, words, TSAN_FLAGS, "tsan")?.run()?;
    let (triple, folder) = (triple(house)?, house.target.join("tsan"));
    let (object, program) = (folder.join("stress.o"), folder.join("stress"));
    let source = house.root.join("tests/stress_c/stress.c");
    let compile =
        Step::new(house, "cc").args("-std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -I include -c".split(' '));
    compile.args([&source]).args(["-o"]).args([&object]).run()?;
    // Not by `-fsanitize`: the runtime must be that of the Rust compiler, whole, and open to what is looked up by name.
    let link = Step::new(house, "cc").args(["-rdynamic", "-o"]).args([&program, &object]);
    let link = link.args([folder.join(&triple).join("debug/libinferlay.a")]).args(["-Wl,--whole-archive"]);
    link.args([runtime(house, &triple)?]).args(["-Wl,--no-whole-archive"]).args(LIBRARIES.split(' ')).run()?;
    let hidden = house.root.join("tests/stress_c/tsan.supp");
    let rounds = if house.full { "20000" } else { "1500" };
    Step::new(house, program).args([rounds]).env("TSAN_OPTIONS", format!("suppressions={}", hidden.display())).run()
}

fn runtime(house: &House, triple: &str) -> Result<PathBuf, String> {
    let told = Step::new(house, "rustc").args(["--print", "target-libdir"]).ask()?;
    let folder = Path::new(told.trim());
    let file = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names = file.flatten().map(|file| file.path());
    let is_runtime =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("_rt.tsan.a"));
    names.find(is_runtime).ok_or_else(|| format!("{}: found no runtime of TSan for {triple}", folder.display()))
}

/// Runs every fuzz target over its corpus and what libFuzzer makes of it.
fn fuzz_for(house: &House, seconds: u64) -> Result<String, String> {
    // With the tests, although they are not run: what they alone need of a dependency would build everything anew.
    cargo(house, &format!("build {PACKAGES} --bins {TESTS} {LEAKING}"), FLAGS, "sanitize")?.run()?;
    let folder = house.target.join("sanitize");
    let built = folder.join(triple(house)?).join("debug");
    for target in TARGETS {
        // What is found goes here and not into the committed corpus, whose files were chosen.
        let found = folder.join("corpus").join(target);
        std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let seconds = format!("-max_total_time={seconds}");
        let prefix = format!("-artifact_prefix={}/", folder.display());
        let step = Step::new(house, built.join(format!("fuzz-{target}")));
        let step =
            step.args(["-timeout=60", "-max_len=2048", "-verbosity=0", "-print_final_stats=1", &seconds, &prefix]);
        step.args([found, house.root.join("fuzz/corpus").join(target)]).run()?;
    }
    Ok(format!("{seconds} s each of {}", TARGETS.join(", ")))
}
