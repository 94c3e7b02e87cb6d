//! Conversations step by step; every time is in milliseconds.

use rand::SeedableRng;

use super::*;
use crate::scenario::TimeDistribution;

enum Step {
    Tick,
    Listened,
    Says(TtsState),
    /// A packet of speech arrives.
    Hears,
}
use Step::{Hears, Listened, Says, Tick};
use TtsState::{SentenceStart, Start, Stop as End};

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Listens for 120 ms in frames of 60, rests for 100, waits for 1000, and interrupts all speech
/// after 300, or none.
fn turns(interrupts: bool) -> Turns {
    let constant = |millis| TimeDistribution::constant(ms(millis));
    Turns {
        listen: constant(120),
        pause: constant(100),
        answer_timeout: ms(1000),
        barge_in: if interrupts { 1.0 } else { 0.0 },
        barge_in_after: constant(300),
    }
}

fn conversation(interrupts: bool) -> Conversation {
    Conversation::new(turns(interrupts), ms(60), StdRng::seed_from_u64(1), at(0))
}

/// What is done at each step, and what is known of the last turn at the end.
fn after(interrupts: bool, steps: &[(u64, Step)]) -> (Vec<(u64, Act)>, Option<Turn>) {
    let (mut conversation, mut heard) = (conversation(interrupts), Heard::default());
    let mut all = Vec::new();
    for (millis, step) in steps {
        let mut acts = Vec::new();
        let now = at(*millis);
        match step {
            Tick => conversation.tick(now, heard, &mut acts),
            // Said 3 ms after it was planned.
            Listened => conversation.listened(at(millis - 3), now, &mut acts),
            Says(state) => conversation.speech(*state, now),
            Hears => heard = Heard { first: heard.first.or(Some(now)), last: now },
        }
        if acts.iter().any(|act| matches!(act, Act::Listen { .. })) {
            heard.first = None;
        }
        all.extend(acts.into_iter().map(|act| (*millis, act)));
    }
    (all, conversation.finish(heard))
}

fn turn(planned: u64, latency: Option<u64>, barge_in: Option<u64>) -> Turn {
    let (latency, barge_in) = (latency.map(ms), barge_in.map(ms));
    Turn { planned: at(planned), lag: ms(3), latency, barge_in }
}

const LISTEN: Act = Act::Listen { frames: 2 };

#[test]
fn a_turn_is_listening_speech_and_rest_and_the_next_one_follows() {
    let (acts, last) = after(
        false,
        &[
            (0, Tick),
            (123, Listened),
            (400, Says(Start)),
            (400, Says(SentenceStart)),
            (420, Hears),
            (480, Hears),
            (900, Tick), // nothing is due
            (901, Says(End)),
            (1000, Tick), // still resting
            (1001, Tick),
            (1200, Listened),
        ],
    );
    let first = Act::Conclude(turn(120, Some(300), None));
    let expected =
        [(0, LISTEN), (123, Act::Stop), (1001, first), (1001, LISTEN), (1200, Act::Stop)];
    assert_eq!(acts, expected);
    assert_eq!(last, None, "the second turn was not over");
}

#[test]
fn speech_is_interrupted_once_and_what_comes_after_is_seen() {
    let to_the_abort = || {
        vec![
            (0, Tick),
            (123, Listened),
            (400, Says(Start)),
            (410, Hears),
            (699, Tick),
            (700, Tick),
            (705, Tick),
        ]
    };
    for (comes_at, barge_in) in [(None, 0), (Some(725), 25), (Some(780), 80)] {
        let mut steps = to_the_abort();
        steps.push((720, Says(End)));
        steps.extend(comes_at.map(|millis| (millis, Hears)));
        let (acts, last) = after(true, &steps);
        assert_eq!(acts, [(0, LISTEN), (123, Act::Stop), (700, Act::Abort)]);
        assert_eq!(last, Some(turn(120, Some(290), Some(barge_in))), "{comes_at:?}");
    }
}

#[test]
fn speech_that_is_over_is_not_interrupted() {
    let (acts, last) = after(
        true,
        &[
            (0, Tick),
            (123, Listened),
            (400, Says(Start)),
            (410, Hears),
            (690, Says(End)),
            (700, Tick),
        ],
    );
    assert_eq!(acts.len(), 2);
    assert_eq!(last, Some(turn(120, Some(290), None)));
}

#[test]
fn silence_is_given_up_and_the_next_turn_follows() {
    let (acts, _) = after(
        false,
        &[(0, Tick), (123, Listened), (1122, Tick), (1123, Tick), (1222, Tick), (1223, Tick)],
    );
    let unanswered = Act::Conclude(turn(120, None, None));
    assert_eq!(acts[2..], [(1223, unanswered), (1223, LISTEN)]);
}

#[test]
fn speech_without_an_end_is_given_up_after_its_last_packet() {
    let (acts, _) = after(
        false,
        &[
            (0, Tick),
            (123, Listened),
            (400, Says(Start)),
            (900, Hears),
            (1800, Tick),
            (1900, Tick),
            (2000, Tick),
        ],
    );
    assert_eq!(acts[2], (2000, Act::Conclude(turn(120, Some(780), None))));
}

#[test]
fn what_is_said_of_a_speech_that_nobody_waits_for_changes_nothing() {
    let (acts, last) = after(false, &[(0, Says(End)), (0, Tick), (50, Says(End)), (123, Listened)]);
    assert_eq!(acts, [(0, LISTEN), (123, Act::Stop)]);
    assert_eq!(last, None);
}

#[test]
fn deadlines_are_where_something_is_to_be_done() {
    let mut conversation = conversation(true);
    let mut acts = Vec::new();
    let silent = Heard::default();
    assert_eq!(conversation.next_deadline(silent), Some(at(0)));
    conversation.tick(at(0), silent, &mut acts);
    assert_eq!(conversation.next_deadline(silent), None, "the pacer tells");
    conversation.listened(at(120), at(123), &mut acts);
    assert_eq!(conversation.next_deadline(silent), Some(at(1123)));
    conversation.speech(Start, at(400));
    assert_eq!(conversation.next_deadline(silent), Some(at(700)), "the interruption");
    conversation.tick(at(700), silent, &mut acts);
    let heard = Heard { first: Some(at(410)), last: at(650) };
    assert_eq!(conversation.next_deadline(heard), Some(at(1650)));
    conversation.speech(End, at(720));
    assert_eq!(conversation.next_deadline(heard), Some(at(820)));
}

#[test]
fn turns_are_drawn_by_the_seed_alone() {
    let random = |seed, answered: bool| {
        let turns = Turns { listen: "100ms..5s".parse().unwrap(), ..turns(false) };
        let rng = StdRng::seed_from_u64(seed);
        let mut conversation = Conversation::new(turns, ms(60), rng, at(0));
        let mut frames = Vec::new();
        let mut now = at(0);
        for _ in 0..20 {
            let mut acts = Vec::new();
            conversation.tick(now, Heard::default(), &mut acts);
            conversation.listened(now, now, &mut acts);
            if answered {
                conversation.speech(End, now);
            } else {
                now += ms(1000);
                conversation.tick(now, Heard::default(), &mut acts);
            }
            now += ms(100);
            frames.extend(acts.into_iter().filter_map(|act| match act {
                Act::Listen { frames } => Some(frames),
                _ => None,
            }));
        }
        frames
    };
    let frames = random(1, true);
    assert_eq!(frames.len(), 20);
    assert!(frames.iter().all(|frames| (2..=84).contains(frames)), "{frames:?}");
    assert_eq!(frames, random(1, false), "whatever the gateway did");
    assert_ne!(frames, random(2, true));
}
