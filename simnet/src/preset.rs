//! Networks by name, each with where its numbers come from.
//!
//! A preset is for one direction; both directions of a device have it, with fates of their own.

use std::time::Duration;

use crate::{Delay, Distribution, Impairment, Loss, Outage, Rate, Stall};

/// A network by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Preset {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it is like.
    pub title: &'static str,
    /// Where its numbers come from.
    pub source: &'static str,
    /// What it does in each direction.
    pub impairment: Impairment,
}

const OURS: &str = "an assumption of Din's, after measurements of home Wi-Fi; no standard";
const G1050: &str = "ITU-T G.1050 core network, regional, as coded in spandsp-sim/g1050.c: base delay, \
                     uniform jitter, random loss, link failures; the access links are left out";

impl Preset {
    /// Every preset.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self {
                name: "wifi-good",
                title: "a quiet home Wi-Fi",
                source: OURS,
                impairment: Impairment {
                    delay: around(5, 3, Distribution::ParetoNormal),
                    loss: Loss::bursts(0.001, 0.5),
                    ..Impairment::default()
                },
            },
            Self {
                name: "wifi-busy",
                title: "a home Wi-Fi that others use too: losses in runs, and six stalls a minute",
                source: OURS,
                impairment: Impairment {
                    delay: around(15, 15, Distribution::ParetoNormal),
                    loss: Loss::bursts(0.01, 0.3),
                    stall: Some(stalls(6.0, 80, 200)),
                    ..Impairment::default()
                },
            },
            Self {
                name: "lte-drive",
                title: "LTE in a moving car: a long tail, and stalls of up to a second and a half",
                source: "gaps between deliveries in mahimahi's ATT-LTE-driving.down trace (6.3 over \
                         150 ms in a minute, the longest 1.5 s); delay and loss are Din's assumptions",
                impairment: Impairment {
                    delay: around(40, 12, Distribution::ParetoNormal),
                    loss: Loss::bursts(0.002, 0.4),
                    stall: Some(stalls(6.3, 150, 1500)),
                    ..Impairment::default()
                },
            },
            Self {
                name: "3g",
                title: "3G with a good signal: 250 ms and 750 kbit/s",
                source: "tylertreat/comcast, profile 3G (good); jitter is Din's assumption",
                impairment: Impairment {
                    delay: around(125, 30, Distribution::Normal),
                    loss: Loss::Random(0.015),
                    rate: Some(Rate { bits_per_second: 750_000, queue: 100 }),
                    ..Impairment::default()
                },
            },
        ];
        all.extend(GRADES.map(Grade::preset));
        all
    }

    /// The preset of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|preset| preset.name == name)
    }
}

/// A grade of G.1050: base delay in ms, peak jitter in ms, loss, and link failures: s between them,
/// and ms that each lasts.
struct Grade(&'static str, u64, u64, f64, Option<(u64, u64)>);

const GRADES: [Grade; 8] = [
    Grade("g1050-A", 4, 5, 0.0, None),
    Grade("g1050-B", 8, 10, 0.0001, Some((3600, 64))),
    Grade("g1050-C", 16, 16, 0.0002, Some((1800, 128))),
    Grade("g1050-D", 32, 40, 0.0004, Some((900, 256))),
    Grade("g1050-E", 64, 70, 0.001, Some((480, 400))),
    Grade("g1050-F", 128, 100, 0.002, Some((240, 800))),
    Grade("g1050-G", 256, 150, 0.005, Some((120, 1600))),
    Grade("g1050-H", 512, 500, 0.01, Some((60, 3000))),
];

impl Grade {
    fn preset(self) -> Preset {
        let Self(name, base, peak, loss, failures) = self;
        let millis = Duration::from_millis;
        Preset {
            name,
            title: "a core network of G.1050, A the best grade and H the worst",
            source: G1050,
            impairment: Impairment {
                // From the base to the base and the peak, each as likely.
                delay: Delay {
                    time: millis(base) + millis(peak) / 2,
                    jitter: millis(peak) / 2,
                    ..Delay::default()
                },
                loss: if loss > 0.0 { Loss::Random(loss) } else { Loss::None },
                outage: failures.map(|(every, lasting)| Outage {
                    every: Duration::from_secs(every),
                    lasting: millis(lasting),
                }),
                ..Impairment::default()
            },
        }
    }
}

fn around(time: u64, jitter: u64, distribution: Distribution) -> Delay {
    let millis = Duration::from_millis;
    Delay { time: millis(time), jitter: millis(jitter), correlation: 0.0, distribution }
}

fn stalls(per_minute: f64, shortest: u64, longest: u64) -> Stall {
    let millis = Duration::from_millis;
    Stall { per_minute, shortest: millis(shortest), longest: millis(longest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Impairer;
    use protocol::Moment;

    #[test]
    fn names_are_names_and_found_again() {
        let all = Preset::all();
        assert_eq!(all.len(), 12);
        for preset in &all {
            assert_eq!(Preset::by_name(preset.name).as_ref(), Some(preset));
            assert_eq!(all.iter().filter(|one| one.name == preset.name).count(), 1);
            assert!(!preset.title.is_empty() && !preset.source.is_empty());
        }
        assert_eq!(Preset::by_name("wifi"), None);
    }

    /// Each preset delays and loses as it says, over an hour of frames.
    #[test]
    fn presets_do_what_they_say() {
        const FRAME: Duration = Duration::from_millis(60);
        let packets = 60_000_u32;
        let mut worst = Duration::ZERO;
        for preset in Preset::all() {
            let mut impairer = Impairer::new(preset.impairment.clone(), 11);
            let fates = (0..packets).map(|number| {
                let at = Moment::START + FRAME * number;
                impairer.packet(at, 120).delivery.map(|delivery| delivery.at.since(at))
            });
            let mut delays: Vec<Duration> = fates.flatten().collect();
            let lost = 1.0 - delays.len() as f64 / f64::from(packets);
            let outages = preset
                .impairment
                .outage
                .map_or(0.0, |outage| outage.lasting.as_secs_f64() / outage.every.as_secs_f64());
            let due = preset.impairment.loss.mean() + outages;
            // Six times what chance alone would scatter, for losses that come in runs.
            let scatter = 6.0 * (due.max(1e-4) / f64::from(packets)).sqrt();
            assert!((lost - due).abs() < scatter + outages * 0.2, "{}: {lost} {due}", preset.name);
            delays.sort();
            let middle = delays[delays.len() / 2];
            let time = preset.impairment.delay.time;
            let slack = preset.impairment.delay.jitter / 2 + Duration::from_millis(5);
            assert!(middle.abs_diff(time) < slack, "{}: {middle:?} {time:?}", preset.name);
            if preset.name.starts_with("g1050") {
                assert!(middle > worst, "{}: each grade is worse", preset.name);
                worst = middle;
            }
        }
    }
}
