//! How many devices a host should be trusted with: an estimate from what a frame costs there.
//!
//! ```text
//! frames/s of a device   f  = 1000 / 60
//! pacing thread          s  = processor time to send a frame
//! receiving thread       r  = processor time to receive one
//! devices ≤ 0.5 / (f s),  0.5 / (f r)                  each is one thread, busy for half its time
//! devices ≤ 0.8 cores / (f (s + r + w))                w: what else this host does for a frame
//! devices ≤ (hard limit on files − 64) / 2,  ephemeral ports,  20,000
//! ```
//!
//! The smallest of these. When frames were too late already in the probe of 500 devices, no more
//! than the 50 of the other probe; when they were in that, none. Half of a thread, because frames
//! that are due together wait for each other; 0.8 of the cores, because beyond that a run is
//! SUSPECT. Not in it: handshakes of a ramp, memory, and a network that costs more than the
//! loopback.

use std::time::Duration;

use measure::validity::{BUSY_SHARE, allowed_send_lag};
use serde::{Deserialize, Serialize};

use super::facts::{Facts, LoopbackFacts};
use crate::scenario::MAX_DEVICES;

/// Share of its time that a media thread may be busy.
const THREAD_SHARE: f64 = 0.5;
/// Milliseconds of a frame.
const FRAME_MS: f64 = 60.0;

/// How many devices, and why not more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The gateway on another host.
    pub alone: Estimate,
    /// The reference gateway on this host, echoing: it decodes and encodes every frame.
    pub with_echo: Estimate,
    /// Of so many devices every answer can really be decoded, if there were as many.
    pub decoded: Option<u64>,
}

/// A number of devices with frames of 60 ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// How many.
    pub devices: u64,
    /// What allows no more.
    pub limited_by: String,
    /// Everything that was compared, fewest devices first.
    pub limits: Vec<Limit>,
}

/// What one resource allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The resource, and how the number comes about.
    pub resource: String,
    /// Devices that it allows.
    pub devices: u64,
}

/// The estimate; `None` without a measured cost of frames.
pub fn estimate(facts: &Facts) -> Option<Capacity> {
    let crowd = facts.crowd.known()?;
    let cores = facts.processors.known()?.usable;
    let (send, receive) = (crowd.send_cpu_us, crowd.receive_cpu_us);
    if send <= 0.0 || receive <= 0.0 {
        return None;
    }
    let codec = facts.codec.known();
    let mean_us = |summary: &measure::record::Summary| summary.mean.map(|millis| millis * 1e3);
    let decode = codec.and_then(|codec| mean_us(&codec.decode));
    let encode = codec.and_then(|codec| mean_us(&codec.encode));

    let thread = |what: &str, cost: f64| Limit {
        resource: format!("{what}, {cost:.1} µs a frame in half a core"),
        devices: devices(THREAD_SHARE, cost),
    };
    let mut own = vec![thread("pacing thread", send), thread("receiving thread", receive)];
    if let Some(files) = facts.open_files.known() {
        let resource = format!("open files, hard limit {}, 2 a device", files.hard);
        own.push(Limit { resource, devices: files.devices });
    }
    if let Some(ports) = facts.ports.known() {
        let resource = format!("ephemeral ports {} to {}", ports.first, ports.last);
        own.push(Limit { resource, devices: ports.devices });
    }
    let most = Limit { resource: "most of a scenario".to_owned(), devices: MAX_DEVICES.into() };
    own.push(most);
    own.extend(late(facts));

    let machine = |what: &str, cost: f64| Limit {
        resource: format!("{cores} cores, {cost:.1} µs a frame{what} in 80 % of them"),
        devices: devices(BUSY_SHARE * f64::from(cores), cost),
    };
    let mut here = own.clone();
    own.push(machine("", send + receive));
    // The reference gateway receives and sends each frame once, as the generator does.
    let work = decode.zip(encode).map_or(0.0, |(decode, encode)| decode + encode);
    here.push(machine(", coded anew,", 2.0 * (send + receive) + work));
    Some(Capacity {
        alone: Estimate::smallest(own),
        with_echo: Estimate::smallest(here),
        // The checker is one thread, and may lag without harm as long as it keeps up.
        decoded: decode.map(|decode| devices(BUSY_SHARE, decode)),
    })
}

/// A probe that was late already allows no more than the next smaller one: the crowd as many as the
/// loopback probe has, and that none.
fn late(facts: &Facts) -> Option<Limit> {
    let (few, many) = (facts.loopback.known(), facts.crowd.known());
    let in_time = few.map_or(0, |few| few.devices);
    too_late(few, 0).or_else(|| too_late(many, in_time))
}

fn too_late(probe: Option<&LoopbackFacts>, devices: u32) -> Option<Limit> {
    let probe = probe?;
    let lag = Duration::from_secs_f64(probe.send_lag.p99? / 1e3);
    let allowed = allowed_send_lag(Duration::from_millis(probe.frame_ms.into()));
    let resource = format!(
        "lateness, {} devices were sent {:.2} ms late at p99, allowed is {:.2} ms",
        probe.devices,
        lag.as_secs_f64() * 1e3,
        allowed.as_secs_f64() * 1e3
    );
    (lag > allowed).then_some(Limit { resource, devices: devices.into() })
}

/// Devices whose frames cost `share` of a core, at `cost_us` a frame.
fn devices(share: f64, cost_us: f64) -> u64 {
    let frames_per_second = share * 1e6 / cost_us;
    let devices = frames_per_second * FRAME_MS / 1e3;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded down, and a cast of what is too large gives the largest"
    )]
    let whole = devices as u64;
    whole
}

impl Estimate {
    fn smallest(mut limits: Vec<Limit>) -> Self {
        limits.sort_by_key(|limit| limit.devices);
        let first = &limits[0];
        Self { devices: first.devices, limited_by: first.resource.clone(), limits }
    }
}
