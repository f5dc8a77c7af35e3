//! One future beside another that hardly ever has anything to say.
//!
//! The task of a connection is woken for every batch of boxes, and what may end it meanwhile, such
//! as that its process stops, comes once if at all. `select!` would look at that each time; here it
//! is looked at when it was woken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::bell::Bell;

/// What came first.
#[expect(clippy::exhaustive_enums, reason = "one of the two comes first")]
#[derive(Debug, PartialEq, Eq)]
pub enum First<W, E> {
    /// The work was done.
    Done(W),
    /// Its end came before.
    Ended(E),
}

pin_project! {
    /// Work, until it is done or its end comes. Made by [`until`].
    ///
    /// Written out, and not an `async fn`, which would have room for the work twice: that of a
    /// connection is there for as long as the connection.
    #[must_use = "nothing happens unless it is polled"]
    pub struct Until<E, W> {
        #[pin]
        end: E,
        #[pin]
        work: W,
        bell: Arc<Bell>,
        // The task that the bell wakes.
        task: Option<Waker>,
    }
}

/// Runs `work` until it is done, or until `end` comes. If both are there, `end` is.
///
/// # Cancellation
/// Dropping the future drops both.
pub fn until<E: Future, W: Future>(end: E, work: W) -> Until<E, W> {
    Until { end, work, bell: Arc::new(Bell::default()), task: None }
}

impl<E: Future, W: Future> Future for Until<E, W> {
    type Output = First<W::Output, E::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.bell.was_rung(cx, this.task) {
            let waker = Waker::from(Arc::clone(this.bell));
            if let Poll::Ready(ended) = this.end.poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(First::Ended(ended));
            }
        }
        this.work.poll(cx).map(First::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_until_its_end_comes() {
        let (begun, limit) = (Instant::now(), Duration::from_secs(3));
        assert_eq!(until(sleep(limit), std::future::pending::<()>()).await, First::Ended(()));
        assert_eq!(begun.elapsed(), limit);
        assert_eq!(until(sleep(limit), sleep(limit / 2)).await, First::Done(()));
        assert_eq!(begun.elapsed(), limit + limit / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_looked_at_when_it_was_woken_and_not_with_each_step_of_the_work() {
        let (end, ended) = oneshot::channel();
        let looks = Cell::new(0);
        let mut ended = pin!(ended);
        let end_counted = poll_fn(|cx| {
            looks.set(looks.get() + 1);
            ended.as_mut().poll(cx)
        });
        let work = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            end.send(7).unwrap();
            std::future::pending::<()>().await;
        };
        assert_eq!(until(end_counted, work).await, First::Ended(Ok(7)));
        assert_eq!(looks.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_is_heard_in_whatever_task_the_work_is_by_then() {
        let (end, ended) = oneshot::channel();
        let mut both = Box::pin(until(ended, std::future::pending::<()>()));
        assert!(timeout(Duration::from_secs(1), &mut both).await.is_err());
        let mut elsewhere = JoinSet::new();
        elsewhere.spawn(both);
        tokio::task::yield_now().await;
        end.send(7).unwrap();
        assert_eq!(elsewhere.join_next().await.unwrap().unwrap(), First::Ended(Ok(7)));
    }
}
