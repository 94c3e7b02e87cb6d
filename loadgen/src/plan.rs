//! `din check`: what a scenario will do, told before it does it.

mod cautions;
mod curve;
mod host;
mod load;

use std::fmt::Write;

use crate::scenario::{
    Backend, GatewaySettings, PartsPerMillion, Phase, Phasing, Scenario, shown_duration,
};
use crate::schedule::Schedule;
use crate::voice::Voices;
pub use host::{FrameCost, Host};
use load::{Load, Rates};

/// The plan of `scenario` on `host`, where the gateway codes frames of each group at the cost
/// `codec`; ends in a line break.
pub fn describe(
    scenario: &Scenario,
    voices: &Voices,
    host: &Host,
    codec: &[Option<FrameCost>],
) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_plan(&mut text, scenario, voices, host, codec);
    text
}

fn write_plan(
    out: &mut String,
    scenario: &Scenario,
    voices: &Voices,
    host: &Host,
    codec: &[Option<FrameCost>],
) -> std::fmt::Result {
    let schedule = Schedule::of(scenario);
    let load = Load::of(scenario, &schedule, voices, host, codec);
    writeln!(out, "{}: {}", scenario.name, scenario.title)?;
    if !scenario.question.is_empty() {
        writeln!(out, "  question    {}", scenario.question)?;
    }
    writeln!(out, "  seed        {}", scenario.seed)?;
    write_gateway(out, &scenario.gateway)?;
    write_devices(out, scenario, voices)?;
    if !scenario.generator.spin.is_zero() {
        let spin = shown_duration(scenario.generator.spin);
        writeln!(
            out,
            "  generator   waits busily for the last {spin} before each planned instant"
        )?;
    }
    let width = scenario.phases.iter().map(|phase| phase.name.chars().count()).max().unwrap_or(0);
    for (index, phase) in scenario.phases.iter().enumerate() {
        let (start, end) = schedule.phases.bounds(index);
        let label = if index == 0 { "phases" } else { "" };
        writeln!(
            out,
            "  {label:<11} {:width$}  {:>6.1} s to {:>6.1} s  {:>5} devices, ramp {}, hold {}{}",
            phase.name,
            start.since_start().as_secs_f64(),
            end.since_start().as_secs_f64(),
            phase.devices,
            shown_duration(phase.ramp),
            shown_duration(phase.hold),
            beside(phase)
        )?;
    }
    for (index, line) in curve::draw(&schedule).iter().enumerate() {
        let label = if index == 0 { "sessions" } else { "" };
        writeln!(out, "  {label:<11} {line}")?;
    }
    for action in &scenario.actions {
        let at = action.at.as_secs_f64();
        let name = action.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        writeln!(out, "  at {at:>7.1} s  {name}{}", action.what)?;
    }
    write_load(out, schedule.calls.len(), &load, scenario, host.cores)?;
    writeln!(
        out,
        "  time        {} and up to {} of drain",
        shown_duration(scenario.length()),
        shown_duration(scenario.drain)
    )?;
    writeln!(out, "  files       {} open at most", u64::from(scenario.most_devices()) * 2 + 64)?;
    for (index, threshold) in scenario.thresholds.iter().enumerate() {
        let label = if index == 0 { "thresholds" } else { "" };
        writeln!(out, "  {label:<11} {threshold}")?;
    }
    for caution in cautions::of(scenario, &schedule, &load, host) {
        writeln!(out, "  warning     {caution}")?;
    }
    Ok(())
}

/// What the devices are like, a line a group.
fn write_devices(out: &mut String, scenario: &Scenario, voices: &Voices) -> std::fmt::Result {
    let phasing = match scenario.devices.phasing {
        Phasing::Spread => "",
        Phasing::Staggered => ", staggered",
        Phasing::Aligned => ", aligned",
    };
    let counts = scenario.devices.membership(scenario.most_devices());
    let all = scenario.devices.groups.iter().zip(&voices.of_group).zip(counts.counts());
    let several = scenario.devices.groups.len() > 1;
    for (index, ((group, voices), count)) in all.enumerate() {
        let label = if index == 0 { "devices" } else { "" };
        let name = if several { format!("{}: {count}, ", group.name) } else { String::new() };
        let (rate, frame) = (group.encoder.sample_rate, group.encoder.frame);
        let s = if voices.len() == 1 { "" } else { "s" };
        writeln!(
            out,
            "  {label:<11} {name}{}, Opus {rate} mono, {frame} frames{phasing}, {} voice{s}",
            group.talk,
            voices.len()
        )?;
        if group.clock_drift != PartsPerMillion::default() {
            writeln!(out, "  {:<11} clocks off by up to {}", "", group.clock_drift)?;
        }
        if !group.network.is_clear() {
            writeln!(out, "  {:<11} behind a simulated network: {}", "", group.network.said)?;
        }
    }
    Ok(())
}

/// How much is sent, and what that costs here.
fn write_load(
    out: &mut String,
    sessions: usize,
    load: &Load<'_>,
    scenario: &Scenario,
    cores: u32,
) -> std::fmt::Result {
    let (up, down) = load.frames();
    writeln!(out, "  load        {sessions} sessions, about {up:.0} frames up and {down:.0} down")?;
    let Rates { frames_up, frames_down, bits_up, bits_down } = load.busiest;
    let (up, down) = (bits_per_second(bits_up), bits_down.map(bits_per_second));
    let down = down.map(|bits| format!(", {bits}")).unwrap_or_default();
    writeln!(
        out,
        "  busiest     {frames_up:.0} frames/s, {up} up; {frames_down:.0} frames/s{down} down"
    )?;
    let Some(needed) = load.cores else {
        return writeln!(
            out,
            "  needs       not known: what a frame costs could not be measured here"
        );
    };
    writeln!(
        out,
        "  needs       then at least {:.2} of {cores} cores for the generator and {:.2} for the gateway, \
         and {:.2} of {} workers",
        needed.generator,
        needed.gateway,
        needed.workers,
        scenario.gateway.most_workers()
    )
}

fn bits_per_second(bits: f64) -> String {
    if bits < 1e6 {
        format!("{:.0} kbit/s", bits / 1e3)
    } else {
        format!("{:.1} Mbit/s", bits / 1e6)
    }
}

/// What a phase does beyond a ramp and a hold.
fn beside(phase: &Phase) -> String {
    let steps = phase.steps.map(|steps| format!(", in {steps} stairs"));
    let wave = phase
        .wave
        .map(|wave| format!(", to {} and back each {}", wave.to, shown_duration(wave.period)));
    let arrivals = phase.arrivals.map(|arrivals| {
        format!(", {} come and stay {}", arrivals.rate, shown_duration(arrivals.stay))
    });
    let churn = phase
        .churn
        .map(|churn| format!(", {} leave for {}", churn.rate, shown_duration(churn.away)));
    [steps, wave, arrivals, churn].into_iter().flatten().collect()
}

/// What it does, and what it is told beyond its defaults.
fn write_gateway(out: &mut String, gateway: &GatewaySettings) -> std::fmt::Result {
    let backend = match gateway.backend {
        Some(Backend::Relay) => "relay",
        Some(Backend::Assistant) => "assistant",
        Some(Backend::Echo) | None => "echo",
    };
    writeln!(out, "  gateway     {backend}, unless a --target is given")?;
    if let Some(assistant) = &gateway.assistant {
        let (think, speak) = load::thinking_and_speaking(assistant);
        writeln!(out, "  turns       thinks for {think}, speaks for {speak}")?;
    }
    let workers = gateway.workers.as_ref().map(ToString::to_string);
    let timeout = gateway
        .worker_timeout
        .map(|limit| format!("a frame waits {} at most", shown_duration(limit)));
    let pool: Vec<String> = workers.into_iter().chain(timeout).collect();
    if !pool.is_empty() {
        writeln!(out, "  workers     {}", pool.join("; "))?;
    }
    if !gateway.delay.is_empty() {
        writeln!(out, "  delay       {}", gateway.delay)?;
    }
    if !gateway.burn.is_empty() {
        let rules: Vec<String> = gateway.burn.iter().map(ToString::to_string).collect();
        writeln!(out, "  burn        {}", rules.join("; "))?;
    }
    if !gateway.telemetry {
        writeln!(out, "  telemetry   off: the gateway tells nothing about itself")?;
    }
    let faults = gateway.faults.to_string();
    if !faults.is_empty() {
        writeln!(out, "  faults      {faults}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
