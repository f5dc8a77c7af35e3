//! What a responder passes on to the calls that it makes itself, without having to think of it:
//! the time that is left, and the trace.

use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU128;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use rand::RngExt as _;
use tokio::time::Instant;

thread_local! {
    /// The context of what runs on this thread just now.
    static CURRENT: Cell<CallContext> =
        const { Cell::new(CallContext { deadline: None, trace: None }) };
}

/// What is known of the call that the current task answers.
///
/// Calls made while it is in force wait no longer than what is left of its time, and belong to its
/// trace.
///
/// # Examples
/// ```
/// use mesh::{CallContext, TraceParent};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let context = CallContext::default().traced(TraceParent::generate());
/// let trace = context.run(async { CallContext::current().trace() }).await;
/// assert!(trace.is_some());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallContext {
    deadline: Option<Instant>,
    trace: Option<TraceParent>,
}

impl CallContext {
    /// The context in force; an empty one outside of any.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// The same, to end at `deadline` at the latest.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |known| known.min(deadline)));
        self
    }

    /// The same, as part of `trace`.
    #[must_use]
    pub fn traced(mut self, trace: TraceParent) -> Self {
        self.trace = Some(trace);
        self
    }

    /// The same, without a time limit: for work that others may wait for, too.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.deadline = None;
        self
    }

    /// When nobody waits any more.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// How long somebody still waits; zero if nobody does any more.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The trace that the call belongs to.
    #[must_use]
    pub fn trace(&self) -> Option<TraceParent> {
        self.trace
    }

    /// Runs `future` in this context.
    ///
    /// # Cancellation
    /// As `future`, which is dropped in no context.
    pub fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        InContext { context: self, future }
    }

    /// Runs `work` in this context. A task local of tokio's would do the same for several times as
    /// much, and every ask that is answered has one.
    #[inline]
    pub(crate) fn run_sync<T>(self, work: impl FnOnce() -> T) -> T {
        let _outer = Outer(CURRENT.replace(self));
        work()
    }
}

/// What was in force before, and is again from when this is dropped: also by a panic.
struct Outer(CallContext);

impl Drop for Outer {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

pin_project! {
    /// A future in a context. Made by [`CallContext::run`].
    struct InContext<F> {
        context: CallContext,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for InContext<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.context.run_sync(|| this.future.poll(cx))
    }
}

/// A place in a trace, as W3C's `traceparent` writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: NonZeroU128,
    span: u64,
    flags: u8,
}

/// A text that is no `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a traceparent")]
pub struct NotATraceParent;

impl TraceParent {
    /// The beginning of a new trace, to be sampled.
    #[must_use]
    pub fn generate() -> Self {
        let mut random = rand::rng();
        let trace = NonZeroU128::MIN.saturating_add(random.random_range(0..u128::MAX));
        Self { trace, span: new_span(), flags: 1 }
    }

    /// A further place in the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span: new_span(), ..self }
    }

    /// What all places of a trace share.
    #[must_use]
    pub fn trace_id(self) -> u128 {
        self.trace.get()
    }
}

fn new_span() -> u64 {
    rand::rng().random_range(1..=u64::MAX)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

impl FromStr for TraceParent {
    type Err = NotATraceParent;

    fn from_str(text: &str) -> Result<Self, NotATraceParent> {
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let part = |range: std::ops::Range<usize>| {
            let part = text.get(range)?;
            part.bytes().all(is_lower_hex).then_some(part)
        };
        let parsed = || {
            let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
            if text.len() != 55 || !dashes || part(0..2)? != "00" {
                return None;
            }
            let trace = NonZeroU128::new(u128::from_str_radix(part(3..35)?, 16).ok()?)?;
            let span = u64::from_str_radix(part(36..52)?, 16).ok()?;
            let flags = u8::from_str_radix(part(53..55)?, 16).ok()?;
            (span != 0).then_some(Self { trace, span, flags })
        };
        parsed().ok_or(NotATraceParent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), text);
        let generated = TraceParent::generate();
        assert_eq!(generated.to_string().parse(), Ok(generated));
        assert_eq!(generated.child().trace_id(), generated.trace_id());
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(NotATraceParent), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearer_deadline_counts() {
        let now = Instant::now();
        let context = CallContext::default().until(now + Duration::from_secs(5));
        let later = context.until(now + Duration::from_secs(9));
        assert_eq!(later.time_left(), Some(Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(later.time_left(), Some(Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_context_is_in_force_while_its_future_runs_and_at_no_other_time() {
        let trace = || Some(CallContext::current().trace()?.trace_id());
        let [outer, inner] = [(); 2].map(|()| TraceParent::generate());
        let within = |it: TraceParent| CallContext::default().traced(it);
        let steps = async || {
            for _ in 0..3 {
                assert_eq!(trace(), Some(inner.trace_id()));
                tokio::task::yield_now().await;
            }
        };
        let both = async {
            let steps = within(inner).run(steps());
            let between = async {
                for _ in 0..3 {
                    assert_eq!(trace(), Some(outer.trace_id()));
                    tokio::task::yield_now().await;
                }
            };
            tokio::join!(steps, between);
            assert_eq!(trace(), Some(outer.trace_id()));
        };
        within(outer).run(both).await;
        assert_eq!(trace(), None);
    }

    #[test]
    fn after_a_panic_the_context_is_the_one_before() {
        let context = CallContext::default().traced(TraceParent::generate());
        let panicked = std::panic::catch_unwind(|| context.run_sync(|| panic!("on purpose")));
        assert!(panicked.is_err());
        assert_eq!(CallContext::current(), CallContext::default());
    }
}
