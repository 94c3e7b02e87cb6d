//! `din fit`: the smallest impairment that explains a trace, and what it leaves unexplained.
//!
//! Candidates are nothing at all, every preset, and what `parameters` reads off the trace, from one
//! number to many. Each is played over the same instants, with several seeds, and heard as the trace is
//! heard; its error is the mean of how far each number of a `Profile` is off. A number more has to make
//! it better by 1 %: a preset that is nearly right is worth more than nine numbers that are.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use measure::heard::HeardRecord;
use protocol::Moment;
use simnet::{Impairer, Impairment, Loss, Point, Preset, Stream, Trace};

use crate::hearing::{delays_through, heard_through};
use crate::scenario::shown_duration;

mod parameters;

/// Seeds that every candidate is played with.
const SEEDS: u64 = 5;
/// What a packet of audio holds, with its headers, in bytes.
const BYTES: usize = 160;
/// Packets of a trace that are looked at: more tell little more and take long.
const MOST: usize = 50_000;
/// What a number has to explain to be worth having: of two candidates the smaller is better until the
/// other one is less off by this for each number that it has more.
const PRICE: f64 = 0.01;

/// What may explain a trace.
#[derive(Clone, Debug)]
struct Candidate {
    /// How a scenario has it.
    toml: String,
    /// How many numbers one has to believe in; a preset is one.
    parameters: u32,
    up: Impairment,
    down: Impairment,
}

/// What of a trace has to be explained.
#[derive(Clone, Debug)]
struct Profile {
    numbers: [Number; 7],
    heard: HeardRecord,
}

#[derive(Clone, Copy, Debug)]
struct Number {
    name: &'static str,
    unit: &'static str,
    value: f64,
    /// Less than this is nothing.
    floor: f64,
}

/// What explains a trace, and how well.
#[derive(Debug)]
pub struct Fitted {
    /// How a scenario has it, as `network`.
    pub toml: String,
    /// How far the mean of its plays is off, 0 to 1.
    pub error: f64,
    /// Which candidates were tried.
    tried: Vec<(String, f64)>,
    original: Profile,
    explained: Profile,
    seeds: Vec<f64>,
}

/// Reads a trace and explains it.
///
/// # Errors
/// When it cannot be read, or has no packet.
pub fn fit_file(trace: &Path, frame: Duration) -> anyhow::Result<Fitted> {
    let shown = trace.display();
    let file = File::open(trace).with_context(|| format!("cannot open {shown}"))?;
    let read = Trace::read(BufReader::new(file)).with_context(|| format!("{shown} is no trace"))?;
    Ok(fit(&read, frame))
}

/// Explains a trace, of devices whose frames have this duration, by its first 50,000 packets.
pub fn fit(trace: &Trace, frame: Duration) -> Fitted {
    let trace = &beginning(trace);
    let original = Profile::of(trace, frame);
    let mut tried: Vec<(Candidate, Profile, Vec<f64>)> = candidates(trace)
        .into_iter()
        .map(|candidate| {
            let plays: Vec<Profile> = (1..=SEEDS)
                .map(|seed| Profile::of(&played(trace, &candidate, seed), frame))
                .collect();
            let errors: Vec<f64> = plays.iter().map(|play| original.error(play)).collect();
            let mean = Profile::mean(&plays);
            (candidate, mean, errors)
        })
        .collect();
    // The error of the mean, so that a candidate is not blamed for what one seed happens to do.
    let price = |(candidate, mean, _): &(Candidate, Profile, Vec<f64>)| {
        original.error(mean) + PRICE * f64::from(candidate.parameters)
    };
    tried.sort_by(|one, other| price(one).total_cmp(&price(other)));
    let names =
        tried.iter().map(|(one, mean, _)| (one.toml.clone(), original.error(mean))).collect();
    let (candidate, explained, seeds) = tried.swap_remove(0);
    let error = original.error(&explained);
    Fitted { toml: candidate.toml, error, tried: names, original, explained, seeds }
}

/// The same part of each stream, as much as is looked at.
fn beginning(trace: &Trace) -> Trace {
    let packets = |stream: &Stream| stream.up.len() + stream.down.len();
    let all: usize = trace.streams().iter().map(packets).sum();
    let share = (MOST as f64 / all.max(1) as f64).min(1.0);
    let until = |stream: &Stream| stream.length().mul_f64(share);
    let begin = |points: &[Point], until| {
        points.iter().take_while(|point| point.at <= until).copied().collect()
    };
    let streams = trace.streams().iter().map(|stream| Stream {
        up: begin(&stream.up, until(stream)),
        down: begin(&stream.down, until(stream)),
    });
    Trace::new(streams.collect())
}

fn candidates(trace: &Trace) -> Vec<Candidate> {
    let clear = Impairment::default;
    let (active_up, active_down) = active(trace);
    let mut all =
        vec![Candidate { toml: "{}".to_owned(), parameters: 0, up: clear(), down: clear() }];
    for preset in Preset::all() {
        let (name, of) = (preset.name, preset.impairment);
        let way = |active: bool| if active { of.clone() } else { clear() };
        let toml = match (active_up, active_down) {
            (true, true) => format!("\"{name}\""),
            (true, false) => format!("{{ uplink = \"{name}\" }}"),
            (false, _) => format!("{{ downlink = \"{name}\" }}"),
        };
        let (up, down) = (way(active_up), way(active_down));
        all.push(Candidate { toml, parameters: 1, up, down });
    }
    let ways = |active: bool, points: fn(&Stream) -> &[Point]| {
        let streams = trace.streams().iter().filter(|_| active).map(points);
        parameters::candidates(&streams.collect::<Vec<_>>())
    };
    let ups = ways(active_up, |stream| &stream.up);
    let downs = ways(active_down, |stream| &stream.down);
    for up in &ups {
        for down in &downs {
            let parts = [("uplink", up), ("downlink", down)];
            let named = parts.iter().filter(|(_, way)| way.parameters > 0);
            let named = named.map(|(which, way)| format!("{which} = {}", way.toml()));
            let named = named.collect::<Vec<_>>().join(", ");
            let parameters = up.parameters + down.parameters;
            if parameters > 0 {
                let (up, down) = (up.impairment.clone(), down.impairment.clone());
                all.push(Candidate { toml: format!("{{ {named} }}"), parameters, up, down });
            }
        }
    }
    all
}

/// Whether something happens on the uplink, and on the downlink: what one does a tenth of is left to
/// the other.
fn active(trace: &Trace) -> (bool, bool) {
    let share = |points: fn(&Stream) -> &[Point]| {
        let delays = trace.streams().iter().flat_map(points).filter_map(|point| point.delay);
        let lost = trace.streams().iter().flat_map(points).filter(|point| point.delay.is_none());
        (delays.map(|delay| delay.as_secs_f64()).sum::<f64>(), lost.count() as f64)
    };
    let (up, down) = (share(|stream| &stream.up), share(|stream| &stream.down));
    let some = |own: f64, other: f64| own > 0.1 * (own + other);
    let of = |own: (f64, f64), other: (f64, f64)| some(own.0, other.0) || some(own.1, other.1);
    match (of(up, down), of(down, up)) {
        (false, false) => (true, false),
        either => either,
    }
}

/// What would have become of the packets of a trace.
fn played(trace: &Trace, candidate: &Candidate, seed: u64) -> Trace {
    let streams = (0..).zip(trace.streams()).map(|(number, stream)| {
        let seed = seed ^ u64::wrapping_mul(number + 1, 0x9E37_79B9_7F4A_7C15);
        let way = |impairment: &Impairment, points: &[Point], seed| {
            let mut impairer = Impairer::new(impairment.clone(), seed);
            let mut play = |at: Duration| {
                let moment = Moment::START + at;
                let delivery = impairer.packet(moment, BYTES).delivery;
                Point { at, delay: delivery.map(|delivery| delivery.at.since(moment)) }
            };
            points.iter().map(|point| play(point.at)).collect()
        };
        Stream {
            up: way(&candidate.up, &stream.up, seed),
            down: way(&candidate.down, &stream.down, !seed),
        }
    });
    Trace::new(streams.collect())
}

impl Profile {
    fn of(trace: &Trace, frame: Duration) -> Self {
        let heard = heard_through(String::new(), trace, frame);
        let mut late: Vec<f64> = Vec::new();
        let (mut frames, mut lost, mut runs) = (0_usize, 0_usize, 0_usize);
        for stream in trace.streams() {
            let delays = delays_through(stream, frame);
            let smallest = delays.iter().flatten().min().copied().unwrap_or_default();
            let above = |delay: &Duration| delay.saturating_sub(smallest).as_secs_f64() * 1e3;
            late.extend(delays.iter().flatten().map(above));
            frames += delays.len();
            lost += delays.iter().filter(|delay| delay.is_none()).count();
            let together = delays.chunk_by(|one, other| one.is_none() == other.is_none());
            runs += together.filter(|run| run[0].is_none()).count();
        }
        late.sort_by(f64::total_cmp);
        let quantile = |permille: usize| {
            late.get(late.len().saturating_sub(1) * permille / 1000).copied().unwrap_or(0.0)
        };
        let number = |name, unit, value, floor| Number { name, unit, value, floor };
        let least = 100.0 / frames.max(1) as f64;
        let numbers = [
            number("loss", "%", 100.0 * lost as f64 / frames.max(1) as f64, least),
            number("mean loss run", "frames", lost as f64 / runs.max(1) as f64, 1.0),
            number("delay p50", "ms", quantile(500), 1.0),
            number("delay p90", "ms", quantile(900), 1.0),
            number("delay p99", "ms", quantile(990), 1.0),
            number("jitter (RFC 3550)", "ms", heard.rfc3550_jitter_ms.unwrap_or(0.0), 1.0),
            number(
                "stutters a minute",
                "",
                heard.stutter_per_minute.unwrap_or(0.0),
                60.0 / heard.audio_s.max(1.0),
            ),
        ];
        Self { numbers, heard }
    }

    /// How far another one is off: 0, not at all, to 1, altogether.
    fn error(&self, other: &Self) -> f64 {
        let off = self.numbers.iter().zip(&other.numbers).map(|(own, other)| {
            let beyond = ((own.value - other.value).abs() - own.floor).max(0.0);
            (beyond / own.value.abs().max(own.floor)).min(1.0)
        });
        off.sum::<f64>() / self.numbers.len() as f64
    }

    /// Of several plays, number by number.
    fn mean(plays: &[Self]) -> Self {
        let count = plays.len() as f64;
        let mut mean = plays[0].clone();
        for (index, number) in mean.numbers.iter_mut().enumerate() {
            number.value = plays.iter().map(|play| play.numbers[index].value).sum::<f64>() / count;
        }
        mean
    }
}

/// What explains a trace, ending in a line break.
pub fn text(fitted: &Fitted) -> String {
    let Fitted { toml, error, tried, original, explained, seeds } = fitted;
    let mut out = String::new();
    let heard = &original.heard;
    // Writing to a String does not fail.
    let _ = writeln!(out, "trace      {} calls, {} frames", heard.calls, heard.frames);
    let _ = writeln!(out, "\n  network = {toml}\n");
    let _ = writeln!(out, "{:<26}{:>10}{:>10}", "", "trace", "fitted");
    for (own, other) in original.numbers.iter().zip(&explained.numbers) {
        let Number { name, unit, value, .. } = own;
        let comma = if unit.is_empty() { "" } else { ", " };
        let label = format!("{name}{comma}{unit}");
        let _ = writeln!(out, "{label:<26}{value:>10.2}{:>10.2}", other.value);
    }
    let worst = seeds.iter().copied().fold(0.0, f64::max);
    let _ = writeln!(
        out,
        "\nleft over  {:.1} % on average, {:.1} % with the worst of {SEEDS} seeds; of {} candidates",
        error * 100.0,
        worst * 100.0,
        tried.len()
    );
    if *error > 0.2 {
        let _ = writeln!(
            out,
            "           that is much: play the trace itself, network = {{ trace = \"FILE\" }}"
        );
    }
    let others = tried.iter().filter(|(other, _)| other != toml);
    for (other, error) in others.take(3) {
        let _ = writeln!(out, "others     {:5.1} %  {other}", error * 100.0);
    }
    out
}

/// How a scenario has a time.
fn shown_ms(time: Duration) -> String {
    // Tenths of a millisecond are more than any trace knows.
    let tenths = (time + Duration::from_micros(50)).as_micros() / 100;
    shown_duration(Duration::from_micros(u64::try_from(tenths * 100).unwrap_or(u64::MAX)))
}

/// How a scenario has losses.
fn shown_loss(loss: &Loss) -> Option<String> {
    match loss {
        Loss::Random(share) => Some(format!("{}%", (share * 1e5).round() / 1e3)),
        Loss::GilbertElliott { turns_bad, turns_good, .. } => {
            let short = |chance: f64| (chance * 1e4).round() / 1e4;
            Some(format!("gilbert-elliott({}, {})", short(*turns_bad), short(*turns_good)))
        }
        Loss::None | Loss::Pattern(_) => None,
    }
}

#[cfg(test)]
mod tests;
