//! `din plan`: from searches at several numbers of workers to how many workers so many devices need.
//!
//! The law of [`measure::scalability`] is fitted to the brackets of the searches; Little's law (in service on
//! average = frames a second × time in a worker's hands) says how busy the workers are then, and is
//! checked against how many were counted at work.

mod page;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use measure::host::{differences, words};
use measure::scalability::{FEWEST_LEVELS, Fitted, Level};
use reports::study::cell;
use serde::Serialize;

use crate::capacity_search::{Bounds, Kept};

pub use page::study;

/// The file's name in the directory of a plan.
pub const FILE: &str = "plan.json";
/// The most workers that are planned for.
const MOST_WORKERS: u32 = 1024;
/// Numbers of workers from which contention and coherence can be told apart well (Gunther).
const GOOD_LEVELS: usize = 6;
/// How far Little's law and the count may be apart.
const LITTLE_SHARE: f64 = 0.05;
/// How far a measurement and the law may be apart: as wide as the brackets of a quick search.
const LAW_SHARE: f64 = 0.05;

/// What one search says.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// The search's directory or file.
    pub search: PathBuf,
    /// Workers of the gateway.
    pub workers: u32,
    /// Devices that were met, and that were too many.
    pub devices: (u32, u32),
    /// How sure both bounds are, from 0 to 1; `None` where that cannot be said.
    pub sure: (Option<f64>, Option<f64>),
    /// Frames that a device has answered in a second, at the lower bound.
    pub frames_per_device_s: Option<f64>,
    /// For how long a worker has a frame in its hands, in ms, at the lower bound.
    pub work_ms: Option<f64>,
    /// Workers that were counted at work at the lower bound.
    pub busy: Option<f64>,
}

impl Measured {
    fn of(path: &Path, kept: &Kept) -> anyhow::Result<Self> {
        let shown = path.display();
        anyhow::ensure!(
            kept.quantity.name == "devices",
            "{shown} searched {}: a plan needs searches of devices",
            kept.quantity.name
        );
        let Bounds { met: Some(met), missed: Some(missed) } = kept.bounds() else {
            anyhow::bail!(
                "{shown} has no bracket yet: go on with it, or give it more --most or --budget"
            );
        };
        let seen = kept.mean_seen(met);
        let workers = seen.workers.with_context(|| {
            format!("{shown} does not know how many workers the gateway had: it was not ours")
        })?;
        let each = kept.at(met).all(|trial| trial.seen.workers == Some(workers));
        anyhow::ensure!(
            each && workers.fract() == 0.0,
            "{shown} had a pool that changed, {workers:.1} workers on average: fix gateway.workers"
        );
        #[expect(clippy::cast_sign_loss, reason = "a number of workers")]
        #[expect(clippy::cast_possible_truncation, reason = "a number of workers")]
        let workers = workers as u32;
        Ok(Self {
            search: path.to_owned(),
            workers,
            devices: (met, missed),
            sure: (kept.confidence(met), kept.confidence(missed)),
            frames_per_device_s: seen.frames_per_s.map(|frames| frames / f64::from(met)),
            work_ms: seen.work_mean_ms,
            busy: seen.workers_busy,
        })
    }

    /// Workers in service by Little's law, for so many devices.
    fn in_service(&self, devices: f64) -> Option<f64> {
        Some(devices * self.frames_per_device_s? * self.work_ms? / 1e3)
    }

    fn level(&self) -> Level {
        let (met, missed) = self.devices;
        Level { workers: self.workers.into(), between: (met.into(), missed.into()) }
    }
}

/// What so many devices need.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Need {
    /// Devices.
    pub devices: u32,
    /// The fewest workers that carry them by the law; `None`: no number does.
    pub workers: Option<u32>,
    /// The fewest that carry them in 97.5 of 100 draws of the measurement.
    pub safe: Option<u32>,
    /// Share of the time for which the safe number of workers has a frame in hand, by Little's law.
    pub utilisation: Option<f64>,
    /// Whether so many workers are more, or fewer, than were measured.
    pub extrapolated: bool,
}

/// A number and the interval that holds 95 of 100 draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Known {
    /// By the fitted law.
    pub value: f64,
    /// From 2.5 to 97.5 of 100 draws.
    pub between: (f64, f64),
}

/// A plan: `plan.json`.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// Version of this format.
    pub format: u32,
    /// The scenario that was searched.
    pub scenario: String,
    /// Its limits.
    pub limits: Vec<String>,
    /// The host, in words.
    pub host: String,
    /// What was measured, by workers.
    pub measured: Vec<Measured>,
    /// Contention.
    pub alpha: Known,
    /// Coherence.
    pub beta: Known,
    /// Devices that one worker alone carries.
    pub gamma: Known,
    /// What is asked for.
    pub needs: Vec<Need>,
    /// What the reader should know.
    pub cautions: Vec<String>,
    #[serde(skip)]
    fitted: Fitted,
}

/// Plans for so many devices from searches; without a number, for what was measured and its double.
///
/// # Errors
/// When a search cannot be read, has no bracket, or there are too few numbers of workers.
pub fn plan(searches: &[PathBuf], devices: &[u32]) -> anyhow::Result<Plan> {
    let mut read: Vec<(Measured, Kept)> = Vec::new();
    for path in searches {
        let kept = Kept::read(path)?;
        read.push((Measured::of(path, &kept)?, kept));
    }
    read.sort_by_key(|(measured, _)| measured.workers);
    let (measured, kept): (Vec<Measured>, Vec<Kept>) = read.into_iter().unzip();
    let levels: Vec<Level> = measured.iter().map(Measured::level).collect();
    let fitted = Fitted::of(&levels, 1).with_context(|| {
        let numbers: Vec<String> = measured.iter().map(|one| one.workers.to_string()).collect();
        format!(
            "{} numbers of workers are the fewest that a law can be fitted to; there are {}",
            FEWEST_LEVELS,
            numbers.join(", ")
        )
    })?;
    let first = &kept[0];
    let limits: Vec<String> =
        first.basis.limits.iter().map(|(subject, limit, _)| format!("{subject} {limit}")).collect();
    let known = |of: fn(&measure::scalability::Usl) -> f64| Known {
        value: of(&fitted.law),
        between: fitted.between(of),
    };
    let most = measured.iter().map(|one| one.devices.0).max().unwrap_or(1);
    let asked: Vec<u32> = if devices.is_empty() {
        vec![most / 4, most / 2, most, most.saturating_mul(2)]
    } else {
        devices.to_vec()
    };
    Ok(Plan {
        format: 1,
        scenario: first.scenario.clone(),
        limits,
        host: words(&first.basis.host),
        alpha: known(|law| law.alpha),
        beta: known(|law| law.beta),
        gamma: known(|law| law.gamma),
        needs: asked.into_iter().map(|devices| need(devices, &fitted, &measured)).collect(),
        cautions: cautions(&measured, &kept, &fitted),
        measured,
        fitted,
    })
}

fn need(devices: u32, fitted: &Fitted, measured: &[Measured]) -> Need {
    let wanted = f64::from(devices);
    let workers = fitted.law.workers_for(wanted, MOST_WORKERS);
    let safe = fitted.workers_for(wanted, MOST_WORKERS);
    let range = measured.iter().map(|one| one.workers);
    let (least, most) = (range.clone().min().unwrap_or(0), range.max().unwrap_or(0));
    let planned = safe.or(workers);
    let nearest = measured.iter().min_by_key(|one| one.workers.abs_diff(planned.unwrap_or(most)));
    let busy = nearest.and_then(|one| one.in_service(wanted));
    Need {
        devices,
        workers,
        safe,
        utilisation: busy.zip(planned).map(|(busy, workers)| busy / f64::from(workers)),
        extrapolated: planned.is_none_or(|workers| workers > most || workers < least),
    }
}

fn cautions(measured: &[Measured], kept: &[Kept], fitted: &Fitted) -> Vec<String> {
    let mut out = Vec::new();
    let first = &kept[0];
    if let Some(other) = kept.iter().find(|one| one.basis.limits != first.basis.limits) {
        out.push(format!(
            "the searches had different limits ({} and {}): what is planned for is neither",
            first.scenario, other.scenario
        ));
    }
    if let Some(other) =
        kept.iter().find(|one| !differences(&one.basis.host, &first.basis.host).is_empty())
    {
        out.push(format!(
            "the searches ran on different hosts ({}; {}): the law mixes them",
            words(&first.basis.host),
            words(&other.basis.host)
        ));
    }
    let mut levels: Vec<u32> = measured.iter().map(|one| one.workers).collect();
    levels.dedup();
    if levels.len() < GOOD_LEVELS {
        out.push(format!(
            "{} numbers of workers: {GOOD_LEVELS} or more tell contention from coherence",
            levels.len()
        ));
    }
    let most = levels.last().copied().unwrap_or(1);
    if fitted.law.peak().is_none_or(|peak| peak > f64::from(most)) {
        out.push(format!(
            "capacity still grew at {most} workers, the most that were measured: where it stops growing is \
             not known"
        ));
    }
    let off = |one: &Measured| one.level().middle() / fitted.law.at(one.workers.into()) - 1.0;
    let furthest = measured.iter().max_by(|a, b| off(a).abs().total_cmp(&off(b).abs()));
    if let Some(one) = furthest
        && off(one).abs() > LAW_SHARE
    {
        out.push(format!(
            "with {} workers {:.0} % {} was carried than the law says: growth has another shape here, as where \
             cores run out; believe the brackets more than the law",
            one.workers,
            off(one).abs() * 100.0,
            if off(one) > 0.0 { "more" } else { "less" }
        ));
    }
    let counts = measured.iter().filter_map(|one| {
        let (little, busy) = (one.in_service(one.devices.0.into())?, one.busy?);
        Some((one.workers, little, busy, (little - busy).abs() / busy.max(1e-9)))
    });
    if let Some((workers, little, busy, share)) = counts.max_by(|a, b| a.3.total_cmp(&b.3))
        && share > LITTLE_SHARE
    {
        out.push(format!(
            "with {workers} workers Little's law calls for {little:.2} at work and {busy:.2} were counted: the rest \
             is spent between frames, and the shares of time are no better known than that"
        ));
    }
    out
}

impl Plan {
    /// The smallest and the largest number of workers that were measured.
    fn range(&self) -> (u32, u32) {
        let workers = self.measured.iter().map(|one| one.workers);
        (workers.clone().min().unwrap_or(0), workers.max().unwrap_or(0))
    }

    /// For so many devices, in a sentence.
    fn sentence(&self, need: &Need) -> String {
        let Need { devices, .. } = need;
        let (least, most) = self.range();
        let Some(safe) = need.safe.or(need.workers) else {
            return format!(
                "{devices} devices: by the law no number of workers up to {MOST_WORKERS} carries them: \
                 EXTRAPOLATED, {least} to {most} were measured"
            );
        };
        let likely = match need.workers {
            Some(1) if safe != 1 => " (1 is likely to do)".to_owned(),
            Some(workers) if workers != safe => format!(" ({workers} are likely to do)"),
            _ => String::new(),
        };
        let busy = need.utilisation.map_or_else(String::new, |share| {
            format!(", each at work for {:.0} % of the time", share * 100.0)
        });
        let beyond = if need.extrapolated {
            format!(": EXTRAPOLATED, {least} to {most} were measured")
        } else {
            String::new()
        };
        let workers = if safe == 1 { "worker" } else { "workers" };
        format!("{devices} devices: {safe} {workers}{likely}{busy}{beyond}")
    }

    /// As people read it, ending in a line break.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(out, "{}, within {}", self.scenario, self.limits.join(", "));
        let _ = writeln!(out, "on {}\n", self.host);
        for need in &self.needs {
            let _ = writeln!(out, "  {}", self.sentence(need));
        }
        let _ = writeln!(
            out,
            "\n{:>8}{:>16}{:>8}{:>14}{:>12}{:>10}{:>12}",
            "workers", "devices", "law", "95 %", "frames/s", "work ms", "at work"
        );
        for one in &self.measured {
            let (low, high) = self.fitted.between(|law| law.at(one.workers.into()));
            let frames = one.frames_per_device_s.map(|each| each * f64::from(one.devices.0));
            let _ = writeln!(
                out,
                "{:>8}{:>16}{:>8.0}{:>14}{:>12}{:>10}{:>12}",
                one.workers,
                format!("{} to {}", one.devices.0, one.devices.1),
                self.fitted.law.at(one.workers.into()),
                format!("{low:.0}–{high:.0}"),
                cell(frames, 0),
                cell(one.work_ms, 3),
                cell(one.busy, 2),
            );
        }
        let shown = |known: &Known, digits: usize| {
            let (low, high) = known.between;
            format!("{:.digits$} (95 %: {low:.digits$}–{high:.digits$})", known.value)
        };
        let _ = writeln!(out, "\n  alpha  {}, contention", shown(&self.alpha, 4));
        let _ = writeln!(out, "  beta   {}, coherence", shown(&self.beta, 5));
        let _ = writeln!(out, "  gamma  {} devices, of one worker alone", shown(&self.gamma, 1));
        if let Some(peak) = self.fitted.law.peak() {
            let most = self.fitted.law.at(peak);
            let _ = writeln!(out, "  peak   {most:.0} devices at {peak:.1} workers, by the law");
        }
        for caution in &self.cautions {
            let _ = writeln!(out, "  caution: {caution}");
        }
        out
    }
}

#[cfg(test)]
mod tests;
