//! What the commands print, checked. Pure.

use crate::json::{self, Json};

/// Part of the held-out digits, in percent, that the quickstart must classify rightly.
const ACCURACY_MIN: f64 = 97.0;

/// The cases of the benchmark `overhead`.
const CASES: &[&str] =
    &["floor/1", "floor/64", "sync/1", "async/1", "async/64", "async/64-deadline", "async/64-cancel10", "batched/64"];

/// The figures of each case: those that must be above 0, and those that may be 0.
const FIGURES: [&[&str]; 2] =
    [&["req_per_s", "p50_ns", "p99_ns", "cpu_ns_per_req", "mean_batch"], &["allocs_per_req", "bytes_copied_per_req"]];

/// How many tests passed and failed, by the lines that end each test program.
pub(crate) fn tests(text: &str) -> (usize, usize) {
    let results = text.lines().filter_map(|line| line.strip_prefix("test result: "));
    let count = |line: &str, word: &str| {
        let before = line.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
        before.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    results.fold((0, 0), |(passed, failed), line| (passed + count(line, "passed"), failed + count(line, "failed")))
}

/// What of the output of a command that failed tells why: what failed tests printed and the errors of a compiler, or
/// where there is none of both, the last lines.
pub(crate) fn reasons(text: &str) -> String {
    let mut reasons = Vec::new();
    let mut left = 0;
    for line in text.lines() {
        let starts_test = line.starts_with("---- ") && line.ends_with(" stdout ----");
        if starts_test || line.starts_with("error") {
            left = REASON_LINES_MAX;
        }
        if line == "failures:" || line.starts_with("test result: ") {
            left = 0;
        }
        if left > 0 {
            reasons.push(line);
            left -= 1;
        }
    }
    let cut = |lines: &[&str], most: usize| lines[lines.len().saturating_sub(most)..].join("\n");
    match reasons.as_slice() {
        [] => cut(&text.lines().collect::<Vec<_>>(), LAST_LINES_MAX),
        reasons => cut(reasons, REASONS_LINES_MAX),
    }
}

/// What the tests that passed printed, where the command was told to show it: the figures of long runs.
pub(crate) fn figures(text: &str) -> Vec<&str> {
    let (mut figures, mut is_told) = (Vec::new(), false);
    for line in text.lines() {
        if line == "failures:" {
            return figures;
        }
        let is_head = line.starts_with("---- ") && line.ends_with(" stdout ----");
        is_told = is_head || (is_told && !line.is_empty());
        if is_told && !is_head {
            figures.push(line);
        }
    }
    figures
}

/// Lines of the report on one failed test or one error, on all of them, and of an output that shows neither.
const REASON_LINES_MAX: usize = 25;
const REASONS_LINES_MAX: usize = 120;
const LAST_LINES_MAX: usize = 40;

/// How many tests passed and failed, by the line that pytest ends with. What could not be set up has failed.
pub(crate) fn pytest(text: &str) -> (usize, usize) {
    let is_last =
        |line: &&str| line.contains(" in ") && [" passed", " failed", " error"].iter().any(|w| line.contains(w));
    let line = text.lines().rfind(is_last).unwrap_or_default();
    let words: Vec<_> = line.split([' ', ',', '=']).filter(|word| !word.is_empty()).collect();
    let count = |kinds: &[&str]| -> usize {
        let named = words.windows(2).filter(|pair| kinds.contains(&pair[1]));
        named.filter_map(|pair| pair[0].parse::<usize>().ok()).sum()
    };
    (count(&["passed"]), count(&["failed", "error", "errors"]))
}

/// Checks the line `accuracy: NN.NN %`.
pub(crate) fn quickstart(text: &str) -> Result<String, String> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("accuracy:"));
    let line = line.ok_or("the quickstart printed no line `accuracy: NN.NN %`")?.trim();
    let number = line.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if (ACCURACY_MIN..=100.0).contains(&percent) => Ok(format!("accuracy {percent:.2} %")),
        _ => Err(format!("found `accuracy: {line}`, expected {ACCURACY_MIN} % or more")),
    }
}

/// Checks the shape of what the benchmark `overhead` reports: every case, every figure.
pub(crate) fn overhead(text: &str) -> Result<String, String> {
    let report = json::parse(text)?;
    let Some(Json::List(cases)) = report.field("cases") else { return Err("found no list `cases`".to_owned()) };
    for name in CASES {
        let is_named = |case: &&Json| matches!(case.field("name"), Some(Json::Text(found)) if found == name);
        let case = cases.iter().find(is_named).ok_or_else(|| format!("found no case `{name}`"))?;
        for (figures, above) in FIGURES.into_iter().zip([f64::MIN_POSITIVE, 0.0]) {
            figures.iter().try_for_each(|figure| check_figure(name, figure, case, above))?;
        }
    }
    Ok(String::new())
}

fn check_figure(name: &str, figure: &str, case: &Json, least: f64) -> Result<(), String> {
    match case.field(figure) {
        Some(Json::Number(number)) if *number >= least && number.is_finite() => Ok(()),
        found => Err(format!("case `{name}`: `{figure}` is {found:?}, expected a number that makes sense")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_add_up() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; finished in 0.5s\nnoise 9 passed;\n\
                    test result: FAILED. 30 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.2s\n";
        assert_eq!(tests(text), (32, 4));
        assert_eq!(tests("error: could not compile"), (0, 0));
    }

    #[test]
    fn the_reasons_are_what_failed_tests_printed() {
        let text = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nat b.rs:1\nleft: 1\n\n\
                    failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed;\nrunning 1 test\ntest c ... ok\n";
        assert_eq!(reasons(text).trim_end(), "---- b stdout ----\nat b.rs:1\nleft: 1");
    }

    #[test]
    fn the_figures_are_what_tests_printed_that_passed() {
        let text = "test a ... ok\ntest b ... ok\n\nsuccesses:\n\n---- a stdout ----\n9 cycles\n3 KB\n\n---- b stdout ----\n7\n\n\n\
                    successes:\n    a\n    b\n\ntest result: ok. 2 passed; 0 failed;\n";
        assert_eq!(figures(text), ["9 cycles", "3 KB", "7"]);
        assert!(figures("failures:\n\n---- c stdout ----\nat c.rs:1\n").is_empty());
    }

    #[test]
    fn the_reasons_are_errors_or_else_the_last_lines() {
        assert_eq!(reasons("warning: x\nerror[E0001]: y\n --> z"), "error[E0001]: y\n --> z");
        let text: Vec<_> = (0..LAST_LINES_MAX + 5).map(|line| line.to_string()).collect();
        assert_eq!(reasons(&text.join("\n")), text[5..].join("\n"));
        let long = format!("error: x\n{}", "y\n".repeat(1000));
        assert_eq!(reasons(&long).lines().count(), REASON_LINES_MAX);
        assert_eq!(reasons(""), "");
    }

    #[test]
    fn the_last_line_of_pytest_is_counted() {
        for (text, expected) in [
            ("1 passed in a text\n== 2 failed, 120 passed, 3 skipped, 1 warning, 2 errors in 5.31s ==\n", (120, 4)),
            ("...\n171 passed, 2 skipped in 64.02s (0:01:04)\n", (171, 0)),
            ("1 error in 0.10s", (0, 1)),
            ("no tests ran in 0.01s", (0, 0)),
            ("bash: pytest: not found", (0, 0)),
        ] {
            assert_eq!(pytest(text), expected, "{text}");
        }
    }

    #[test]
    fn an_accuracy_of_97_percent_or_more_is_accepted() {
        for (text, good) in [
            ("x\naccuracy: 98.61 %\ny", true),
            ("accuracy: 97.00 %", true),
            ("accuracy: 96.99 %", false),
            ("accuracy: 100.01 %", false),
            ("accuracy: NaN %", false),
            ("accuracy: 98.61", false),
            ("nothing", false),
        ] {
            assert_eq!(quickstart(text).is_ok(), good, "{text}");
        }
    }

    fn report(change: &dyn Fn(&str, &str) -> String) -> String {
        let figures = |case| FIGURES.concat().iter().map(|figure| change(case, figure)).collect::<Vec<_>>().join(",");
        let cases: Vec<_> = CASES.iter().map(|case| format!(r#"{{"name":"{case}",{}}}"#, figures(case))).collect();
        format!(r#"{{"cases":[{}]}}"#, cases.join(","))
    }

    #[test]
    fn a_report_with_every_case_and_figure_is_accepted() {
        let zero = FIGURES[1];
        let text = report(&|_, figure| format!("\"{figure}\":{}", if zero.contains(&figure) { "0" } else { "1.5e3" }));
        assert_eq!(overhead(&text), Ok(String::new()));
    }

    #[test]
    fn a_report_that_lacks_a_case_or_figure_is_refused() {
        let good = |figure: &str| format!("\"{figure}\":1");
        let without = report(&|_, figure| good(figure)).replace("sync/1", "sink/1");
        assert!(overhead(&without).unwrap_err().contains("`sync/1`"));
        let zero = |case: &str, figure: &str| {
            if (case, figure) == ("async/64", "p99_ns") { "\"p99_ns\":0".to_owned() } else { good(figure) }
        };
        assert!(overhead(&report(&zero)).unwrap_err().contains("`async/64`: `p99_ns`"));
        let null = |_: &str, figure: &str| format!("\"{figure}\":null");
        assert!(overhead(&report(&null)).is_err());
        assert!(overhead("{}").is_err() && overhead("garbage").is_err());
    }
}
