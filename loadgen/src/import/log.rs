//! `din import log`: the lines of a gateway's log that tell how long requests took, made into work that
//! the reference gateway burns.
//!
//! Three kinds of lines are known, and any other by a pattern of the user's own, a regular expression
//! with named groups:
//!
//! | group | |
//! |---|---|
//! | `latency` | how long a request took |
//! | `timeout` | how long a request had taken when it was given up |
//! | `mean`, `max` | of many requests, in lines of metrics |
//! | `unit` | `us`, `ms` or `s`; without it, ms |
//!
//! A request that was given up took at least that long; how much longer no log knows, and none is made
//! up. Requests are counted with their own latencies; lines of metrics are taken only where there are
//! none. The log is read line by line.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use measure::{Distribution, Quantity, Statistic};
use regex::{Captures, Regex};

use super::{SCENARIO, toml_text};
use crate::scenario::shown_duration;

/// What production's gateway and others write, most telling first: see [`known_patterns`].
const KNOWN: [&str; 4] = [
    r"(?i)\btime[d ]*out after (?<timeout>[0-9]+(?:\.[0-9]+)?)\s*(?<unit>us|µs|ms|s)?\b",
    r"(?i)\b(?:took|completed in|finished in|done in|elapsed|duration)[\s:=]*(?<latency>[0-9]+(?:\.[0-9]+)?)\s*(?<unit>us|µs|ms|s)?\b",
    r"(?i)\b(?:avg|average|mean) latency[\s:=]*(?<mean>[0-9]+(?:\.[0-9]+)?)\s*(?<unit>us|µs|ms|s)?\b(?:.*\bmax(?:imum)? latency[\s:=]*(?<max>[0-9]+(?:\.[0-9]+)?))?",
    r"(?i)\bmax(?:imum)? latency[\s:=]*(?<max>[0-9]+(?:\.[0-9]+)?)\s*(?<unit>us|µs|ms|s)?\b",
];
/// Groups that say something.
const GROUPS: [&str; 4] = ["latency", "timeout", "mean", "max"];
/// More of a line is not looked at.
const LONGEST_LINE: u64 = 64 << 10;
/// What a worker can be told to burn.
const SHORTEST: Duration = Duration::from_micros(1);
const LONGEST: Duration = Duration::from_secs(10);
/// The shares of which the times are written.
const SHARES: [f64; 10] = [0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0];
/// The share of long requests where only a maximum of many is known.
const RARE_PERCENT: f64 = 1.0;

/// What a log says of how long requests took.
#[derive(Debug)]
pub struct Told {
    /// Lines read, and lines that told something.
    pub lines: (u64, u64),
    latencies: Distribution,
    timeouts: Distribution,
    means: Distribution,
    maxima: Distribution,
    /// Times that no worker can be told to burn, and were brought to the nearest that it can.
    pub out_of_range: u64,
}

impl Told {
    /// Reads a log by these patterns; of those that a line fits, the first counts.
    ///
    /// # Errors
    /// What the reader says.
    pub fn read(mut reader: impl BufRead, patterns: &[Regex]) -> std::io::Result<Self> {
        let times = || Distribution::new(Quantity::Time);
        let mut told = Self {
            lines: (0, 0),
            latencies: times(),
            timeouts: times(),
            means: times(),
            maxima: times(),
            out_of_range: 0,
        };
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(told);
            }
            told.lines.0 += 1;
            let text = String::from_utf8_lossy(&line);
            if let Some(found) = patterns.iter().find_map(|pattern| pattern.captures(&text)) {
                told.lines.1 += u64::from(told.line(&found));
            }
        }
    }

    fn line(&mut self, found: &Captures<'_>) -> bool {
        let unit = found.name("unit").map_or("ms", |unit| unit.as_str()).to_ascii_lowercase();
        let seconds = match &unit[..] {
            "us" | "µs" => 1e-6,
            "s" => 1.0,
            _ => 1e-3,
        };
        let kinds = [&mut self.latencies, &mut self.timeouts, &mut self.means, &mut self.maxima];
        let mut said = false;
        for (group, times) in GROUPS.into_iter().zip(kinds) {
            let number = found.name(group).and_then(|number| number.as_str().parse::<f64>().ok());
            let time = number.and_then(|number| Duration::try_from_secs_f64(number * seconds).ok());
            let Some(time) = time else { continue };
            let kept = time.clamp(SHORTEST, LONGEST);
            self.out_of_range += u64::from(kept != time);
            times.record(u64::try_from(kept.as_nanos()).unwrap_or(u64::MAX));
            said = true;
        }
        said
    }

    /// Requests whose time is known, and those that were given up.
    pub fn requests(&self) -> (u64, u64) {
        (self.latencies.count(), self.timeouts.count())
    }

    /// The limit at which most requests were given up.
    pub fn given_up_at(&self) -> Option<Duration> {
        time(&self.timeouts, Statistic::Quantile(0.5))
    }

    /// Which share takes how long at most, as `burn` reads it; `None` when nothing was told.
    pub fn quantiles(&self) -> Option<String> {
        let (known, given_up) = self.requests();
        let metrics = self.means.count() + self.maxima.count() > 0;
        if known + given_up == 0 || (known == 0 && metrics) {
            return self.of_metrics();
        }
        let all = (known + given_up) as f64;
        let answered = known as f64 / all * 100.0;
        let mut points: Vec<(f64, Duration)> = Vec::new();
        for percent in SHARES {
            let of_known = if percent > answered || known == 0 {
                time(&self.timeouts, Statistic::Quantile((percent - answered) / (100.0 - answered)))
            } else {
                at(&self.latencies, percent / answered)
            };
            let before = points.last().map_or(SHORTEST, |(_, before)| *before);
            points.push((percent, of_known?.max(before)));
        }
        Some(written(&points))
    }

    /// Of means and maxima of many requests: most take the median mean, and one in a hundred up to the
    /// median maximum, or to the limit at which requests were given up.
    fn of_metrics(&self) -> Option<String> {
        let usual = time(&self.means, Statistic::Quantile(0.5));
        let long = time(&self.maxima, Statistic::Quantile(0.5)).max(self.given_up_at());
        let (usual, long) = (usual.or(long)?, long.or(usual)?);
        let long = long.max(usual);
        Some(written(&[(0.0, usual), (100.0 - RARE_PERCENT, usual), (100.0, long)]))
    }
}

/// To three digits, as histograms keep it.
fn time(times: &Distribution, statistic: Statistic) -> Option<Duration> {
    let micros = times.statistic(statistic)? * 1e3;
    let step = 10_f64.powf(micros.max(1.0).log10().floor() - 2.0).max(1.0);
    let rounded = Duration::from_secs_f64((micros / step).round() * step / 1e6);
    Some(rounded.clamp(SHORTEST, LONGEST))
}

/// The time that a share, 0 to 1, does not exceed.
fn at(times: &Distribution, share: f64) -> Option<Duration> {
    let statistic = match share {
        0.0 => Statistic::Min,
        share if share >= 1.0 => Statistic::Max,
        share => Statistic::Quantile(share),
    };
    time(times, statistic)
}

fn written(points: &[(f64, Duration)]) -> String {
    let one = |(share, time): &(f64, Duration)| format!("{share}% {}", shown_duration(*time));
    points.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What was made of a log.
#[derive(Debug)]
pub struct Imported {
    /// What it told.
    pub told: Told,
    /// The work, as `burn` reads it.
    pub quantiles: String,
    /// The scenario with it.
    pub scenario: PathBuf,
}

/// Reads a log by the known patterns or by `pattern`, and writes a scenario whose gateway burns what
/// requests took into the directory `out`.
///
/// # Errors
/// When the pattern is none or names no group that is known, the log cannot be read or no line of it
/// fits, or `out` cannot be written.
pub fn import_log(log: &Path, pattern: Option<&str>, out: &Path) -> anyhow::Result<Imported> {
    let shown = log.display();
    let patterns = match pattern {
        Some(own) => vec![own_pattern(own)?],
        None => known_patterns(),
    };
    let file = File::open(log).with_context(|| format!("cannot open {shown}"))?;
    let told = Told::read(BufReader::new(file), &patterns)
        .with_context(|| format!("cannot read {shown}"))?;
    let quantiles = told.quantiles().ok_or_else(|| {
        anyhow::anyhow!(
            "{shown}: none of its {} lines tells how long a request took; say how with --pattern, for \
             example '--pattern=request \\d+: (?<latency>[0-9.]+)(?<unit>ms)'",
            told.lines.0
        )
    })?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let scenario = out.join(SCENARIO);
    let name = log.file_name().unwrap_or_default().to_string_lossy();
    fs::write(&scenario, scenario_text(&name, &told, &quantiles))
        .with_context(|| format!("cannot write {}", scenario.display()))?;
    Ok(Imported { told, quantiles, scenario })
}

/// Patterns of the lines that gateways write.
///
/// # Panics
/// Never: they are patterns.
pub fn known_patterns() -> Vec<Regex> {
    KNOWN.iter().map(|known| Regex::new(known).expect("a known pattern is one")).collect()
}

fn own_pattern(own: &str) -> anyhow::Result<Regex> {
    let pattern = Regex::new(own).map_err(|error| anyhow::anyhow!("--pattern: {error}"))?;
    let known = |name: &&str| GROUPS.contains(name);
    anyhow::ensure!(
        pattern.capture_names().flatten().any(|name| known(&name)),
        "--pattern names none of the groups {}: write for example (?<latency>[0-9.]+)",
        GROUPS.join(", ")
    );
    Ok(pattern)
}

fn scenario_text(name: &str, told: &Told, quantiles: &str) -> String {
    let title = toml_text(&format!("Work as in {name}"));
    let timeout = told.given_up_at().map_or_else(String::new, |limit| {
        format!("worker_timeout = \"{}\"\n", shown_duration(limit))
    });
    format!(
        "# Written by `din import log`: frames take as long as requests took.\n\
         title    = {title}\n\
         question = \"Does a gateway keep up that works as long as that one did?\"\n\
         seed     = 1\n\
         \n\
         [gateway]\n\
         backend = \"relay\"\n\
         workers = 2\n\
         {timeout}\
         burn    = {{ kind = \"wait\", distribution = \"quantiles\", quantiles = \"{quantiles}\" }}\n\
         \n\
         [[phase]]\n\
         name    = \"work\"\n\
         devices = 10\n\
         hold    = \"30s\"\n\
         \n\
         [thresholds]\n\
         \"frames_lost\"     = \"= 0\"\n\
         \"worker_timeouts\" = \"= 0\"\n"
    )
}

/// What an import says, ending in a line break.
pub fn text(imported: &Imported) -> String {
    let Imported { told, quantiles, scenario } = imported;
    let (lines, fitting) = told.lines;
    let (known, given_up) = told.requests();
    let mut out =
        format!("log        {lines} lines, {fitting} of them tell how long requests took\n");
    // Writing to a String does not fail.
    if known + given_up > 0 {
        let _ = writeln!(out, "requests   {known} with their latency, {given_up} given up");
    }
    if given_up > 0 {
        let limit = told.given_up_at().map(shown_duration).unwrap_or_default();
        let _ = writeln!(
            out,
            "           given up at {limit}: how much longer they took is not in the log, and they \
             burn that"
        );
    }
    match (known, told.means.count(), told.maxima.count()) {
        (0, 0, 0) => {
            let _ = writeln!(
                out,
                "           no other request is in it: all frames take as long as those given up"
            );
        }
        (0, means, maxima) => {
            let _ = writeln!(
                out,
                "metrics    of many requests each: {means} means, {maxima} maxima; how many took long \
                 is not in the log: one in {:.0} is taken to",
                100.0 / RARE_PERCENT
            );
        }
        _ => {}
    }
    if told.out_of_range > 0 {
        let _ = writeln!(
            out,
            "           {} times outside 1us to 10s were brought there",
            told.out_of_range
        );
    }
    let _ = writeln!(out, "work       {quantiles}");
    let _ = writeln!(
        out,
        "           a latency may hold a wait for the worker as well: then the frames wait twice"
    );
    let shown = scenario.display();
    let _ = writeln!(out, "\nwrote {shown}\nrun it: din run {shown}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, pattern: Option<&str>) -> Told {
        let patterns: Vec<Regex> = match pattern {
            Some(own) => vec![own_pattern(own).unwrap()],
            None => known_patterns(),
        };
        Told::read(text.as_bytes(), &patterns).unwrap()
    }

    #[test]
    fn productions_timeouts_take_at_least_their_limit() {
        let lines = "❌ [WORKER] Decode error: Worker request 851 timeout after 50ms\n\
                     [WORKER] request 852 took 2.5ms\nsomething else\n\
                     [WORKER] request 853 took 2500us\n[WORKER] request 854 completed in 0.0025 s\n";
        let told = told(lines, None);
        assert_eq!((told.lines, told.requests()), ((5, 4), (3, 1)));
        assert_eq!(told.given_up_at(), Some(Duration::from_millis(50)));
        let quantiles = told.quantiles().unwrap();
        let due = "0% 2500us, 10% 2500us, 25% 2500us, 50% 2500us, 75% 2500us, 90% 50ms, 95% 50ms, 99% \
                   50ms, 99.9% 50ms, 100% 50ms";
        assert_eq!(quantiles, due);
    }

    #[test]
    fn metrics_are_taken_where_there_is_nothing_better() {
        let block = "Throughput: 29.4 fps\nAvg Latency: 2.51ms\nMax Latency: 5.34ms\n";
        let metrics = told(block, None);
        assert_eq!(metrics.requests(), (0, 0));
        assert_eq!(metrics.quantiles().unwrap(), "0% 2510us, 99% 2510us, 100% 5340us");
        let errors = format!("{block}Worker request 851 timeout after 50ms\n");
        assert_eq!(told(&errors, None).quantiles().unwrap(), "0% 2510us, 99% 2510us, 100% 50ms");
        let better = told(&format!("{block}request took 7ms\n"), None);
        assert!(better.quantiles().unwrap().starts_with("0% 7"), "{better:?}");
        assert_eq!(told("nothing\n", None).quantiles(), None);
    }

    #[test]
    fn a_pattern_of_ones_own_is_used_alone() {
        let lines = "id=1 rt=12\nid=2 rt=40 took 3ms\n\u{FF}\nid=3 rt=x\nid=4 rt=99000\n";
        let told = told(lines, Some(r"rt=(?<latency>\d+)"));
        assert_eq!((told.lines, told.requests(), told.out_of_range), ((5, 3), (3, 0), 1));
        assert!(told.quantiles().unwrap().ends_with("100% 10s"), "{:?}", told.quantiles());
        for (own, says) in [("rt=(", "unclosed group"), ("rt=(.*)", "names none of the groups")] {
            let error = own_pattern(own).unwrap_err().to_string();
            assert!(error.contains(says), "{own}: {error}");
        }
    }
}
