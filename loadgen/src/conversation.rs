//! How a device takes turns with its gateway: pure, facts and time in, acts out.
//!
//! ```text
//!          listen over            speech begins           speech over
//! Listening ─────────▶ Waiting ─────────────▶ Hearing ─────────────────▶ Resting ─┐
//!     ▲                   │ answer timeout       │ answer timeout          ▲      │ pause over:
//!     │                   └──────────────────────┴─────────────────────────┘      │ the turn is
//!     └───────────────────────────────────────────────────────────────────────────┘ concluded
//! ```
//! A turn is judged at the end of its rest, so that audio which goes on after the end is seen. What
//! is random is drawn at the beginning of each turn, always the same number of draws, so that turn n
//! is the same whatever the gateway did before.

use std::time::Duration;

use protocol::Moment;
use protocol::control::TtsState;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::scenario::Turns;

/// One device's conversation.
#[derive(Debug)]
pub struct Conversation {
    turns: Turns,
    frame: Duration,
    rng: StdRng,
    /// What the current turn will be like.
    plan: TurnPlan,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct TurnPlan {
    listen: Duration,
    pause: Duration,
    barge_in_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Listening,
    /// From the end of listening on; `began` when the speech did.
    Answering {
        stop: Stop,
        began: Option<Moment>,
        aborted: Option<Moment>,
    },
    /// The turn before, if there was one, is over.
    Resting {
        until: Moment,
        over: Option<Over>,
    },
}

/// The end of listening.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stop {
    planned: Moment,
    said: Moment,
}

/// A turn of which only the rest is left.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Over {
    stop: Stop,
    aborted: Option<Moment>,
}

/// What the device does.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Says `listen start` and sends so many frames.
    Listen {
        /// At least one.
        frames: u64,
    },
    /// Says `listen stop`.
    Stop,
    /// Says `abort`.
    Abort,
    /// A turn is over.
    Conclude(Turn),
}

/// When speech arrived in the current turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The first packet; `None` when there was none.
    pub first: Option<Moment>,
    /// The last packet of the call so far.
    pub last: Moment,
}

/// A turn that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The planned end of listening: the planned instant of its last frame.
    pub planned: Moment,
    /// How much later the device said so.
    pub lag: Duration,
    /// From the planned end to the first packet of speech; `None`: no speech came.
    pub latency: Option<Duration>,
    /// From the interruption to the last packet of speech; `None`: there was none.
    pub barge_in: Option<Duration>,
}

impl Conversation {
    /// A conversation whose first turn begins at `now`, in frames of `frame`.
    pub fn new(turns: Turns, frame: Duration, rng: StdRng, now: Moment) -> Self {
        let nothing = Duration::ZERO;
        let plan = TurnPlan { listen: nothing, pause: nothing, barge_in_after: None };
        Self { turns, frame, rng, plan, state: State::Resting { until: now, over: None } }
    }

    /// When [`tick`](Self::tick) may have something to do.
    pub fn next_deadline(&self, heard: Heard) -> Option<Moment> {
        match self.state {
            State::Listening => None,
            State::Resting { until, .. } => Some(until),
            State::Answering { stop, began, aborted } => {
                let give_up = self.give_up(stop, heard);
                Some(self.abort_due(began, aborted).map_or(give_up, |abort| abort.min(give_up)))
            }
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Moment, heard: Heard, acts: &mut Vec<Act>) {
        match self.state {
            State::Resting { until, over } if now >= until => {
                acts.extend(over.map(|over| Act::Conclude(over.turn(heard))));
                self.plan = self.draw();
                self.state = State::Listening;
                let frames = self.plan.listen.as_nanos().div_ceil(self.frame.as_nanos()).max(1);
                acts.push(Act::Listen { frames: u64::try_from(frames).unwrap_or(u64::MAX) });
            }
            State::Answering { stop, began, aborted } => {
                if now >= self.give_up(stop, heard) {
                    self.rest(now, Over { stop, aborted });
                } else if self.abort_due(began, aborted).is_some_and(|due| now >= due) {
                    self.state = State::Answering { stop, began, aborted: Some(now) };
                    acts.push(Act::Abort);
                }
            }
            State::Listening | State::Resting { .. } => {}
        }
    }

    /// The last frame of the turn, which was planned for then, has been sent.
    pub fn listened(&mut self, planned: Moment, now: Moment, acts: &mut Vec<Act>) {
        if self.state == State::Listening {
            let stop = Stop { planned, said: now };
            self.state = State::Answering { stop, began: None, aborted: None };
            acts.push(Act::Stop);
        }
    }

    /// The gateway says this of its speech.
    pub fn speech(&mut self, said: TtsState, now: Moment) {
        // Of a turn that was given up, where it is not one that is waited for.
        let State::Answering { stop, began, aborted } = self.state else { return };
        match said {
            TtsState::Start | TtsState::SentenceStart => {
                let began = Some(began.unwrap_or(now));
                self.state = State::Answering { stop, began, aborted };
            }
            TtsState::Stop => self.rest(now, Over { stop, aborted }),
        }
    }

    /// The call ends; a turn whose speech was over is one that was taken.
    pub fn finish(self, heard: Heard) -> Option<Turn> {
        match self.state {
            State::Resting { over, .. } => over.map(|over| over.turn(heard)),
            State::Listening | State::Answering { .. } => None,
        }
    }

    fn rest(&mut self, now: Moment, over: Over) {
        self.state = State::Resting { until: now + self.plan.pause, over: Some(over) };
    }

    /// Until then speech must begin, or go on.
    fn give_up(&self, stop: Stop, heard: Heard) -> Moment {
        let since = if heard.first.is_some() { heard.last.max(stop.said) } else { stop.said };
        since + self.turns.answer_timeout
    }

    fn abort_due(&self, began: Option<Moment>, aborted: Option<Moment>) -> Option<Moment> {
        let after = self.plan.barge_in_after.filter(|_| aborted.is_none())?;
        Some(began? + after)
    }

    fn draw(&mut self) -> TurnPlan {
        let listen = self.turns.listen.sample(&mut self.rng);
        let pause = self.turns.pause.sample(&mut self.rng);
        let chance: f64 = self.rng.random();
        let after = self.turns.barge_in_after.sample(&mut self.rng);
        let barge_in_after = (chance < self.turns.barge_in).then_some(after);
        TurnPlan { listen, pause, barge_in_after }
    }
}

impl Over {
    fn turn(self, heard: Heard) -> Turn {
        let Self { stop, aborted } = self;
        Turn {
            planned: stop.planned,
            lag: stop.said.since(stop.planned),
            latency: heard.first.map(|first| first.since(stop.planned)),
            barge_in: aborted.map(|aborted| heard.last.since(aborted)),
        }
    }
}

#[cfg(test)]
mod tests;
