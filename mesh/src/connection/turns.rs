//! How many asks may be in flight on a connection, and how many are.

/// The turns of one connection: one for each ask that may be in flight.
///
/// They stand beside its exchange, behind the same lock: whoever asks has that in hand anyway.
#[derive(Debug)]
pub(crate) struct Turns {
    max: usize,
    taken: usize,
    /// How many wait in line for one.
    waiting: usize,
}

impl Turns {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, taken: 0, waiting: 0 }
    }

    /// Gives no more than `max` at once from now on. Those that are taken may stay taken.
    pub(super) fn lower_to(&mut self, max: usize) {
        self.max = self.max.min(max);
    }

    /// Whether whoever comes now has a turn. Those who wait were there before.
    #[inline]
    pub(super) fn has_one(&self) -> bool {
        self.waiting == 0 && self.taken < self.max
    }

    /// Takes the turn that there is.
    #[inline]
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// Gives a turn back. Says whether the first in line is to take it.
    #[inline]
    pub(super) fn give_back(&mut self) -> bool {
        self.taken -= 1;
        self.waiting > 0 && self.taken < self.max
    }

    pub(super) fn join_line(&mut self) {
        self.waiting += 1;
    }

    /// Says whether nobody is left in line.
    pub(super) fn leave_line(&mut self) -> bool {
        self.waiting -= 1;
        self.waiting == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all there are, and says how many.
    fn take_all(turns: &mut Turns) -> usize {
        std::iter::from_fn(|| turns.has_one().then(|| turns.take())).count()
    }

    #[test]
    fn no_more_turns_are_given_than_were_agreed_on_whoever_had_one_before() {
        for taken in 0..=4 {
            let mut turns = Turns::new(4);
            (0..taken).for_each(|_| turns.take());
            turns.lower_to(1);
            for _ in 0..taken {
                assert!(!turns.has_one(), "{taken} were taken");
                turns.give_back();
            }
            assert_eq!(take_all(&mut turns), 1, "{taken} were taken");
        }
    }

    #[test]
    fn any_number_may_be_asked_for() {
        let mut turns = Turns::new(usize::MAX);
        turns.lower_to(3);
        assert_eq!(take_all(&mut turns), 3);
        let mut turns = Turns::new(2);
        turns.lower_to(usize::MAX);
        assert_eq!(take_all(&mut turns), 2);
    }

    #[test]
    fn while_somebody_waits_a_turn_is_for_the_first_who_does() {
        let mut turns = Turns::new(1);
        turns.take();
        turns.join_line();
        turns.join_line();
        assert!(turns.give_back());
        assert!(!turns.has_one());
        assert!(!turns.leave_line() && !turns.has_one());
        assert!(turns.leave_line() && turns.has_one());
        turns.take();
        assert!(!turns.give_back());
    }

    #[test]
    fn a_turn_beyond_those_that_were_agreed_on_is_for_nobody() {
        let mut turns = Turns::new(2);
        turns.take();
        turns.take();
        turns.join_line();
        turns.lower_to(1);
        assert!(!turns.give_back());
        assert!(turns.give_back());
    }
}
