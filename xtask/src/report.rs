//! What the stages did: why some failed, the table, and its last line. Pure.

use crate::stages::Stage;
use std::fmt;
use std::time::Duration;

/// How a stage ended. Checks are tests where a stage has tests, else the stage itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed {
        checks: usize,
        remark: String,
    },
    /// Lines of `why` that are indented explain the one above them.
    Failed {
        passed: usize,
        failed: usize,
        why: String,
    },
}

impl From<Result<String, String>> for Outcome {
    /// The outcome of a stage that is one check: a remark, or why it failed.
    fn from(result: Result<String, String>) -> Outcome {
        match result {
            Ok(remark) => Outcome::Passed { checks: 1, remark },
            Err(why) => Outcome::Failed { passed: 0, failed: 1, why },
        }
    }
}

/// Checks that passed, and why others did not.
#[derive(Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    failures: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, name: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(why) => self.fail(1, format!("{name}: {why}")),
        }
    }

    /// Adds all tests of a command that counts them. That none passed is a failure: a filter has lost its tests.
    pub(crate) fn add_many(&mut self, name: &str, (passed, failed): (usize, usize), end: Result<(), String>) {
        self.passed += passed;
        match end {
            Ok(()) if passed > 0 => {}
            Ok(()) => self.fail(1, format!("{name}: no test ran")),
            Err(why) => self.fail(failed.max(1), format!("{name}: {why}")),
        }
    }

    fn fail(&mut self, failed: usize, why: String) {
        self.failed += failed;
        self.failures.push(why);
    }

    pub(crate) fn outcome(self, remark: String) -> Outcome {
        match self.failed {
            0 => Outcome::Passed { checks: self.passed, remark },
            failed => Outcome::Failed { passed: self.passed, failed, why: self.failures.join("\n") },
        }
    }
}

/// One row for each stage that ran.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    minutes: u64,
    took: Duration,
    outcome: Outcome,
}

impl Report {
    pub(crate) fn add(&mut self, stage: &Stage, took: Duration, outcome: Outcome) {
        self.rows.push(Row { name: stage.name, minutes: stage.minutes, took, outcome });
    }

    /// How many checks failed.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().map(Row::failed).sum()
    }

    fn passed(&self) -> usize {
        self.rows.iter().map(Row::passed).sum()
    }
}

impl Row {
    fn passed(&self) -> usize {
        match self.outcome {
            Outcome::Passed { checks, .. } => checks,
            Outcome::Failed { passed, .. } => passed,
        }
    }

    fn failed(&self) -> usize {
        match self.outcome {
            Outcome::Failed { failed, .. } => failed,
            Outcome::Passed { .. } => 0,
        }
    }

    fn over_budget(&self) -> bool {
        self.took > Duration::from_secs(60 * self.minutes)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            if let Outcome::Failed { why, .. } = &row.outcome {
                writeln!(f, "==> {} FAILED: {why}\n", row.name)?;
            }
        }
        writeln!(f, "{:<12} {:>7} {:>8}  result", "stage", "time", "budget")?;
        for row in &self.rows {
            let (time, budget) = (clock(row.took), clock(Duration::from_secs(60 * row.minutes)));
            let warning = if row.over_budget() { " (WARNING: over budget)" } else { "" };
            writeln!(f, "{:<12} {time:>7} {budget:>8}  {}{warning}", row.name, row.outcome)?;
        }
        writeln!(f, "{:<12} {:>7}", "total", clock(self.rows.iter().map(|row| row.took).sum()))?;
        writeln!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed { checks: 1, remark } if remark.is_empty() => write!(f, "passed"),
            Outcome::Passed { checks: 1, remark } => write!(f, "passed: {remark}"),
            Outcome::Passed { checks, remark } if remark.is_empty() => write!(f, "passed, {checks} tests"),
            Outcome::Passed { checks, remark } => write!(f, "passed, {checks} tests: {remark}"),
            Outcome::Failed { passed: 0, failed: 1, why } => write!(f, "FAILED: {}", in_short(why)),
            Outcome::Failed { passed, failed, why } => {
                write!(f, "FAILED, {failed} of {} tests: {}", passed + failed, in_short(why))
            }
        }
    }
}

/// The reasons without what explains them, on one line.
fn in_short(why: &str) -> String {
    why.lines().filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("; ")
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::STAGES;

    #[test]
    fn the_last_line_counts_every_check() {
        let mut report = Report::default();
        report.add(&STAGES[0], Duration::from_secs(5), Ok(String::new()).into());
        report.add(&STAGES[1], Duration::from_secs(65), Outcome::Passed { checks: 40, remark: String::new() });
        report.add(&STAGES[2], Duration::ZERO, Outcome::Failed { passed: 7, failed: 2, why: "x".into() });
        report.add(&STAGES[3], Duration::ZERO, Err("y".into()).into());
        assert_eq!(report.to_string().lines().last(), Some("48 passed, 3 failed"));
        assert_eq!(report.failed(), 3);
    }

    #[test]
    fn a_row_shows_time_budget_and_result() {
        let mut report = Report::default();
        report.add(&STAGES[0], Duration::from_secs(3605), Err("because".into()).into());
        let table = report.to_string();
        let row = table.lines().nth(3).unwrap();
        assert!(row.starts_with(STAGES[0].name) && row.contains("60:05") && row.contains("FAILED: because"), "{row}");
        assert!(row.contains("WARNING: over budget"), "{row}");
    }

    #[test]
    fn what_explains_a_failure_stands_above_the_table() {
        let mut report = Report::default();
        report.add(&STAGES[0], Duration::ZERO, Err("one\n    more\ntwo".into()).into());
        let text = report.to_string();
        let name = STAGES[0].name;
        assert!(text.starts_with(&format!("==> {name} FAILED: one\n    more\ntwo\n\nstage ")), "{text}");
        assert!(text.contains("FAILED: one; two\n"), "{text}");
    }

    #[test]
    fn a_stage_within_its_budget_is_not_warned_of() {
        let mut report = Report::default();
        report.add(&STAGES[0], Duration::from_secs(60 * STAGES[0].minutes), Ok(String::new()).into());
        assert!(!report.to_string().contains("WARNING"));
    }

    #[test]
    fn a_failure_is_counted_and_named() {
        let mut tally = Tally::default();
        tally.add("good", Ok(()));
        tally.add("bad", Err("because".into()));
        assert!(matches!(tally.outcome(String::new()),
            Outcome::Failed { passed: 1, failed: 1, why } if why == "bad: because"));
    }

    #[test]
    fn tests_that_a_command_counts_are_added_up() {
        let mut tally = Tally::default();
        tally.add_many("good", (40, 0), Ok(()));
        tally.add_many("bad", (7, 2), Err("because".into()));
        tally.add_many("ended early", (0, 0), Err("so".into()));
        tally.add_many("none", (0, 0), Ok(()));
        assert!(matches!(tally.outcome(String::new()), Outcome::Failed { passed: 47, failed: 4, why }
            if why == "bad: because\nended early: so\nnone: no test ran"));
    }
}
