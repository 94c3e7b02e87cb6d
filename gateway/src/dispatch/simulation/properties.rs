//! What holds under every policy, whatever the load.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Frames of up to 8 sessions: gaps to the frame before and work, in ms.
fn load() -> impl Strategy<Value = Vec<Frame>> {
    let frames = proptest::collection::vec((0..15u64, 0..8usize, 0..40u64), 1..150);
    frames.prop_map(|frames| {
        let mut at = Moment::START;
        let frame = |(gap, session, work)| {
            at += Duration::from_millis(gap);
            Frame { at, session, work: Duration::from_millis(work) }
        };
        frames.into_iter().map(frame).collect()
    })
}

proptest! {
    /// Every frame is run exactly once, and those of a session in order, one at a time; by sticky,
    /// on one worker.
    #[test]
    fn every_frame_is_placed_once_and_in_order(frames in load(), workers in 1..9usize) {
        for dispatch in Dispatch::ALL {
            let mut last_of_session = HashMap::new();
            let mut seen = vec![false; frames.len()];
            let mut busy_until = vec![Moment::START; workers];
            let mut out_of_place = Vec::new();
            World::new(dispatch, workers, 8).run(frames.clone(), |served| {
                let before = last_of_session.insert(served.frame.session, served);
                let in_order = before.is_none_or(|before: Served| {
                    before.number < served.number
                        && before.ended <= served.began
                        && (dispatch != Dispatch::Sticky || before.worker == served.worker)
                });
                let worker_free = busy_until[served.worker] <= served.began;
                busy_until[served.worker] = served.ended;
                if !in_order || !worker_free || std::mem::replace(&mut seen[served.number], true) {
                    out_of_place.push(served);
                }
            });
            prop_assert!(out_of_place.is_empty(), "{}: {:?}", dispatch, out_of_place);
            prop_assert!(seen.iter().all(|seen| *seen), "{}: frames were lost", dispatch);
        }
    }
}
