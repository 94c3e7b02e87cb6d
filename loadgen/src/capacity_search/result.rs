//! What is said of a search at the terminal.

use std::fmt::Write as _;

use reports::study::cell;

use super::{Bounds, End, Ended, Kept, Seen, TRIES, Trial};
use crate::compare::INCONCLUSIVE;

/// What was seen at one value.
pub(super) struct Level {
    /// The value.
    pub value: u32,
    /// Trials that were good.
    pub good: usize,
    /// All trials.
    pub trials: usize,
    /// On average over its trials.
    pub seen: Seen,
}

impl Level {
    fn of(kept: &Kept, value: u32) -> Self {
        let there: Vec<&Trial> = kept.at(value).collect();
        let good = there.iter().filter(|trial| trial.good).count();
        Self { value, good, trials: there.len(), seen: Seen::mean(&there) }
    }

    /// Devices a core and a GiB of the gateway.
    fn devices_per(&self) -> Option<(f64, f64)> {
        let devices = f64::from(self.value);
        Some((
            devices / (self.seen.gateway_cpu_percent? / 100.0).max(1e-9),
            devices / (self.seen.gateway_rss_mib? / 1024.0).max(1e-9),
        ))
    }
}

/// What was seen at each value that was tried, in order.
pub(super) fn levels(kept: &Kept) -> Vec<Level> {
    let mut values: Vec<u32> = kept.trials.iter().map(|trial| trial.value).collect();
    values.sort_unstable();
    values.dedup();
    values.into_iter().map(|value| Level::of(kept, value)).collect()
}

/// The most load for its latency: the value with the largest ratio of itself to the mean latency there
/// (Kleinrock's power, 1979), and whether it is the least that was tried, so that the knee may be below it.
/// `None` where the ratio still grows at the largest value, and where more of the value makes it easier.
pub(super) fn knee(kept: &Kept) -> Option<(u32, bool)> {
    let powers: Vec<(u32, f64)> = levels(kept)
        .iter()
        .filter_map(|level| {
            Some((
                level.value,
                f64::from(level.value) / level.seen.response_latency_mean_ms?.max(1e-6),
            ))
        })
        .collect();
    let (first, last) = (powers.first()?, powers.last()?);
    let knee = powers.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (knee.0 < last.0 && !kept.quantity.fewest).then_some((knee.0, knee.0 == first.0))
}

/// The knee in words.
pub(super) fn knee_told(kept: &Kept) -> Option<String> {
    let (value, is_least) = knee(kept)?;
    let less = if is_least { " or less, as less was not tried" } else { "" };
    Some(format!(
        "{}{less}: the most for its latency, beyond which waiting grows faster than load",
        kept.quantity.shown(value)
    ))
}

/// The threshold that most of the bad trials at a value failed, and whose devices.
pub(super) fn limiting(kept: &Kept, value: u32) -> Option<String> {
    let bad: Vec<&Trial> = kept.at(value).filter(|trial| !trial.good).collect();
    let failed_in =
        |name: &str| bad.iter().filter(|trial| trial.failed.iter().any(|one| one == name)).count();
    let most = bad.iter().flat_map(|trial| &trial.failed).max_by_key(|name| failed_in(name))?;
    let groups = bad.iter().filter_map(|trial| trial.worst_group.as_ref());
    let group = groups.max_by_key(|name| {
        bad.iter().filter(|trial| trial.worst_group.as_ref() == Some(name)).count()
    });
    let group = group.map_or_else(String::new, |group| format!(", worst for group {group}"));
    Some(format!("{most}, in {} of {} bad trials{group}", failed_in(most), bad.len()))
}

impl Ended {
    /// 0 with a bracket, 1 when not even the easiest is met, 4 when it is not known, 130 when somebody ended it.
    pub fn exit_code(&self) -> u8 {
        match (self.end, self.kept.bounds()) {
            (End::Interrupted, _) => 130,
            (End::Found, Bounds { met: None, .. }) => 1,
            (End::Found, Bounds { met: Some(_), missed: Some(_) }) => 0,
            _ => INCONCLUSIVE,
        }
    }

    /// What came of it, in one line.
    pub fn answer(&self) -> String {
        let kept = &self.kept;
        let Bounds { met, missed } = kept.bounds();
        let quantity = &kept.quantity;
        let what = if quantity.name == "devices" { "devices" } else { &quantity.name };
        let shown = |value: u32| format!("{value}{}", quantity.unit);
        let of = &kept.scenario;
        if quantity.fewest {
            let met = met.map_or_else(|| "no".to_owned(), shown);
            let missed = missed.map_or_else(
                || "fewer were not too few".to_owned(),
                |value| format!("{} are too few", shown(value)),
            );
            return format!("{met} {what} of {of}, {missed}");
        }
        match (met, missed) {
            (Some(met), Some(missed)) => {
                format!("{} to {} {what} of {of}", shown(met), shown(missed))
            }
            (Some(met), None) => format!("at least {} {what} of {of}", shown(met)),
            (None, Some(missed)) => format!("less than {} {what} of {of}", shown(missed)),
            (None, None) => format!("not known: {what} of {of}"),
        }
    }

    /// Why it ended otherwise than with a bracket.
    pub(super) fn caution(&self) -> Option<String> {
        match self.end {
            End::Found => None,
            End::Budget => {
                Some("its time was over: the bracket is not as narrow as was asked".to_owned())
            }
            End::Host(value) => Some(format!(
                "this host cannot bring {}: {TRIES} runs in a row were INVALID",
                self.kept.quantity.shown(value)
            )),
            End::Interrupted => Some("interrupted: the same command goes on from here".to_owned()),
        }
    }

    /// Trials that count and are doubtful all the same.
    pub(super) fn suspects(&self) -> Option<String> {
        let trials = &self.kept.trials;
        let suspect = trials.iter().filter(|trial| trial.suspect).count();
        (suspect > 0).then(|| {
            format!(
                "{suspect} of {} trials were SUSPECT: what was in doubt is in their run.json",
                trials.len()
            )
        })
    }

    /// When the machine itself was not the same in all trials, the bracket is of no machine in particular.
    pub(super) fn uneven_pace(&self) -> Option<String> {
        const MUCH: f64 = 10.0;
        let paces = || self.kept.trials.iter().filter_map(|trial| trial.seen.machine_pace_ms);
        let (least, most) = (paces().reduce(f64::min)?, paces().reduce(f64::max)?);
        let slower = (most / least - 1.0) * 100.0;
        (slower >= MUCH).then(|| {
            format!(
                "the machine itself was {slower:.0} % slower in one trial than in another: somebody else may \
                 work on its cores, and another hour may say something else"
            )
        })
    }

    /// What both bounds rest on, in a line each.
    pub(super) fn bounds_told(&self) -> Vec<(&'static str, String)> {
        let kept = &self.kept;
        let Bounds { met, missed } = kept.bounds();
        let told = |label, value: Option<u32>| {
            let value = value?;
            let (good, all) =
                (kept.at(value).filter(|trial| trial.good).count(), kept.at(value).count());
            let sure = kept
                .confidence(value)
                .map_or_else(String::new, |sure| format!(", {:.0} % sure", sure * 100.0));
            let shown = kept.quantity.shown(value);
            Some((label, format!("{shown}: {good} of {all} trials good{sure}")))
        };
        let too = if kept.quantity.fewest { "too few" } else { "too much" };
        [told("met", met), told(too, missed)].into_iter().flatten().collect()
    }

    /// Processors and memory at the value that is met.
    pub(super) fn headroom(&self) -> Vec<(&'static str, String)> {
        let kept = &self.kept;
        let Some(met) = kept.bounds().met else { return Vec::new() };
        let level = Level::of(kept, met);
        let mut out = Vec::new();
        let shown = kept.quantity.shown(met);
        if let (Some(cpu), Some(memory)) =
            (level.seen.gateway_cpu_percent, level.seen.gateway_rss_mib)
        {
            let per = match level.devices_per() {
                Some((core, gib)) if kept.quantity.name == "devices" => {
                    format!(": {core:.0} devices a core, {gib:.0} a GiB")
                }
                _ => String::new(),
            };
            out.push((
                "gateway",
                format!("{cpu:.0} % of one core and {memory:.0} MiB at {shown}{per}"),
            ));
        }
        let cores = kept.basis.host.get("cores").and_then(serde_json::Value::as_f64);
        let memory = kept.basis.host.get("memory_mib").and_then(serde_json::Value::as_f64);
        if let (Some(cores), Some(gateway), Some(generator)) =
            (cores, level.seen.gateway_cpu_percent, level.seen.generator_cpu_percent)
        {
            let busy = (gateway + generator) / cores;
            let left = match (memory, level.seen.gateway_rss_mib) {
                (Some(memory), Some(used)) => format!(
                    "; the gateway has {:.1} % of {:.1} GiB",
                    used / memory * 100.0,
                    memory / 1024.0
                ),
                _ => String::new(),
            };
            out.push((
                "host",
                format!(
                    "{busy:.0} % of {cores:.0} cores, {generator:.0} % of one for the generator{left}"
                ),
            ));
        }
        out
    }

    /// When generator and gateway together have used up the host, it is not the gateway that was measured.
    pub(super) fn shared_host(&self) -> Option<String> {
        const FULL: f64 = 80.0;
        let kept = &self.kept;
        let level = Level::of(kept, kept.bounds().missed.or(kept.bounds().met)?);
        let cores = kept.basis.host.get("cores").and_then(serde_json::Value::as_f64)?;
        let busy = (level.seen.gateway_cpu_percent? + level.seen.generator_cpu_percent?) / cores;
        (busy >= FULL).then(|| {
            format!(
                "generator and gateway share this host and used {busy:.0} % of it: the gateway may carry \
                 more on a host of its own"
            )
        })
    }

    /// As people read it, ending in a line break.
    pub fn text(&self) -> String {
        let kept = &self.kept;
        let mut out = String::new();
        // Writing to a String does not fail.
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(out, "{label:<10} {text}");
        };
        line("capacity", &self.answer());
        for caution in [self.caution(), self.shared_host(), self.uneven_pace(), self.suspects()]
            .into_iter()
            .flatten()
        {
            line("", &caution);
        }
        for (label, text) in self.bounds_told() {
            line(label, &text);
        }
        if let Some(limit) = kept.bounds().missed.and_then(|missed| limiting(kept, missed)) {
            line("limit", &limit);
        }
        for (label, text) in self.headroom() {
            line(label, &text);
        }
        if let Some(knee) = knee_told(kept) {
            line("knee", &knee);
        }
        line("trials", &format!("{} that count, {} INVALID", kept.trials.len(), kept.invalid));
        write_curve(&mut out, kept);
        out
    }
}

fn write_curve(out: &mut String, kept: &Kept) {
    let name = &kept.quantity.name;
    let width = name.len().max(7) + 1;
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "\n{name:>width$}{:>8}{:>12}{:>8}{:>14}{:>12}{:>16}",
        "good", "p99 (ms)", "loss %", "gateway CPU %", "MiB", "generator CPU %"
    );
    for level in levels(kept) {
        let seen = &level.seen;
        let _ = writeln!(
            out,
            "{:>width$}{:>8}{:>12}{:>8}{:>14}{:>12}{:>16}",
            level.value,
            format!("{}/{}", level.good, level.trials),
            cell(seen.response_latency_p99_ms, 1),
            cell(seen.effective_loss_percent, 2),
            cell(seen.gateway_cpu_percent, 0),
            cell(seen.gateway_rss_mib, 0),
            cell(seen.generator_cpu_percent, 0),
        );
    }
}
