//! Loads without chance, whose outcome can be worked out by hand.

use super::*;

const HEAVY: Duration = Duration::from_millis(20);
const LIGHT: Duration = Duration::from_millis(2);

/// Whole milliseconds from arrival to end, in order of arrival.
fn sojourns(world: World, frames: impl IntoIterator<Item = Frame>) -> Vec<u128> {
    let mut all = Vec::new();
    world.run(frames, |served| all.push((served.number, served.sojourn().as_millis())));
    all.sort_unstable();
    all.into_iter().map(|(_, sojourn)| sojourn).collect()
}

/// Two workers, a frame each 6 ms, 20 and 2 ms of work in turns: a load of 11/12.
fn alternating(dispatch: Dispatch) -> (Vec<u128>, Vec<u128>) {
    let work = |number: usize| if number.is_multiple_of(2) { HEAVY } else { LIGHT };
    let frame = |number| Frame {
        at: Moment::START + Duration::from_millis(6) * u32::try_from(number).unwrap(),
        session: number,
        work: work(number),
    };
    let world = World::new(dispatch, 2, 200).with_known_work(work);
    let all = sojourns(world, (0..200).map(frame));
    let every_second = |first| all.iter().copied().skip(first).step_by(2).collect();
    (every_second(0), every_second(1))
}

#[test]
fn alternating_work_overloads_one_worker_of_round_robin() {
    let (heavy, light) = alternating(Dispatch::RoundRobin);
    assert!(heavy.iter().copied().eq((20..).step_by(8).take(100)), "{heavy:?}");
    assert_eq!((heavy[99], light.iter().max()), (812, Some(&2)));
}

#[test]
fn alternating_work_is_steady_where_the_policy_looks_at_the_workers() {
    for (dispatch, steady) in [
        (Dispatch::LeastPending, (20, 16)),
        (Dispatch::LeastWork, (20, 4)),
        (Dispatch::CentralQueue, (20, 4)),
    ] {
        let (heavy, light) = alternating(dispatch);
        assert!(heavy.iter().chain(&light).all(|sojourn| *sojourn <= 20), "{dispatch}");
        assert!(heavy[50..].iter().all(|sojourn| *sojourn == steady.0), "{dispatch}: {heavy:?}");
        assert!(light[50..].iter().all(|sojourn| *sojourn == steady.1), "{dispatch}: {light:?}");
    }
}

/// Four workers, 16 voices with a frame each 60 ms, every fourth of them heavy: a load of 0.433.
/// Longest sojourn, in ms.
fn longest(dispatch: Dispatch, seconds: usize, sessions: Sessions) -> u128 {
    let work = |voice: usize| if voice.is_multiple_of(4) { HEAVY } else { LIGHT };
    let frames = seconds * 1600 / 6;
    let sessions = match sessions {
        Sessions::Voices => 16,
        Sessions::Frames => frames,
    };
    let frame = |number: usize| Frame {
        at: Moment::from_nanos(number as u64 * 3_750_000),
        session: number % sessions,
        work: work(number),
    };
    let world = World::new(dispatch, 4, sessions).with_known_work(work);
    sojourns(world, (0..frames).map(frame)).into_iter().max().expect("there are frames")
}

/// What is dispatched when its turn comes.
#[derive(Clone, Copy)]
enum Sessions {
    /// A voice's frames, one at a time, as in our gateway.
    Voices,
    /// Every frame as it arrives, as in the production gateway.
    Frames,
}

#[test]
fn round_robin_gives_all_heavy_voices_to_one_worker() {
    assert_eq!(longest(Dispatch::RoundRobin, 6, Sessions::Frames), 2015);
    assert!(longest(Dispatch::RoundRobin, 12, Sessions::Frames) > 4000, "without end");
    for dispatch in [Dispatch::LeastPending, Dispatch::LeastWork, Dispatch::CentralQueue] {
        for sessions in [Sessions::Frames, Sessions::Voices] {
            assert_eq!(longest(dispatch, 12, sessions), 20, "{dispatch}");
        }
    }
}

/// A voice that lags is dispatched when its frame before is done, not when the frame arrives: that
/// shifts the turns, and the overload wanders on. Round robin is then bad, but does not break down.
#[test]
fn sessions_that_are_dispatched_one_frame_at_a_time_soften_round_robin() {
    for seconds in [6, 60] {
        assert_eq!(longest(Dispatch::RoundRobin, seconds, Sessions::Voices), 83);
    }
}

/// Four workers, one heavy frame and seven light ones at once.
#[test]
fn a_burst_separates_counting_frames_from_counting_work() {
    let work = |number: usize| if number == 0 { HEAVY } else { LIGHT };
    let frame = |session| Frame { at: Moment::START, session, work: work(session) };
    let by_count = [20, 2, 2, 2, 22, 4, 4, 4];
    let by_work = [20, 2, 2, 2, 4, 4, 4, 6];
    for (dispatch, expected) in [
        (Dispatch::RoundRobin, by_count),
        (Dispatch::LeastPending, by_count),
        (Dispatch::LeastWork, by_work),
        (Dispatch::CentralQueue, by_work),
    ] {
        let world = World::new(dispatch, 4, 8).with_known_work(work);
        assert_eq!(sojourns(world, (0..8).map(frame)), expected, "{dispatch}");
    }
}
