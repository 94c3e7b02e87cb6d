//! The same as a line for Linux' `tc`, where netem has the same.

use std::fmt;

use crate::{Delay, Distribution, Impairment, Loss};

/// What netem cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNetem {
    /// It holds no packets back to release them together.
    Stall,
    /// It has no link that is down now and then.
    Outage,
    /// It loses by no pattern.
    Pattern,
}

impl fmt::Display for NotNetem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stall => "netem does not stall",
            Self::Outage => "netem has no outages",
            Self::Pattern => "netem loses by no pattern",
        })
    }
}

impl Impairment {
    /// `tc qdisc add dev IFACE root netem …`, for the packets that leave by one interface; and what is
    /// left out of it.
    pub fn to_tc(&self, interface: &str) -> (String, Vec<NotNetem>) {
        let mut words = vec![format!("tc qdisc add dev {interface} root netem")];
        let mut left_out = Vec::new();
        words.extend(self.delay.to_tc());
        match &self.loss {
            Loss::None => {}
            Loss::Random(share) => words.push(format!("loss random {}", percent(*share))),
            Loss::GilbertElliott { turns_bad, turns_good, passes_bad, passes_good } => {
                let shares = [*turns_bad, *turns_good, 1.0 - passes_bad, 1.0 - passes_good];
                words.push(format!("loss gemodel {}", shares.map(percent).join(" ")));
            }
            Loss::Pattern(_) => left_out.push(NotNetem::Pattern),
        }
        for (word, share) in [("duplicate", self.duplicate), ("corrupt", self.corrupt)] {
            if share > 0.0 {
                words.push(format!("{word} {}", percent(share)));
            }
        }
        words.extend(
            self.reorder.map(|one| format!("reorder {} gap {}", percent(one.share), one.gap)),
        );
        words.extend(
            self.rate.map(|rate| format!("rate {}bit limit {}", rate.bits_per_second, rate.queue)),
        );
        left_out.extend(self.stall.map(|_| NotNetem::Stall));
        left_out.extend(self.outage.map(|_| NotNetem::Outage));
        (words.join(" "), left_out)
    }
}

impl Delay {
    fn to_tc(self) -> Option<String> {
        if self.time.is_zero() && self.jitter.is_zero() {
            return None;
        }
        let mut words = vec![format!("delay {}us", self.time.as_micros())];
        if !self.jitter.is_zero() {
            words.push(format!("{}us", self.jitter.as_micros()));
            if self.correlation > 0.0 {
                words.push(percent(self.correlation));
            }
            let distribution = match self.distribution {
                Distribution::Uniform => "uniform",
                Distribution::Normal => "normal",
                Distribution::Pareto => "pareto",
                Distribution::ParetoNormal => "paretonormal",
            };
            words.push(format!("distribution {distribution}"));
        }
        Some(words.join(" "))
    }
}

/// Without what binary fractions leave behind.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e8).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Preset, Rate, Reorder};

    #[test]
    fn a_line_says_the_same_and_what_it_leaves_out() {
        let busy = Preset::by_name("wifi-busy").unwrap().impairment;
        let due = "tc qdisc add dev eth0 root netem delay 15000us 15000us distribution paretonormal \
                   loss gemodel 1% 30% 100% 0%";
        assert_eq!(busy.to_tc("eth0"), (due.to_owned(), vec![NotNetem::Stall]));
        let rest = Impairment {
            loss: Loss::Random(0.015),
            duplicate: 0.01,
            corrupt: 0.002,
            reorder: Some(Reorder { share: 0.25, gap: 5 }),
            rate: Some(Rate { bits_per_second: 750_000, queue: 100 }),
            ..Impairment::default()
        };
        let due = "tc qdisc add dev lo root netem loss random 1.5% duplicate 1% corrupt 0.2% reorder \
                   25% gap 5 rate 750000bit limit 100";
        assert_eq!(rest.to_tc("lo"), (due.to_owned(), Vec::new()));
        let pattern = Impairment { loss: Loss::Pattern(vec![true]), ..Impairment::default() };
        assert_eq!(pattern.to_tc("lo").1, [NotNetem::Pattern]);
        let grade = Preset::by_name("g1050-B").unwrap().impairment;
        assert_eq!(grade.to_tc("lo").1, [NotNetem::Outage]);
    }
}
