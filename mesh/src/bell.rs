//! What wakes a task, and remembers that it did.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Wake, Waker};

use crate::sync::{AtomicBool, AtomicWaker};

/// A waker that passes on to a task, which can ask whether it was this one that woke it.
pub(crate) struct Bell {
    /// Nobody has looked since.
    is_rung: AtomicBool,
    task: AtomicWaker,
}

impl Default for Bell {
    /// It begins rung: what it is for has to be looked at once.
    fn default() -> Self {
        Self { is_rung: AtomicBool::new(true), task: AtomicWaker::new() }
    }
}

impl Bell {
    /// Whether it was rung since this was last asked. From now on it wakes the task of `cx`; `task`
    /// is which one it woke so far.
    pub(crate) fn was_rung(&self, cx: &Context<'_>, task: &mut Option<Waker>) -> bool {
        let is_rung = self.is_rung.load(Ordering::Acquire);
        if is_rung || !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            // A ring takes the waker. So it is put there anew, and only then is the bell still.
            self.task.register(cx.waker());
            *task = Some(cx.waker().clone());
            return self.is_rung.swap(false, Ordering::AcqRel);
        }
        false
    }

    fn ring(&self) {
        // Not a plain store: what was done before an earlier ring has to be seen as well.
        self.is_rung.swap(true, Ordering::AcqRel);
        self.task.wake();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}
