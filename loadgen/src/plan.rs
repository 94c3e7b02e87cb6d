//! `din check`: what a scenario will do, told before it does it.

mod curve;

use std::fmt::Write;
use std::sync::Arc;

use protocol::packet::HEADER_LEN;

use crate::scenario::{
    Backend, GatewaySettings, Phase, Phasing, Scenario, Talk, TimeDistribution, shown_duration,
};
use crate::schedule::{PlannedCall, Schedule};
use crate::voice::{Voice, Voices};

/// IPv4 and UDP headers.
const BELOW_UDP: usize = 28;

/// The plan of `scenario`, ending in a line break.
pub fn describe(scenario: &Scenario, voices: &Voices) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_plan(&mut text, scenario, voices);
    text
}

fn write_plan(out: &mut String, scenario: &Scenario, voices: &Voices) -> std::fmt::Result {
    let schedule = Schedule::of(scenario);
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
    write_load(out, scenario, &schedule, voices)?;
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
    }
    Ok(())
}

/// How much the devices send when all of them speak.
fn write_load(
    out: &mut String,
    scenario: &Scenario,
    schedule: &Schedule,
    voices: &Voices,
) -> std::fmt::Result {
    let (mut packets, mut bits) = (0.0, 0.0);
    let groups = scenario.devices.groups.iter().zip(&voices.of_group);
    let counts = scenario.devices.membership(scenario.most_devices());
    for ((group, range), count) in groups.zip(counts.counts()) {
        if group.talk == Talk::Silent {
            continue;
        }
        let sent = f64::from(*count) * group.encoder.frame.frames_per_second();
        packets += sent;
        bits += sent * mean_datagram(&voices.all[range.clone()]) * 8.0;
    }
    writeln!(
        out,
        "  load        {} sessions, about {} frames; at most {packets:.0} frames/s and {:.1} Mbit/s up",
        schedule.calls.len(),
        ideal_frames(scenario, schedule),
        bits / 1e6
    )?;
    Ok(())
}

/// Frames of those that never stop to speak, if every handshake took no time.
fn ideal_frames(scenario: &Scenario, schedule: &Schedule) -> u64 {
    let members = scenario.devices.membership(scenario.most_devices());
    let of_call = |call: &PlannedCall| {
        let group = &scenario.devices.groups[members.of(call.device).group];
        let frame = group.encoder.frame.as_duration().as_nanos();
        match group.talk {
            Talk::FullDuplex => call.leave.since(call.arrive).as_nanos() / frame,
            Talk::HalfDuplex(_) | Talk::Silent => 0,
        }
    };
    let total: u128 = schedule.calls.iter().map(of_call).sum();
    u64::try_from(total).unwrap_or(u64::MAX)
}

/// Bytes of a packet on the wire, on average.
fn mean_datagram(voices: &[Arc<Voice>]) -> f64 {
    let packets = voices.iter().flat_map(|voice| &voice.packets);
    let (bytes, count) =
        packets.fold((0, 0), |(bytes, count), packet| (bytes + packet.len(), count + 1));
    bytes as f64 / f64::from(count.max(1)) + (HEADER_LEN + BELOW_UDP) as f64
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
        let time = |time: &Option<TimeDistribution>, default: &str| {
            time.map_or_else(|| default.to_owned(), |time| time.to_string())
        };
        let (think, speak) = (time(&assistant.think, "300ms"), time(&assistant.speak, "3s"));
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
mod tests {
    use super::*;

    const SCENARIO: &str = "title = \"Test\"\n[[phase]]\ndevices = 4\nhold = \"6s\"\n";

    fn plan(rest: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.toml");
        std::fs::write(&path, format!("{SCENARIO}{rest}")).unwrap();
        let scenario = Scenario::load(&path, &[]).unwrap();
        describe(&scenario, &Voices::load(&scenario.devices.groups).unwrap())
    }

    #[test]
    fn nothing_is_said_of_what_is_left_to_the_gateway() {
        insta::assert_snapshot!(plan(""));
    }

    #[test]
    fn what_the_gateway_is_told_takes_a_line_a_subject() {
        let told = "[devices]\nphase = \"aligned\"\n[gateway]\nworkers = { max = 4 }\n\
             worker_timeout = \"150ms\"\n\
             burn = [{ kind = \"cpu\", time = \"8ms\", every = 4 }, { kind = \"wait\", time = \"1ms\" }]\n\
             [generator]\nspin = \"50us\"\n\
             [gateway.faults]\nshared_codec = true\nleak_per_frame = \"4KiB\"\n";
        insta::assert_snapshot!(plan(told));
    }
}
