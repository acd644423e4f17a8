//! The log of the writes of a scenario: after which operation of the disk a write was begun, and when it was
//! acknowledged.

/// A handoff of a scenario.
pub type HandoffId = usize;

/// From the operation after which something was begun to the one after which its caller was told that it is done.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub begun: usize,
    pub answered: Option<usize>,
}

impl Span {
    /// Before anything was noted.
    pub const LONG_AGO: Span = Span {
        begun: 0,
        answered: Some(0),
    };

    fn from(now: usize) -> Span {
        Span {
            begun: now,
            answered: None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Version {
    pub body: Vec<u8>,
    pub at: Span,
}

#[derive(Clone, Debug, Default)]
pub struct Handoff {
    pub versions: Vec<Version>,
    /// When it was read to its end.
    pub read: Option<Span>,
    /// Renamed to `_done`.
    pub done: Option<Span>,
    /// Renamed from `_done` to pending again.
    pub back: Option<Span>,
    /// Renamed to what is no handoff.
    pub unmade: Option<Span>,
    pub removed: Option<Span>,
    /// When its removal was made durable.
    pub gone: Option<Span>,
    /// fsync(2) was answered when it was that long, and no close was.
    pub synced: Option<(usize, Span)>,
    /// Written in place: while that is not answered, what is under its name may be anything that begins so.
    pub in_place: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub struct WriteLog {
    pub handoffs: Vec<Handoff>,
    /// Files that are no handoffs: one of the paths has it.
    pub ordinary: Vec<(Vec<String>, Vec<u8>)>,
    /// Files that are no handoffs and may be gone.
    pub deleted: Vec<(String, Vec<u8>)>,
    /// Nothing may be there twice.
    pub once: bool,
}

impl WriteLog {
    /// A handoff of which nothing is written yet.
    pub fn handoff(&mut self) -> HandoffId {
        self.handoffs.push(Handoff::default());
        self.handoffs.len() - 1
    }

    /// A handoff that was there before.
    pub fn old(&mut self, body: &[u8]) -> HandoffId {
        let handoff = self.handoff();
        let (body, at) = (body.to_owned(), Span::LONG_AGO);
        self.handoffs[handoff].versions.push(Version { body, at });
        handoff
    }

    pub fn begin(&mut self, handoff: HandoffId, body: &[u8], now: usize) -> usize {
        let versions = &mut self.handoffs[handoff].versions;
        let (body, at) = (body.to_owned(), Span::from(now));
        versions.push(Version { body, at });
        versions.len() - 1
    }

    pub fn answered(&mut self, handoff: HandoffId, version: usize, now: usize) {
        self.handoffs[handoff].versions[version].at.answered = Some(now);
    }

    pub fn newest(&self, handoff: HandoffId) -> &[u8] {
        &self.handoffs[handoff].versions.last().unwrap().body
    }

    pub fn reading(&mut self, handoffs: &[HandoffId], now: usize) {
        for handoff in handoffs {
            self.handoffs[*handoff].read = Some(Span::from(now));
        }
    }

    pub fn read(&mut self, handoffs: &[HandoffId], now: usize) {
        for handoff in handoffs {
            let span = self.handoffs[*handoff].read.as_mut().unwrap();
            span.answered = Some(now);
        }
    }

    pub fn span(begun: usize, answered: usize) -> Option<Span> {
        let answered = Some(answered);
        Some(Span { begun, answered })
    }
}

/// The moment of a cut: after so many operations, and before or after whoever was to be answered then was.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub operations: usize,
    pub answered: bool,
}

impl Moment {
    pub fn begun(self, span: &Span) -> bool {
        span.begun <= self.operations
    }

    pub fn answered(self, span: &Span) -> bool {
        span.answered.is_some_and(|at| {
            at == 0 || at < self.operations || at == self.operations && self.answered
        })
    }
}
