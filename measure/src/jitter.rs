//! How much the answers of one call vary in their delay, by each measure that has a name of its own.
//!
//! A stream is the answers of one device's call. Every measure is taken from a packet's *transit*
//! D = arrival − media time, where the media time is the instant that the packet was meant for: a
//! sender's delay is part of the variation, and a pause of the speaker (DTX) is none. Packets count
//! in the order of their arrival, reordered ones included; duplicates are the caller's to leave out.
//! Constant offsets cancel, so media time and arrival need not share an origin.
//!
//! | measure | of | source |
//! |---|---|---|
//! | [`Rfc3550`] | J += (\|D(i) − D(i−1)\| − J) / 16 | RFC 3550, section 6.4.1 and A.8 |
//! | [`Ipdv`] | D(i) − D(i−1), signed | RFC 3393 |
//! | PDV | D(i) − min D; its p99 is the depth of a buffer that is late for 1 % | RFC 5481 |
//! | inter-arrival σ | arrival gap − media gap, its standard deviation | none; widely used |
//!
//! RFC 3393 leaves open which two packets are compared: here a packet and the one that arrived
//! before it. The arrival gap less the media gap is then the same difference, so that σ is the
//! standard deviation of the IPDV.
//!
//! Absent on purpose: anything called plain "jitter", and the list of samples.

use std::time::Duration;

use crate::metric::Quantity;
use crate::recorder::Distribution;

mod transits;

use transits::Transits;

/// What one packet more moves RFC 3550's estimate by: a sixteenth of the difference.
const GAIN: f64 = 1.0 / 16.0;

/// Estimates that are still under the influence of the estimator's start: (15/16)⁶⁴ is 1.6 %.
pub const SETTLING: u64 = 64;

/// The delay variation of one stream; some 1.5 KiB, however long the call.
#[derive(Clone, Debug, Default)]
pub struct StreamJitter {
    transits: Transits,
    /// Transit of the packet that arrived last, in ns.
    previous_ns: Option<i64>,
    estimator: Estimator,
    differences: Spread,
}

/// RFC 3550's estimate of the inter-arrival jitter over a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3550 {
    /// After the last packet: what a receiver report would carry.
    pub last: Duration,
    /// The mean of the estimates after each packet but the first.
    pub mean: Duration,
    /// The mean of the estimates after the first [`SETTLING`]: the estimator starts at zero and has
    /// come to 98 % of the truth by then. Of shorter streams as `mean`.
    pub settled: Duration,
    /// The largest estimate.
    pub max: Duration,
}

/// RFC 3393's delay variation of a packet and the one that arrived before it; positive when its
/// transit was longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ipdv {
    nanos: i64,
}

impl Ipdv {
    /// The signed difference in ns.
    pub const fn as_nanos(self) -> i64 {
        self.nanos
    }

    /// Its magnitude, |IPDV|.
    pub const fn magnitude(self) -> Duration {
        Duration::from_nanos(self.nanos.unsigned_abs())
    }
}

impl StreamJitter {
    /// A stream of which nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the packet that arrived next: its media time and its arrival. Gives its delay variation
    /// from the packet before, which the first packet of a stream has not.
    pub fn arrived(&mut self, media: Duration, at: Duration) -> Option<Ipdv> {
        let transit_ns = nanos(at) - nanos(media);
        self.transits.add(transit_ns);
        let difference_ns = transit_ns - self.previous_ns.replace(transit_ns)?;
        self.estimator.add(difference_ns.unsigned_abs() as f64);
        self.differences.add(difference_ns as f64);
        Some(Ipdv { nanos: difference_ns })
    }

    /// The stream pauses: the packet that comes next is the first of a talkspurt and is compared with
    /// none before it. The PDV of what has come goes to `pool`, as each talkspurt has a shortest
    /// transit of its own; the estimate of RFC 3550 goes on.
    ///
    /// # Panics
    /// Unless the distribution is of [`Quantity::Time`].
    pub fn pause(&mut self, pool: &mut Distribution) {
        self.pour_pdv_into(pool);
        self.transits = Transits::default();
        self.previous_ns = None;
    }

    /// How many packets arrived, since the last pause.
    pub fn packets(&self) -> u64 {
        self.transits.count()
    }

    /// The estimate of RFC 3550, A.8, in its exact form; `None` before the second packet.
    pub fn rfc3550(&self) -> Option<Rfc3550> {
        let Estimator { differences, now_ns, sum_ns, settled_ns, max_ns } = self.estimator;
        let mean = duration(sum_ns / differences.max(1) as f64);
        let settled = differences.saturating_sub(SETTLING);
        let settled = if settled > 0 { duration(settled_ns / settled as f64) } else { mean };
        (differences > 0).then(|| Rfc3550 {
            last: duration(now_ns),
            mean,
            settled,
            max: duration(max_ns),
        })
    }

    /// The PDV of RFC 5481 that this share of packets, between 0 and 1, does not exceed; off by at
    /// most 2 % or 0.1 ms, whichever is more, up to 40 s. `None` without packets.
    pub fn pdv_quantile(&self, share: f64) -> Option<Duration> {
        self.transits.above_min_quantile(share).map(Duration::from_nanos)
    }

    /// Adds the PDV of every packet to the distribution, each as exact as [`Self::pdv_quantile`].
    /// So may many streams be pooled, each measured from its own shortest transit.
    ///
    /// # Panics
    /// Unless the distribution is of [`Quantity::Time`].
    pub fn pour_pdv_into(&self, pool: &mut Distribution) {
        assert_eq!(pool.quantity(), Quantity::Time, "a delay variation is a span of time");
        for (pdv_ns, count) in self.transits.above_min() {
            pool.record_many(pdv_ns, count);
        }
    }

    /// Standard deviation (of all, not of a sample) of arrival gap − media gap; `None` before the
    /// second packet.
    pub fn interarrival_sigma(&self) -> Option<Duration> {
        self.differences.variance().map(|variance| duration(variance.sqrt()))
    }
}

/// The recursion of RFC 3550, A.8, and what became of its estimate.
#[derive(Clone, Debug, Default)]
struct Estimator {
    differences: u64,
    now_ns: f64,
    sum_ns: f64,
    /// The sum after the first [`SETTLING`].
    settled_ns: f64,
    max_ns: f64,
}

impl Estimator {
    fn add(&mut self, magnitude_ns: f64) {
        self.differences += 1;
        self.now_ns += (magnitude_ns - self.now_ns) * GAIN;
        self.sum_ns += self.now_ns;
        if self.differences > SETTLING {
            self.settled_ns += self.now_ns;
        }
        self.max_ns = self.max_ns.max(self.now_ns);
    }
}

/// Mean and squared deviations as they go (Welford, Technometrics 4, 1962).
#[derive(Clone, Debug, Default)]
struct Spread {
    count: u64,
    mean: f64,
    squared_deviations: f64,
}

impl Spread {
    fn add(&mut self, x: f64) {
        self.count += 1;
        let before = x - self.mean;
        self.mean += before / self.count as f64;
        self.squared_deviations += before * (x - self.mean);
    }

    fn variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squared_deviations / self.count as f64)
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).expect("runs end within 292 years")
}

fn duration(nanos: f64) -> Duration {
    Duration::from_secs_f64(nanos / 1e9)
}

#[cfg(test)]
mod tests;
