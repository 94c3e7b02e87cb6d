//! One line of warning now and then for all that was refused or dropped, however much that was.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use crate::counters::{Counters, CountersSnapshot};

/// How often a line may be written; nothing is written when nothing was counted.
const PERIOD: Duration = Duration::from_secs(10);

/// Writes warnings to the log until it is dropped.
pub(crate) async fn warn_of_what_is_counted(counters: &Counters) -> Infallible {
    let mut before = counters.snapshot();
    loop {
        sleep(PERIOD).await;
        let now = counters.snapshot();
        if let Some(line) = digest(&before, &now) {
            tracing::warn!("in the last {} s: {line}", PERIOD.as_secs());
        }
        before = now;
    }
}

/// What of the unwelcome was counted between two snapshots; `None` when nothing was.
fn digest(before: &CountersSnapshot, now: &CountersSnapshot) -> Option<String> {
    let groups = [
        ("dropped", unwelcome(before.dropped.by_name(), now.dropped.by_name())),
        ("refused", unwelcome(before.refused.by_name(), now.refused.by_name())),
        ("closed", unwelcome(before.closed.by_name(), now.closed.by_name())),
        ("", unwelcome(plain(before), plain(now))),
    ];
    let parts: Vec<String> = groups
        .into_iter()
        .filter(|(_, counts)| !counts.is_empty())
        .map(|(group, counts)| format!("{group} {}", counts.join(", ")).trim().to_owned())
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Ways to end that every run has.
const WELCOME: [&str; 4] = ["disconnect", "gone", "taken_over", "shutdown"];

fn unwelcome(
    before: impl Iterator<Item = (&'static str, u64)>,
    now: impl Iterator<Item = (&'static str, u64)>,
) -> Vec<String> {
    before
        .zip(now)
        .filter(|((name, before), (_, now))| now > before && !WELCOME.contains(name))
        .map(|((name, before), (_, now))| format!("{name} {}", now - before))
        .collect()
}

fn plain(counters: &CountersSnapshot) -> impl Iterator<Item = (&'static str, u64)> {
    [
        ("kernel_drops", counters.kernel_drops),
        ("worker_panics", counters.worker_panics),
        ("hellos_refused", counters.hellos_refused),
        ("messages_malformed", counters.messages_malformed),
        ("accept_failed", counters.accept_failed),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{CloseCause, DropCause, RefuseCause};

    #[test]
    fn only_what_is_new_and_unwelcome_is_told() {
        let counters = Counters::default();
        counters.dropped.count(DropCause::UnknownSsrc);
        let before = counters.snapshot();
        assert_eq!(digest(&before, &before), None);

        counters.closed.count(CloseCause::Disconnect);
        counters.frames_in.add(1);
        assert_eq!(digest(&before, &counters.snapshot()), None);

        counters.dropped.count(DropCause::UnknownSsrc);
        counters.dropped.count(DropCause::BadHeader);
        counters.refused.count(RefuseCause::NotConnect);
        counters.kernel_drops.add(7);
        let line = digest(&before, &counters.snapshot());
        let expected =
            "dropped bad_header 1, unknown_ssrc 1; refused not_connect 1; kernel_drops 7";
        assert_eq!(line.as_deref(), Some(expected));
    }
}
