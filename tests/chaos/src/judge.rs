//! Whether what the callers were told is what was done.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::ledger::{End, Entry};
use crate::row::Figures;

/// By how much a call may miss its time.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How many examples of what is wrong are told.
const TOLD_MAX: usize = 10;

/// The books of a run, laid together.
#[derive(Debug, Default)]
pub(crate) struct Books {
    calls: HashMap<u64, Call>,
    wrong: Vec<String>,
    wrongs: u64,
    latest: Duration,
}

#[derive(Debug, Default)]
struct Call {
    kind: String,
    begun: u32,
    /// The caller's process was still there at the end of the run, so it has to have been told.
    is_survivors: bool,
    done: u32,
    ends: Vec<(End, String)>,
}

/// What came of the calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Calls that were begun.
    pub(crate) calls: u64,
    /// How many ended in which way; those of killed callers have no end.
    pub(crate) ends: BTreeMap<End, u64>,
    /// Calls whose caller was killed before it was told.
    pub(crate) orphans: u64,
    /// Calls of living callers that did not end.
    pub(crate) unresolved: u64,
    /// Calls that were carried out, or that ended, more than once.
    pub(crate) double: u64,
    /// Calls with an answer that belongs to another, or to nothing that was carried out.
    pub(crate) mismatched: u64,
    /// Calls that were carried out although their callers were told that they were not.
    pub(crate) untrue: u64,
    /// Calls that ended too late.
    pub(crate) late: u64,
    /// By how much the slowest missed its time.
    pub(crate) latest: Duration,
    /// Examples of all of these.
    pub(crate) examples: Vec<String>,
}

impl Books {
    /// Reads the book of one life. `survived` says that the process was told to rest, and did, so
    /// that none of its calls may be open.
    ///
    /// # Errors
    /// The file cannot be read, or has a line that no process writes.
    pub(crate) fn read(&mut self, path: &Path, survived: bool) -> anyhow::Result<()> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        for line in text.lines() {
            let entry = Entry::from_line(line).with_context(|| format!("what is `{line}`?"))?;
            self.enter(entry, survived);
        }
        Ok(())
    }

    fn enter(&mut self, entry: Entry, survived: bool) {
        match entry {
            Entry::Begun { id, kind } => {
                let call = self.calls.entry(id).or_default();
                call.begun += 1;
                call.kind = kind;
                call.is_survivors = survived;
            }
            Entry::Ended { id, end, late, why } => {
                self.latest = self.latest.max(late);
                if late > LATE_MAX {
                    self.wrongs += 1;
                    self.wrong.push(format!("call {id} ended {late:?} too late: {why}"));
                }
                self.calls.entry(id).or_default().ends.push((end, why));
            }
            Entry::Done { id } => self.calls.entry(id).or_default().done += 1,
            Entry::Wrong { id, why } => {
                self.calls.entry(id).or_default().ends.push((End::Mismatched, why));
            }
        }
    }

    /// Judges.
    pub(crate) fn judge(self) -> Verdict {
        let mut verdict = Verdict {
            calls: u64::try_from(self.calls.len()).unwrap_or(u64::MAX),
            late: self.wrongs,
            latest: self.latest,
            examples: self.wrong,
            ..Verdict::default()
        };
        for (id, call) in &self.calls {
            if let Some(wrong) = verdict.weigh(call) {
                verdict.examples.push(format!("call {id} {wrong}: {call:?}"));
            }
        }
        verdict.examples.truncate(TOLD_MAX);
        verdict
    }
}

impl Verdict {
    fn weigh(&mut self, call: &Call) -> Option<&'static str> {
        if call.begun != 1 {
            self.mismatched += 1;
            return Some("was not begun once");
        }
        if call.ends.iter().any(|(end, _)| *end == End::Mismatched) {
            self.mismatched += 1;
            return Some("has what belongs to another");
        }
        if call.done > 1 || call.ends.len() > 1 {
            self.double += 1;
            return Some("was carried out or ended twice");
        }
        let Some((end, _)) = call.ends.first() else {
            if call.is_survivors {
                self.unresolved += 1;
                return Some("did not end");
            }
            self.orphans += 1;
            return None;
        };
        *self.ends.entry(*end).or_default() += 1;
        match end {
            End::Answered if call.done != 1 => {
                self.mismatched += 1;
                Some("was answered and not carried out")
            }
            End::NotDone | End::Nobody if call.done != 0 => {
                self.untrue += 1;
                Some("was carried out, and its caller told that it was not")
            }
            End::Answered | End::NotDone | End::Nobody | End::Maybe | End::Mismatched => None,
        }
    }

    /// How many calls ended so.
    pub(crate) fn ended(&self, end: End) -> u64 {
        self.ends.get(&end).copied().unwrap_or_default()
    }

    /// Puts it into a row's figures.
    pub(crate) fn tell(&self, figures: &mut Figures) {
        let Self { calls, unresolved, double, mismatched, untrue, late, orphans, .. } = self;
        let answered = self.ended(End::Answered);
        figures.check(answered > 0, format!("{calls} calls, {answered} answered"));
        figures.say(format!(
            "{} not carried out, {} in doubt, {} found nobody, {orphans} of killed callers",
            self.ended(End::NotDone),
            self.ended(End::Maybe),
            self.ended(End::Nobody)
        ));
        let counted = [
            (*unresolved, "unresolved"),
            (*double, "double"),
            (*mismatched, "mismatched"),
            (*untrue, "untrue"),
            (*late, "late"),
        ];
        for (count, what) in counted {
            figures.check(count == 0, format!("{count} {what}"));
        }
        figures.missed.extend(self.examples.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(id: u64) -> Entry {
        Entry::Begun { id, kind: "plain".to_owned() }
    }

    fn ended(id: u64, end: End) -> Entry {
        Entry::Ended { id, end, late: Duration::ZERO, why: String::new() }
    }

    fn judge(entries: Vec<Entry>, survived: bool) -> Verdict {
        let mut books = Books::default();
        for entry in entries {
            books.enter(entry, survived);
        }
        books.judge()
    }

    fn is_clean(verdict: &Verdict) -> bool {
        let Verdict { unresolved, double, mismatched, untrue, late, .. } = verdict;
        unresolved + double + mismatched + untrue + late == 0
    }

    /// What is counted when something is wrong.
    type Count = fn(&Verdict) -> u64;

    #[test]
    fn calls_whose_callers_were_told_the_truth_are_clean() {
        let done = |id| Entry::Done { id };
        let verdict = judge(
            vec![
                begun(1),
                done(1),
                ended(1, End::Answered),
                begun(2),
                done(2),
                ended(2, End::Maybe),
                begun(3),
                ended(3, End::Maybe),
                begun(4),
                ended(4, End::NotDone),
            ],
            true,
        );
        assert!(is_clean(&verdict), "{verdict:?}");
        assert_eq!((verdict.calls, verdict.ended(End::Maybe)), (4, 2));
    }

    #[test]
    fn each_lie_is_found() {
        let done = |id| Entry::Done { id };
        let late = Entry::Ended {
            id: 1,
            end: End::Maybe,
            late: Duration::from_millis(1001),
            why: String::new(),
        };
        let cases: [(Vec<Entry>, Count); 7] = [
            (vec![begun(1)], |it| it.unresolved),
            (vec![begun(1), done(1), done(1), ended(1, End::Answered)], |it| it.double),
            (vec![begun(1), ended(1, End::Maybe), ended(1, End::Maybe)], |it| it.double),
            (vec![begun(1), ended(1, End::Answered)], |it| it.mismatched),
            (vec![begun(1), done(1), ended(1, End::Mismatched)], |it| it.mismatched),
            (vec![begun(1), done(1), ended(1, End::NotDone)], |it| it.untrue),
            (vec![begun(1), late], |it| it.late),
        ];
        for (entries, count) in cases {
            let verdict = judge(entries.clone(), true);
            assert!(!is_clean(&verdict), "{entries:?}");
            assert_eq!(count(&verdict), 1, "{entries:?}");
            assert_eq!(verdict.examples.len(), 1, "{entries:?}");
        }
    }

    #[test]
    fn whoever_was_killed_need_not_have_been_told() {
        let verdict = judge(vec![begun(1), Entry::Done { id: 1 }], false);
        assert!(is_clean(&verdict));
        assert_eq!(verdict.orphans, 1);
    }
}
