//! The gate of a link: whether its bytes go through, are held, or are lost with the stream.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Context;

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

/// Whether a process is paused.
#[derive(Debug, Default)]
pub(crate) struct Pause(AtomicBool);

impl Pause {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn set(&self, paused: bool) {
        self.0.store(paused, Ordering::SeqCst);
    }
}

/// What one region process and one cluster share: all streams that were ever opened between them.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Of the region process and the cluster, in this order.
    pauses: [Arc<Pause>; 2],
    frozen: AtomicBool,
    cut: AtomicBool,
    wires: Mutex<Vec<Weak<Wire>>>,
    /// Ends of broken streams that their process has not dropped yet.
    broken_ends: AtomicUsize,
    changed: watch::Sender<u64>,
}

impl Gate {
    pub(super) fn new(pauses: [Arc<Pause>; 2], changed: watch::Sender<u64>) -> Self {
        let (frozen, cut, wires) = (AtomicBool::default(), AtomicBool::default(), Mutex::default());
        Self { pauses, frozen, cut, wires, broken_ends: AtomicUsize::new(0), changed }
    }

    /// Breaks every stream, and lets no new one through.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.wires().iter().filter_map(Weak::upgrade).for_each(|wire| wire.break_off());
        self.stir();
    }

    /// Holds every byte from now on.
    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::SeqCst);
        self.stir();
    }

    /// Lets new streams through, and every byte that was held. What was cut stays broken.
    pub(crate) fn heal(&self) {
        self.cut.store(false, Ordering::SeqCst);
        self.frozen.store(false, Ordering::SeqCst);
        self.stir();
    }

    /// Whether both processes have let go of every stream that was cut.
    pub(crate) fn is_clean(&self) -> bool {
        self.broken_ends.load(Ordering::SeqCst) == 0
    }

    /// Whether an attempt to connect gets as far as an answer.
    pub(super) fn lets_dial(&self) -> bool {
        let [_, cluster] = &self.pauses;
        !self.frozen.load(Ordering::SeqCst) && !cluster.is_set()
    }

    /// A wire for a new stream, or `None` while the link is cut.
    pub(super) fn add_wire(self: &Arc<Self>) -> Option<Arc<Wire>> {
        let mut wires = self.wires();
        if self.cut.load(Ordering::SeqCst) {
            return None;
        }
        let wire = Arc::new(Wire {
            gate: Arc::clone(self),
            life: Mutex::default(),
            wakers: Default::default(),
        });
        wires.retain(|wire| wire.strong_count() > 0);
        wires.push(Arc::downgrade(&wire));
        Some(wire)
    }

    /// Has both ends of every stream, and those who wait for a change, look again.
    pub(super) fn stir(&self) {
        self.wires().iter().filter_map(Weak::upgrade).for_each(|wire| wire.stir());
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn is_held(&self) -> bool {
        self.frozen.load(Ordering::SeqCst) || self.pauses.iter().any(|pause| pause.is_set())
    }

    fn wires(&self) -> MutexGuard<'_, Vec<Weak<Wire>>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Wire {
    gate: Arc<Gate>,
    life: Mutex<Life>,
    wakers: [EndWakers; 2],
}

#[derive(Debug, Default)]
struct Life {
    broken: bool,
    /// How many ends a process holds.
    ends: usize,
}

/// Who reads and who writes at one end.
#[derive(Debug, Default)]
pub(super) struct EndWakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The cluster's, which opened the stream.
    Near,
    /// The region process's.
    Far,
}

/// What an end may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    Held,
    Broken,
}

impl Wire {
    /// Notes who reads, and says whether there is anything to read.
    pub(super) fn read_passage(&self, side: Side, cx: &Context<'_>) -> Passage {
        self.wakers_of(side).reader.register(cx.waker());
        self.passage()
    }

    /// Notes who writes, and says what becomes of what is written.
    pub(super) fn write_passage(&self, side: Side, cx: &Context<'_>) -> Passage {
        self.wakers_of(side).writer.register(cx.waker());
        self.passage()
    }

    /// A process holds an end from now on.
    pub(super) fn taken(&self) {
        let mut life = self.life();
        life.ends += 1;
        if life.broken {
            self.gate.broken_ends.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A process let go of its end.
    pub(super) fn dropped(&self) {
        let mut life = self.life();
        life.ends -= 1;
        if life.broken {
            self.gate.broken_ends.fetch_sub(1, Ordering::SeqCst);
        }
        drop(life);
        self.gate.changed.send_modify(|changes| *changes += 1);
    }

    fn break_off(&self) {
        let mut life = self.life();
        if !life.broken {
            life.broken = true;
            self.gate.broken_ends.fetch_add(life.ends, Ordering::SeqCst);
        }
    }

    fn passage(&self) -> Passage {
        if self.life().broken {
            Passage::Broken
        } else if self.gate.is_held() {
            Passage::Held
        } else {
            Passage::Open
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stir(&self) {
        for EndWakers { reader, writer } in &self.wakers {
            reader.wake();
            writer.wake();
        }
    }

    fn wakers_of(&self, side: Side) -> &EndWakers {
        let [near, far] = &self.wakers;
        match side {
            Side::Near => near,
            Side::Far => far,
        }
    }
}
