//! Streams that the players' tests share.

use std::time::Duration;

/// The device's frame.
pub(super) const FRAME: Duration = Duration::from_millis(60);

/// Milliseconds.
pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// These frames, each 20 ms after it was due to be sent.
pub(super) fn steady(frames: impl IntoIterator<Item = u64>) -> Vec<(u64, Duration)> {
    frames.into_iter().map(|frame| (frame, ms(60 * frame + 20))).collect()
}

/// Frames of 60 ms with these transit times, in the order of arrival.
pub(super) fn delayed(transits_ms: impl IntoIterator<Item = u64>) -> Vec<(u64, Duration)> {
    let frames = (0..).zip(transits_ms);
    let mut arrivals: Vec<_> = frames.map(|(n, transit)| (n, ms(60 * n + transit))).collect();
    arrivals.sort_by_key(|(_, at)| *at);
    arrivals
}

/// The stream of the reference: frames 3 and 6 arrive behind their successors, at 280 and 500 ms.
pub(super) fn reference_stream() -> Vec<(u64, Duration)> {
    delayed([20, 20, 20, 100, 20, 20, 140, 20, 20, 20])
}
