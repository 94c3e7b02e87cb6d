//! Does to the gateway what the scenario's actions want, at their moments, and takes down what came
//! of it.
//!
//! What becomes of the devices is part of the schedule: it was decided before. Here faults are
//! switched and the gateway is taken down and put up again, a step at a time, so that nobody waits.

use std::collections::VecDeque;
use std::time::Duration;

use measure::record::ActionRecord;
use protocol::Moment;
use serde_json::json;

use crate::collect::millis;
use crate::gateway_process::GatewayProcess;
use crate::scenario::{Action, Faults, RestartHow, What, shown_duration};

/// How long the gateway may take to answer a command, to end, and to come up again.
const ANSWER: Duration = Duration::from_secs(2);
const STOP: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(10);
/// How often something that is under way is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Whoever does what is to be done to the gateway.
pub struct Stagehand {
    /// First ones first.
    deeds: VecDeque<Deed>,
    doing: Option<Doing>,
    records: Vec<ActionRecord>,
}

/// Something to be done.
struct Deed {
    at: Moment,
    /// The action that it belongs to.
    action: usize,
    what: DeedWhat,
}

enum DeedWhat {
    /// These faults are on from then on; the last word of the action, or the first.
    Faults {
        faults: Box<Faults>,
        last: bool,
    },
    Restart {
        how: RestartHow,
        down: Duration,
    },
}

/// Something that is being done.
enum Doing {
    Switching { action: usize, last: bool, until: Moment },
    Stopping { action: usize, up_at: Moment, until: Moment },
    Down { action: usize, up_at: Moment },
    Starting { action: usize, until: Moment },
}

/// What a step came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that others should know.
    Done,
    /// The gateway is up again, as another process.
    UpAgain,
    /// The gateway did not come up again; carries why.
    NotUp(String),
}

impl Stagehand {
    /// What is to be done in a run of `actions` against a gateway that was started with `base`.
    pub fn new(actions: &[Action], base: &Faults) -> Self {
        let mut deeds: Vec<Deed> = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            let at = Moment::START + action.at;
            let deed = |at, what| Deed { at, action: index, what };
            match &action.what {
                What::DropDevices { .. } | What::ChangeNetwork { .. } => {}
                What::SetFaults { lasting, .. } => {
                    let faults = |at| Box::new(in_force(actions, base, at));
                    let first =
                        DeedWhat::Faults { faults: faults(action.at), last: lasting.is_none() };
                    deeds.push(deed(at, first));
                    if let Some(lasting) = lasting {
                        let end = action.at + *lasting;
                        let what = DeedWhat::Faults { faults: faults(end), last: true };
                        deeds.push(deed(Moment::START + end, what));
                    }
                }
                What::RestartGateway { how, down, .. } => {
                    deeds.push(deed(at, DeedWhat::Restart { how: *how, down: *down }));
                }
            }
        }
        deeds.sort_by_key(|deed| deed.at);
        let records = actions.iter().map(|action| ActionRecord {
            name: action.name.clone(),
            action: action.what.to_string(),
            at_ms: millis(action.at),
            done_ms: None,
            outcome: None,
            ok: matches!(action.what, What::DropDevices { .. } | What::ChangeNetwork { .. }),
        });
        Self { deeds: deeds.into(), doing: None, records: records.collect() }
    }

    /// When [`step`](Self::step) may have something to do.
    pub fn next(&self, now: Moment) -> Option<Moment> {
        match &self.doing {
            Some(Doing::Down { up_at, .. }) => Some(*up_at),
            Some(_) => Some(now + LOOK_EVERY),
            None => self.deeds.front().map(|deed| deed.at),
        }
    }

    /// Whether the gateway is meant to be down.
    pub fn is_restarting(&self) -> bool {
        matches!(
            self.doing,
            Some(Doing::Stopping { .. } | Doing::Down { .. } | Doing::Starting { .. })
        )
    }

    /// Does what is due.
    pub fn step(&mut self, now: Moment, gateway: &mut GatewayProcess) -> Step {
        if let Some(doing) = self.doing.take() {
            return self.go_on(&doing, now, gateway);
        }
        if let Some(deed) = self.deeds.pop_front_if(|deed| deed.at <= now) {
            self.begin(deed, now, gateway);
        }
        Step::Done
    }

    /// What was done.
    pub fn finish(self) -> Vec<ActionRecord> {
        self.records
    }

    fn begin(&mut self, deed: Deed, now: Moment, gateway: &mut GatewayProcess) {
        let Deed { action, what, .. } = deed;
        match what {
            DeedWhat::Faults { faults, last } => {
                let command = json!({ "command": "faults", "faults": faults.to_json() });
                match gateway.command(&command) {
                    Ok(()) => {
                        let until = now + ANSWER;
                        self.doing = Some(Doing::Switching { action, last, until });
                    }
                    Err(error) => self.failed(action, now, format!("cannot tell it: {error}")),
                }
            }
            DeedWhat::Restart { how, down } => {
                match how {
                    RestartHow::Stop => gateway.ask_to_stop(),
                    RestartHow::Kill => gateway.kill(),
                }
                let (up_at, until) = (now + down, now + STOP);
                self.doing = Some(Doing::Stopping { action, up_at, until });
            }
        }
    }

    fn go_on(&mut self, doing: &Doing, now: Moment, gateway: &mut GatewayProcess) -> Step {
        match *doing {
            Doing::Switching { action, last, until } => match gateway.answer() {
                Some(answer) if answer["event"] == "faults" => {
                    if last {
                        self.done(action, now, "faults switched".to_owned());
                    }
                }
                Some(answer) if answer["event"] == "refused" => {
                    let why = answer["error"].as_str().unwrap_or("no reason was given");
                    self.failed(action, now, format!("the gateway refused: {why}"));
                }
                _ if now >= until => {
                    let why =
                        format!("the gateway did not answer within {}", shown_duration(ANSWER));
                    self.failed(action, now, why);
                }
                _ => self.doing = Some(Doing::Switching { action, last, until }),
            },
            Doing::Stopping { action, up_at, until } => {
                if now >= until {
                    gateway.kill();
                }
                self.doing = Some(if gateway.has_ended() {
                    Doing::Down { action, up_at }
                } else {
                    Doing::Stopping { action, up_at, until }
                });
            }
            Doing::Down { action, up_at } if now < up_at => {
                self.doing = Some(Doing::Down { action, up_at });
            }
            Doing::Down { action, .. } => match gateway.start_again() {
                Ok(()) => self.doing = Some(Doing::Starting { action, until: now + START }),
                Err(error) => return self.not_up(action, now, error.to_string()),
            },
            Doing::Starting { action, until } => match gateway.comes_up() {
                Some(true) => {
                    let down = self.records[action].at_ms;
                    let after = (millis(now.since_start()) - down) / 1e3;
                    self.done(action, now, format!("up again after {after:.2} s"));
                    return Step::UpAgain;
                }
                Some(false) => return self.not_up(action, now, gateway.last_words()),
                None if now >= until => return self.not_up(action, now, gateway.last_words()),
                None => self.doing = Some(Doing::Starting { action, until }),
            },
        }
        Step::Done
    }

    fn done(&mut self, action: usize, now: Moment, outcome: String) {
        let record = &mut self.records[action];
        // What failed before stays so.
        if record.outcome.is_none() {
            (record.done_ms, record.ok) = (Some(millis(now.since_start())), true);
            record.outcome = Some(outcome);
        }
    }

    fn failed(&mut self, action: usize, now: Moment, outcome: String) {
        let record = &mut self.records[action];
        (record.done_ms, record.ok) = (Some(millis(now.since_start())), false);
        record.outcome = Some(outcome);
    }

    fn not_up(&mut self, action: usize, now: Moment, why: String) -> Step {
        self.failed(action, now, "the gateway did not come up again".to_owned());
        Step::NotUp(why)
    }
}

/// The faults that are on at `at`, at whose moment actions have begun or ended: those that the
/// gateway was started with, and over them those of each action under way, the later over the earlier.
fn in_force(actions: &[Action], base: &Faults, at: Duration) -> Faults {
    actions.iter().fold(base.clone(), |on, action| match &action.what {
        What::SetFaults { faults, lasting } => {
            let under_way =
                action.at <= at && lasting.is_none_or(|lasting| at < action.at + lasting);
            if under_way { on.with(faults) } else { on }
        }
        _ => on,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(toml: &str) -> Faults {
        toml::from_str(toml).unwrap()
    }

    fn set(at: u64, toml: &str, lasting: Option<u64>) -> Action {
        let what = What::SetFaults {
            faults: Box::new(faults(toml)),
            lasting: lasting.map(Duration::from_secs),
        };
        Action { at: Duration::from_secs(at), name: None, what }
    }

    #[test]
    fn faults_lie_over_each_other_and_come_off_again() {
        let actions = [
            set(1, "dropped_replies = \"5%\"", Some(10)),
            set(3, "dropped_replies = \"50%\"\nworker_crash = \"1%\"", Some(2)),
            set(20, "hello_limit = 3", None),
        ];
        let base = faults("leak_per_frame = \"1KiB\"");
        let at = |second| in_force(&actions, &base, Duration::from_secs(second)).to_string();
        for (second, expected) in [
            (0, "leak_per_frame 1KiB"),
            (1, "dropped_replies 5%, leak_per_frame 1KiB"),
            (3, "dropped_replies 50%, leak_per_frame 1KiB, worker_crash 1%"),
            (5, "dropped_replies 5%, leak_per_frame 1KiB"),
            (11, "leak_per_frame 1KiB"),
            (99, "hello_limit 3, leak_per_frame 1KiB"),
        ] {
            assert_eq!(at(second), expected, "{second} s");
        }
        let hand = Stagehand::new(&actions, &base);
        let moments: Vec<_> =
            hand.deeds.iter().map(|deed| deed.at.since_start().as_secs()).collect();
        assert_eq!(moments, [1, 3, 5, 11, 20]);
        assert_eq!(hand.next(Moment::START), Some(Moment::from_millis(1000)));
        let lasts =
            hand.deeds.iter().map(|deed| matches!(deed.what, DeedWhat::Faults { last: true, .. }));
        assert_eq!(lasts.collect::<Vec<_>>(), [false, false, true, true, true]);
    }
}
