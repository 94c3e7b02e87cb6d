//! An indicative opinion score from loss and delay: the E-model with values for Opus.
//!
//! R = R₀ − Idd − Ie,eff, and the score follows from R brought to the narrowband scale, where R₀ is
//! 93.2. Wide and super-wide band have a scale of their own, 1.29 and 1.48 times as long; Ie, Idd
//! and [`Indicative::r`] are on the band's own scale. That Opus's Ie are so too is an inference: the
//! source does not say, and the scores are plausible on no other.
//!
//! Sources: ITU-T G.107 (narrowband), G.107.1 (wideband), G.107.2 (fullband) for the formulas, where
//! the latter two are cited from memory; Alahmadi, Pocta, Melvin, ACM TOMM 17(4), article 133
//! (2021), for Opus. Absent: the simultaneous impairments, echo, and the advantage factor.

use std::time::Duration;

/// What to print beside every score.
pub const LIMITS: &str = "Indicative: the E-model plans conversations and does not measure calls. \
Jitter counts only through effective loss; silence suppression, echo and level do not count at all. \
The values for Opus presumably hold for 20 ms packets with concealment: a device with 60 ms packets \
and none sounds worse. Compare scores with each other, differences of 0.1 and more; below R = 50 \
(on the narrowband scale) they mean nothing.";

/// The bandwidth of speech, and so the scale of R.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// Up to 4 kHz: sampled at 8 kHz.
    Narrow,
    /// Up to 8 kHz: sampled at 16 kHz.
    Wide,
    /// Up to 12 kHz and more: sampled at 24 kHz and more.
    SuperWide,
}

impl Band {
    /// R₀: the rating of an unimpaired call.
    const fn unimpaired(self) -> f64 {
        match self {
            Self::Narrow => 93.2,
            Self::Wide => 129.0,
            Self::SuperWide => 148.0,
        }
    }

    /// The length of this band's scale over that of narrowband.
    const fn scale(self) -> f64 {
        match self {
            Self::Narrow => 1.0,
            Self::Wide => 1.29,
            Self::SuperWide => 1.48,
        }
    }
}

/// What a codec does to speech, with and without loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    /// The bandwidth that it carries.
    pub band: Band,
    /// Ie, the equipment impairment without loss.
    pub impairment: f64,
    /// Bpl, the robustness to random loss.
    pub robustness: f64,
}

impl Coding {
    /// G.711 with concealment (G.113, appendix I).
    pub const G711_CONCEALED: Self = Self { band: Band::Narrow, impairment: 0.0, robustness: 25.1 };

    /// Opus with variable bit rate in this band: the nearest bit rate that was tested, the lower of
    /// two.
    pub fn opus(band: Band, bits_per_second: u32) -> Self {
        let rows = OPUS_VBR.iter().filter(|row| row.0 == band);
        let nearest = rows.min_by_key(|row| (row.1 * 1_000).abs_diff(bits_per_second));
        let &(band, _, impairment, robustness) = nearest.expect("every band has rows");
        Self { band, impairment, robustness }
    }
}

/// Band, kbit/s, Ie, and Bpl for random loss (bursts enter by [`Impairment::burst_ratio`]), from
/// the `Opus_emodel.js` that the paper's first author published, to two digits.
const OPUS_VBR: [(Band, u32, f64, f64); 14] = [
    (Band::Narrow, 6, 23.00, 24.56),
    (Band::Narrow, 7, 21.26, 22.46),
    (Band::Narrow, 8, 16.02, 20.26),
    (Band::Narrow, 9, 11.74, 18.91),
    (Band::Wide, 11, 28.41, 23.94),
    (Band::Wide, 12, 23.30, 22.22),
    (Band::Wide, 13, 19.96, 19.50),
    (Band::SuperWide, 14, 38.06, 16.51),
    (Band::SuperWide, 16, 30.16, 11.83),
    (Band::SuperWide, 19, 23.81, 10.67),
    (Band::SuperWide, 22, 20.22, 10.47),
    (Band::SuperWide, 25, 20.21, 11.28),
    (Band::SuperWide, 28, 18.48, 10.63),
    (Band::SuperWide, 40, 10.67, 9.79),
];

/// What happened to the speech on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// The share of frames that were not played.
    pub effective_loss: f64,
    /// `BurstR`: 1 for random loss, more for loss in bursts; less counts as 1.
    pub burst_ratio: f64,
    /// The mean one-way delay by network, gateway and buffer, without what an answer takes to think.
    pub one_way_delay: Duration,
}

/// A rating to compare with others; see [`LIMITS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Indicative {
    /// The rating on the band's own scale: at most 93.2, 129 or 148.
    pub r: f64,
    /// The mean opinion score: 1 to 4.5.
    pub mos: f64,
}

/// The indicative opinion score of this coding so impaired.
pub fn mos_indicative(coding: Coding, impairment: Impairment) -> Indicative {
    let r = coding.band.unimpaired()
        - delay_impairment(impairment.one_way_delay)
        - effective_impairment(coding, impairment.effective_loss, impairment.burst_ratio);
    Indicative { r, mos: mos(r / coding.band.scale()) }
}

/// MOS = 1 + 0.035 R + R (R − 60) (100 − R) 7·10⁻⁶, for R on the narrowband scale; the polynomial
/// dips below 1 for R under 6.5, and is kept at 1 there (G.107, annex B).
fn mos(r: f64) -> f64 {
    match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

/// Idd = 25 ((1 + X⁶)^⅙ − 3 (1 + (X/3)⁶)^⅙ + 2), X = log₂ (delay / 100 ms); 0 up to 100 ms.
fn delay_impairment(one_way: Duration) -> f64 {
    let x = (one_way.as_secs_f64() / 0.1).log2();
    if x <= 0.0 {
        return 0.0;
    }
    let root = |x: f64| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// `Ie,eff = Ie + (95 − Ie) Ppl / (Ppl / BurstR + Bpl)`, Ppl in percent.
fn effective_impairment(coding: Coding, loss: f64, burst_ratio: f64) -> f64 {
    let percent = 100.0 * loss.clamp(0.0, 1.0);
    let Coding { impairment, robustness, .. } = coding;
    impairment + (95.0 - impairment) * percent / (percent / burst_ratio.max(1.0) + robustness)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(seen: f64, expected: f64, tolerance: f64) {
        assert!((seen - expected).abs() <= tolerance, "{seen} instead of {expected}");
    }

    fn lossy(percent: u32) -> Impairment {
        Impairment {
            effective_loss: f64::from(percent) / 100.0,
            burst_ratio: 1.0,
            one_way_delay: Duration::from_millis(60),
        }
    }

    #[test]
    fn ratings_have_their_scores() {
        for (r, expected) in [
            (-1.0, 1.0),
            (3.0, 1.0),
            (50.0, 2.575),
            (60.0, 3.1),
            (70.0, 3.597),
            (80.0, 4.024),
            (90.0, 4.339),
            (93.2, 4.409),
            (100.0, 4.5),
            (120.0, 4.5),
        ] {
            close(mos(r), expected, 0.000_6);
        }
    }

    #[test]
    fn delay_impairs_beyond_100_ms() {
        for (delay_ms, expected) in [
            (0, 0.0),
            (100, 0.0),
            (150, 0.164),
            (200, 3.044),
            (300, 14.761),
            (400, 24.07),
            (500, 30.64),
        ] {
            close(delay_impairment(Duration::from_millis(delay_ms)), expected, 0.006);
        }
    }

    #[test]
    fn g711_with_concealment() {
        for (percent, expected) in [(0, 0.0), (1, 3.64), (5, 15.78)] {
            let rating = mos_indicative(Coding::G711_CONCEALED, lossy(percent));
            close(93.2 - rating.r, expected, 0.006);
        }
    }

    #[test]
    fn opus_by_loss() {
        for (band, bits_per_second, scores) in [
            (Band::Wide, 13_000, [4.18, 4.09, 3.99, 3.90, 3.72, 3.34]),
            (Band::SuperWide, 25_000, [4.24, 4.11, 3.98, 3.85, 3.64, 3.23]),
        ] {
            let coding = Coding::opus(band, bits_per_second);
            for (percent, expected) in [0, 1, 2, 3, 5, 10].into_iter().zip(scores) {
                close(mos_indicative(coding, lossy(percent)).mos, expected, 0.01);
            }
        }
    }

    #[test]
    fn opus_takes_the_nearest_bit_rate() {
        for (band, bits_per_second, impairment) in [
            // What the device sends at its automatic bit rate, and what it gets.
            (Band::Wide, 17_000, 19.96),
            (Band::SuperWide, 25_000, 20.21),
            (Band::SuperWide, 0, 38.06),
            (Band::SuperWide, 15_000, 38.06),
            (Band::SuperWide, 15_001, 30.16),
            (Band::SuperWide, u32::MAX, 10.67),
            (Band::Narrow, 8_000, 16.02),
        ] {
            let coding = Coding::opus(band, bits_per_second);
            close(coding.impairment, impairment, 1e-9);
            assert_eq!(coding.band, band);
        }
    }

    #[test]
    fn bursts_and_delay_lower_the_score() {
        let coding = Coding::opus(Band::Wide, 13_000);
        let score = |impairment| mos_indicative(coding, impairment).mos;
        let random = lossy(5);
        assert!(score(Impairment { burst_ratio: 2.0, ..random }) < score(random));
        close(score(Impairment { burst_ratio: 0.5, ..random }), score(random), 1e-12);
        let slow = Impairment { one_way_delay: Duration::from_millis(300), ..random };
        assert!(score(slow) < score(random) - 0.1);
        // The model never reaches 1 by loss alone.
        assert!(score(Impairment { effective_loss: 1.0, ..slow }) < 1.4);
    }
}
