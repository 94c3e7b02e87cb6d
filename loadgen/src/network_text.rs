//! `din network`: what a preset does to packets, in words, as numbers of a simulated call, and as the
//! line for Linux' `tc` that does the same.

use std::fmt::Write;
use std::time::Duration;

use protocol::Moment;
use reports::terminal::{bars, sparkline};
use simnet::{Delay, Distribution, Impairer, Impairment, Loss, Preset};

use crate::scenario::shown_duration;

/// The call that is simulated: ten minutes of frames of 60 ms in packets of 160 bytes.
const FRAME: Duration = Duration::from_millis(60);
const FRAMES: u32 = 10_000;
const BYTES: usize = 160;
const SEED: u64 = 1;

/// Every preset, a line each.
pub fn list() -> String {
    let all = Preset::all();
    let width = all.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    let lines = all.iter().map(|one| format!("{:width$}  {}", one.name, one.title));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// One preset, ending in a line break.
pub fn describe(preset: &Preset) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut text, preset);
    text
}

fn write(out: &mut String, preset: &Preset) -> std::fmt::Result {
    let impairment = &preset.impairment;
    writeln!(out, "{}: {}, in each direction", preset.name, preset.title)?;
    writeln!(out, "  source      {}", preset.source)?;
    writeln!(out, "  delay       {}", delay(&impairment.delay))?;
    writeln!(out, "  loss        {}", loss(&impairment.loss))?;
    if let Some(rate) = impairment.rate {
        let (bits, queue) = (rate.bits_per_second, rate.queue);
        writeln!(out, "  rate        {} kbit/s, {queue} packets may wait", bits / 1000)?;
    }
    if let Some(stall) = impairment.stall {
        writeln!(
            out,
            "  stalls      {} a minute of {} to {}: what is due then comes back to back afterwards",
            stall.per_minute,
            shown_duration(stall.shortest),
            shown_duration(stall.longest)
        )?;
    }
    if let Some(outage) = impairment.outage {
        writeln!(
            out,
            "  outages     one each {} of {}: what is sent then is lost",
            shown_duration(outage.every),
            shown_duration(outage.lasting)
        )?;
    }
    write_call(out, impairment)?;
    let (line, left_out) = impairment.to_tc("IFACE");
    writeln!(out, "\n  {line}")?;
    if !left_out.is_empty() {
        let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        writeln!(out, "  but for what it cannot do: {}", left_out.join(", "))?;
    }
    Ok(())
}

/// What a call of ten minutes would go through.
fn write_call(out: &mut String, impairment: &Impairment) -> std::fmt::Result {
    let mut impairer = Impairer::new(impairment.clone(), SEED);
    let delays: Vec<Option<Duration>> = (0..FRAMES)
        .map(|frame| {
            let at = Moment::START + FRAME * frame;
            impairer.packet(at, BYTES).delivery.map(|delivery| delivery.at.since(at))
        })
        .collect();
    let mut arrived: Vec<f64> =
        delays.iter().flatten().map(|delay| delay.as_secs_f64() * 1e3).collect();
    arrived.sort_by(f64::total_cmp);
    let lost = delays.len() - arrived.len();
    let runs = delays.chunk_by(|one, other| one.is_none() == other.is_none());
    let longest = runs.filter(|run| run[0].is_none()).map(<[_]>::len).max().unwrap_or(0);
    writeln!(
        out,
        "\n  in a call of 10 minutes, {FRAMES} frames of {}, seed {SEED}:",
        shown_duration(FRAME)
    )?;
    let at = |permille: usize| arrived.get((arrived.len().saturating_sub(1)) * permille / 1000);
    let quantile = |permille| at(permille).map_or("-".to_owned(), |millis| format!("{millis:.1}"));
    writeln!(
        out,
        "  delay (ms)  min {}  p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
        quantile(0),
        quantile(500),
        quantile(900),
        quantile(990),
        quantile(999),
        quantile(1000)
    )?;
    let share = 100.0 * lost as f64 / delays.len() as f64;
    writeln!(out, "  lost        {lost} frames, {share:.2} %; at most {longest} in a row")?;
    let second = delays.chunks(FRAMES as usize / 50);
    let worst = second.map(|chunk| {
        let arrived = chunk.iter().flatten().map(|delay| delay.as_secs_f64() * 1e3);
        arrived.reduce(f64::max)
    });
    if let Some(line) = sparkline(&worst.collect::<Vec<_>>()) {
        writeln!(out, "  over time   {line}, the worst delay of 12 s each")?;
    }
    let losses = delays.chunks(FRAMES as usize / 50).map(|chunk| {
        let lost = chunk.iter().filter(|delay| delay.is_none()).count();
        Some(100.0 * lost as f64 / chunk.len() as f64)
    });
    if lost > 0
        && let Some((line, (_, most))) = bars(&losses.collect::<Vec<_>>())
    {
        writeln!(out, "              {line}  lost in each, up to {most:.1} %")?;
    }
    write_histogram(out, &arrived)
}

/// How many of the delays, in order, lie in each of some steps of a round number of ms; the last step
/// has all that are longer than 99.5 % of them.
fn write_histogram(out: &mut String, delays: &[f64]) -> std::fmt::Result {
    const ROWS: f64 = 16.0;
    const WIDTH: usize = 50;
    let (Some(least), Some(usual)) = (delays.first(), delays.get(delays.len() * 995 / 1000)) else {
        return Ok(());
    };
    let steps = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    let Some(step) = steps.into_iter().find(|step| (usual - least) / step <= ROWS) else {
        return Ok(());
    };
    let mut from = (least / step).floor() * step;
    let mut rows = Vec::new();
    while from <= *usual {
        let is_last = from + step > *usual;
        let inside = |one: f64| one >= from && (one < from + step || is_last);
        rows.push((from, is_last, delays.iter().filter(|one| inside(**one)).count()));
        from += step;
    }
    let fullest = rows.iter().map(|(.., count)| *count).max().unwrap_or(1).max(1);
    writeln!(out, "\n  delay (ms)  share of the frames that came")?;
    for (from, is_last, count) in rows {
        let bar = "█".repeat((count * WIDTH).div_ceil(fullest));
        let share = 100.0 * count as f64 / delays.len() as f64;
        let label =
            if is_last { format!("{from}…") } else { format!("{from}–{}", from + step) };
        writeln!(out, "  {label:>10}  {bar} {share:.1} %")?;
    }
    Ok(())
}

fn delay(delay: &Delay) -> String {
    if delay.time.is_zero() && delay.jitter.is_zero() {
        return "none".to_owned();
    }
    let distribution = match delay.distribution {
        Distribution::Uniform => "uniform",
        Distribution::Normal => "normal",
        Distribution::Pareto => "pareto",
        Distribution::ParetoNormal => "paretonormal",
    };
    let (time, jitter) = (shown_duration(delay.time), shown_duration(delay.jitter));
    if delay.jitter.is_zero() { time } else { format!("{time} ± {jitter}, {distribution}") }
}

fn loss(loss: &Loss) -> String {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    match loss {
        Loss::None => "none".to_owned(),
        Loss::Random(share) => format!("{}, at random", percent(*share)),
        Loss::GilbertElliott { turns_bad, turns_good, .. } => format!(
            "{} in runs of {:.1} on average (Gilbert-Elliott, p {}, r {})",
            percent(loss.mean()),
            1.0 / turns_good,
            percent(*turns_bad),
            percent(*turns_good)
        ),
        Loss::Pattern(_) => format!("{}, in a pattern", percent(loss.mean())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_is_explained_with_its_numbers_and_the_line_for_tc() {
        insta::assert_snapshot!(describe(&Preset::by_name("wifi-busy").unwrap()));
    }

    #[test]
    fn every_preset_can_be_explained_and_is_listed() {
        let list = list();
        for preset in Preset::all() {
            let text = describe(&preset);
            assert!(
                text.contains("tc qdisc add dev IFACE root netem") && !text.contains("NaN"),
                "{text}"
            );
            assert!(list.contains(&format!("{}  ", preset.name)), "{list}");
        }
        assert!(describe(&Preset::by_name("g1050-H").unwrap()).contains("netem has no outages"));
        let nothing = Preset { impairment: Impairment::default(), ..Preset::all()[0].clone() };
        assert!(describe(&nothing).contains("lost        0 frames, 0.00 %; at most 0 in a row"));
    }
}
