//! Processor time and memory of the gateway and of ourselves, sampled each second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use measure::Metric;
use measure::record::Measurements;
use platform::{Clock, ProcessSampler, UdpCounters, Usage, steal_time};
use protocol::Moment;

/// The processes of a run.
pub struct Resources {
    clock: Clock,
    gateway: Option<Watched>,
    generator: Option<Watched>,
    /// By phase index.
    phases: BTreeMap<usize, Measurements>,
}

struct Watched {
    sampler: ProcessSampler,
    last: (Moment, Usage),
}

/// What one second used; `None` where it could not be measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SecondUsage {
    /// The reference gateway.
    pub gateway: Option<ProcessUsage>,
    /// Ourselves.
    pub generator: Option<ProcessUsage>,
}

/// The machine when a run began.
pub struct HostBefore {
    at: Instant,
    steal: Option<Duration>,
    udp: Option<UdpCounters>,
}

/// What the machine went through during a run; `None` where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostDuring {
    /// Share of its processors' time that its own host took away, in percent.
    pub steal_percent: Option<f64>,
    /// Datagrams of anybody that found a buffer full.
    pub udp: Option<UdpCounters>,
}

impl HostBefore {
    /// The machine now.
    pub fn now() -> Self {
        let (steal, udp) = (steal_time().ok(), UdpCounters::sample().ok());
        Self { at: Instant::now(), steal, udp }
    }

    /// What has happened since.
    pub fn until_now(&self) -> HostDuring {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let available = self.at.elapsed().as_secs_f64() * cores as f64;
        let stolen = steal_time().ok().zip(self.steal).map(|(now, then)| now.saturating_sub(then));
        let percent = |stolen: Duration| stolen.as_secs_f64() / available * 100.0;
        HostDuring {
            steal_percent: stolen.map(percent),
            udp: UdpCounters::sample().ok().zip(self.udp).map(|(now, then)| now.since(&then)),
        }
    }
}

/// What a process used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessUsage {
    /// Percent of one core since the sample before.
    pub cpu_percent: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

impl Resources {
    /// Watches ourselves, and the gateway if it is a process of ours.
    pub fn new(clock: Clock, gateway_pid: Option<u32>) -> Self {
        let watch = |pid| Watched::new(clock, pid);
        Self {
            clock,
            gateway: gateway_pid.and_then(watch),
            generator: watch(std::process::id()),
            phases: BTreeMap::new(),
        }
    }

    /// The gateway is another process from now on.
    pub fn watch_gateway(&mut self, pid: u32) {
        self.gateway = Watched::new(self.clock, pid);
    }

    /// Takes a sample, which belongs to phase `phase`.
    pub fn sample(&mut self, phase: usize) -> SecondUsage {
        let now = self.clock.now();
        let usage = SecondUsage {
            gateway: self.gateway.as_mut().and_then(|gateway| gateway.sample(now)),
            generator: self.generator.as_mut().and_then(|generator| generator.sample(now)),
        };
        usage.add_to(self.phases.entry(phase).or_default());
        usage
    }

    /// The samples, by phase index.
    pub fn into_phases(self) -> BTreeMap<usize, Measurements> {
        self.phases
    }
}

impl SecondUsage {
    /// Adds the sample to what was measured.
    pub fn add_to(&self, measured: &mut Measurements) {
        for (usage, cpu, memory) in [
            (self.gateway, Metric::GatewayCpu, Metric::GatewayRss),
            (self.generator, Metric::GeneratorCpu, Metric::GeneratorRss),
        ] {
            if let Some(usage) = usage {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "thousandths of a percent of some cores"
                )]
                measured.sample(cpu, (usage.cpu_percent * 1e3) as u64);
                measured.sample(memory, usage.resident_bytes);
            }
        }
    }
}

impl Watched {
    fn new(clock: Clock, pid: u32) -> Option<Self> {
        let sampler = ProcessSampler::new(pid).ok()?;
        let last = (clock.now(), sampler.sample().ok()?);
        Some(Self { sampler, last })
    }

    fn sample(&mut self, now: Moment) -> Option<ProcessUsage> {
        let usage = self.sampler.sample().ok()?;
        let (before, earlier) = self.last;
        let cpu_percent = usage.core_percent_since(&earlier, now.since(before));
        self.last = (now, usage);
        Some(ProcessUsage { cpu_percent, resident_bytes: usage.resident_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_is_seen_working_and_a_gone_one_is_not_measured() {
        let clock = Clock::start();
        let mut resources = Resources::new(clock, None);
        let busy_until = clock.now() + Duration::from_millis(20);
        while clock.now() < busy_until {
            std::hint::spin_loop();
        }
        let usage = resources.sample(0);
        let generator = usage.generator.unwrap();
        assert!(generator.cpu_percent > 0.0 && generator.resident_bytes > 1 << 20, "{usage:?}");
        assert_eq!(usage.gateway, None);
        let phases = resources.into_phases();
        assert_eq!(phases[&0].sampled(Metric::GeneratorCpu).unwrap().count(), 1);
        assert!(phases[&0].sampled(Metric::GatewayCpu).is_none());
    }
}
