//! The backend `assistant`: a half-duplex conversation, decided by facts and time alone.
//!
//! ```text
//!        listen stop            thought over             spoken
//! Heeding ─────────▶ Thinking ──────────────▶ Speaking ─────────▶ Heeding
//!    ▲                  │  listen start, abort    │
//!    └──────────────────┴─────────────────────────┘
//! ```
//! How long it thinks and speaks depends on the seed, the device and the number of the turn. Who has
//! said nothing since `listen start` is told that nothing was understood, and is not spoken to.

use std::time::Duration;

use protocol::control::{
    DeviceMessage, GatewayMessage, Listen, ListenState, Llm, Text, Tts, TtsState,
};
use protocol::{FrameDuration, Moment};
use serde::Deserialize;

use crate::share::{Purpose, draw};
use crate::time_distribution::TimeDistribution;

/// How the assistant takes its turns.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssistantSettings {
    /// From the end of listening to the beginning of speech, drawn for each turn; `300ms`.
    pub think: TimeDistribution,
    /// How long the speech is, drawn for each turn and rounded up to whole frames; `3s`.
    pub speak: TimeDistribution,
    /// Where both are drawn from; 0.
    pub seed: u64,
}

impl Default for AssistantSettings {
    fn default() -> Self {
        Self {
            think: TimeDistribution::constant(Duration::from_millis(300)),
            speak: TimeDistribution::constant(Duration::from_secs(3)),
            seed: 0,
        }
    }
}

/// One device's conversation.
#[derive(Debug)]
pub(crate) struct Assistant {
    settings: AssistantSettings,
    device: u32,
    frame: FrameDuration,
    /// Turns that were begun with `listen stop`.
    turns: u64,
    /// Frames that had been heard when listening began.
    heard_before: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Heeding,
    Thinking { until: Moment },
    Speaking { until: Moment },
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// Publish this.
    Send(GatewayMessage),
    /// Send so many frames of speech from now on, one each frame duration.
    Speak {
        /// At least one.
        frames: u64,
        /// Which place of the clip it begins with.
        turn: u64,
    },
    /// No frame of speech leaves any more.
    Silence,
    /// A turn has ended in this way.
    Ended(TurnEnd),
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// All was said.
    Spoken,
    /// The device interrupted it, or began to listen again.
    Interrupted,
    /// Nothing had been heard.
    NotUnderstood,
}

const UNDERSTOOD: &str = "Set an alarm for six tomorrow.";
const ANSWER: &str = "Your alarm is set for six tomorrow.";

impl Assistant {
    /// A conversation with `device`, which has said nothing.
    pub(crate) fn new(settings: AssistantSettings, device: u32, frame: FrameDuration) -> Self {
        Self { settings, device, frame, turns: 0, heard_before: 0, state: State::Heeding }
    }

    /// The device says something, and so many frames of it have been heard so far.
    pub(crate) fn message(
        &mut self,
        message: &DeviceMessage,
        heard: u64,
        now: Moment,
        outcomes: &mut Vec<Outcome>,
    ) {
        match message {
            DeviceMessage::Listen(Listen { state: ListenState::Start, .. }) => {
                self.interrupt(outcomes);
                self.heard_before = heard;
            }
            // One that thinks or speaks already does not begin anew.
            DeviceMessage::Listen(Listen { state: ListenState::Stop, .. })
                if self.state == State::Heeding =>
            {
                self.turns += 1;
                let think = self.settings.think.time(self.drawn(Purpose::Think));
                self.state = State::Thinking { until: now + think };
            }
            DeviceMessage::Abort(_) => self.interrupt(outcomes),
            _ => {}
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        match self.state {
            State::Heeding => None,
            State::Thinking { until } | State::Speaking { until } => Some(until),
        }
    }

    /// Time has passed, and so many frames have been heard so far.
    pub(crate) fn tick(&mut self, heard: u64, now: Moment, outcomes: &mut Vec<Outcome>) {
        match self.state {
            State::Thinking { until } if now >= until => {
                if heard > self.heard_before {
                    self.speak(now, outcomes);
                } else {
                    self.state = State::Heeding;
                    let nothing = Text { text: String::new() };
                    outcomes.push(Outcome::Send(GatewayMessage::Stt(nothing)));
                    outcomes.push(tts(TtsState::Stop, None));
                    outcomes.push(Outcome::Ended(TurnEnd::NotUnderstood));
                }
            }
            State::Speaking { until } if now >= until => {
                self.state = State::Heeding;
                outcomes.push(tts(TtsState::Stop, None));
                outcomes.push(Outcome::Ended(TurnEnd::Spoken));
            }
            _ => {}
        }
    }

    fn speak(&mut self, now: Moment, outcomes: &mut Vec<Outcome>) {
        let speak = self.settings.speak.time(self.drawn(Purpose::Speak));
        let frame = self.frame.as_duration();
        let frames = speak.as_nanos().div_ceil(frame.as_nanos()).max(1);
        let frames = u32::try_from(frames).expect("a minute has 3,000 frames");
        self.state = State::Speaking { until: now + frame * frames };
        let emotion = Llm { emotion: "happy".to_owned(), text: Some("🙂".to_owned()) };
        outcomes.extend([
            Outcome::Send(GatewayMessage::Stt(Text { text: UNDERSTOOD.to_owned() })),
            Outcome::Send(GatewayMessage::Llm(emotion)),
            tts(TtsState::Start, None),
            tts(TtsState::SentenceStart, Some(ANSWER)),
            Outcome::Speak { frames: frames.into(), turn: self.turns },
        ]);
    }

    fn interrupt(&mut self, outcomes: &mut Vec<Outcome>) {
        if std::mem::replace(&mut self.state, State::Heeding) != State::Heeding {
            outcomes.push(Outcome::Silence);
            outcomes.push(tts(TtsState::Stop, None));
            outcomes.push(Outcome::Ended(TurnEnd::Interrupted));
        }
    }

    fn drawn(&self, purpose: Purpose) -> u64 {
        draw(self.settings.seed, purpose, self.device, self.turns)
    }
}

fn tts(state: TtsState, text: Option<&str>) -> Outcome {
    Outcome::Send(GatewayMessage::Tts(Tts { state, text: text.map(str::to_owned) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::control::Abort;

    fn settings() -> AssistantSettings {
        AssistantSettings { speak: "130ms".parse().unwrap(), ..AssistantSettings::default() }
    }

    fn assistant() -> Assistant {
        Assistant::new(settings(), 1, FrameDuration::MS_60)
    }

    fn listen(state: ListenState) -> DeviceMessage {
        DeviceMessage::Listen(Listen { session_id: None, state, mode: None, text: None })
    }

    enum Step {
        Start,
        Stop,
        Interrupt,
        Tick,
    }
    use Step::*;

    /// What is said and done at each step `(ms, frames heard so far, step)`, in short.
    fn after(steps: &[(u64, u64, Step)]) -> Vec<(u64, String)> {
        let mut assistant = assistant();
        let mut all = Vec::new();
        for (millis, heard, step) in steps {
            let (now, mut outcomes) = (Moment::from_millis(*millis), Vec::new());
            let mut say = |message| assistant.message(&message, *heard, now, &mut outcomes);
            match step {
                Start => say(listen(ListenState::Start)),
                Stop => say(listen(ListenState::Stop)),
                Interrupt => say(DeviceMessage::Abort(Abort { session_id: None, reason: None })),
                Tick => assistant.tick(*heard, now, &mut outcomes),
            }
            all.extend(outcomes.into_iter().map(|outcome| (*millis, short(outcome))));
        }
        all
    }

    fn short(outcome: Outcome) -> String {
        match outcome {
            Outcome::Send(GatewayMessage::Stt(stt)) => format!("stt {}", !stt.text.is_empty()),
            Outcome::Send(GatewayMessage::Llm(_)) => "llm".to_owned(),
            Outcome::Send(GatewayMessage::Tts(tts)) => format!("tts {:?}", tts.state),
            Outcome::Send(other) => format!("{other:?}"),
            Outcome::Speak { frames, turn } => format!("speak {frames} from {turn}"),
            Outcome::Silence => "silence".to_owned(),
            Outcome::Ended(how) => format!("{how:?}"),
        }
    }

    fn said(at: u64, what: &[&str]) -> Vec<(u64, String)> {
        what.iter().map(|what| (at, (*what).to_owned())).collect()
    }

    const SPEECH: [&str; 5] =
        ["stt true", "llm", "tts Start", "tts SentenceStart", "speak 3 from 1"];
    const BROKEN_OFF: [&str; 3] = ["silence", "tts Stop", "Interrupted"];

    #[test]
    fn it_thinks_speaks_and_heeds_again() {
        let steps = [
            (0, 0, Start),
            (100, 2, Stop),
            (399, 2, Tick),
            (400, 2, Tick),
            (579, 2, Tick),
            (580, 2, Tick),
        ];
        let spoken = said(580, &["tts Stop", "Spoken"]);
        assert_eq!(after(&steps), [said(400, &SPEECH), spoken].concat());
    }

    #[test]
    fn it_is_silent_at_once_when_it_is_interrupted() {
        for interruption in [Interrupt, Start] {
            let steps = [
                (0, 0, Start),
                (100, 2, Stop),
                (400, 2, Tick),
                (450, 2, interruption),
                (600, 2, Tick),
            ];
            assert_eq!(after(&steps), [said(400, &SPEECH), said(450, &BROKEN_OFF)].concat());
        }
        let thinking = [(0, 0, Start), (100, 2, Stop), (200, 2, Interrupt), (500, 2, Tick)];
        assert_eq!(after(&thinking), said(200, &BROKEN_OFF));
        assert_eq!(after(&[(0, 0, Interrupt)]), [], "nothing is spoken");
    }

    #[test]
    fn who_says_nothing_is_not_spoken_to() {
        let steps = [(0, 5, Start), (100, 5, Stop), (400, 5, Tick), (900, 5, Tick)];
        assert_eq!(after(&steps), said(400, &["stt false", "tts Stop", "NotUnderstood"]));
        // Without `listen start` all that was ever said counts.
        assert_eq!(after(&[(100, 5, Stop), (400, 5, Tick)]), said(400, &SPEECH));
    }

    #[test]
    fn a_second_stop_changes_nothing() {
        let steps = [(0, 0, Start), (100, 2, Stop), (350, 2, Stop), (400, 2, Tick), (410, 2, Stop)];
        assert_eq!(after(&steps), said(400, &SPEECH));
    }

    #[test]
    fn turns_are_drawn_by_seed_device_and_number() {
        let lengths = |seed, device| {
            let settings = AssistantSettings {
                seed,
                think: "0s".parse().unwrap(),
                speak: "1s..9s".parse().unwrap(),
            };
            let mut assistant = Assistant::new(settings, device, FrameDuration::MS_60);
            let mut lengths = Vec::new();
            for second in 0..10 {
                let (now, mut outcomes) = (Moment::from_millis(second * 1000), Vec::new());
                assistant.message(&listen(ListenState::Start), second, now, &mut Vec::new());
                assistant.message(&listen(ListenState::Stop), second, now, &mut outcomes);
                assistant.tick(second + 1, now, &mut outcomes);
                lengths.extend(outcomes.into_iter().filter_map(|outcome| match outcome {
                    Outcome::Speak { frames, .. } => Some(frames),
                    _ => None,
                }));
            }
            lengths
        };
        let first = lengths(1, 1);
        assert_eq!((first.len(), &first), (10, &lengths(1, 1)));
        assert!(first.iter().all(|frames| (17..=150).contains(frames)), "{first:?}");
        assert_ne!(first, lengths(2, 1));
        assert_ne!(first, lengths(1, 2));
    }
}
