//! The spectral envelope of 20 ms of speech: how its power is shared between twelve bands.
//!
//! Pitch, phase and loudness are lost on purpose: what is left survives a transcode and a gain
//! control. The transform is our own: a fixed length of 512 needs a page, and no planner.

use std::f32::consts::TAU;

/// Samples per second of the sound that is looked at.
pub(super) const RATE_HZ: usize = 24_000;
/// Samples of one envelope: 20 ms.
pub(super) const SLOT: usize = RATE_HZ / 50;
/// Bands of an envelope.
pub(super) const BANDS: usize = 12;

/// Points of the transform; a slot is filled up with zeros.
const POINTS: usize = 512;
/// A real transform of [`POINTS`] is a complex one of half as many.
const HALF: usize = POINTS / 2;
/// What a codec keeps of speech even at 6 kbit/s, where Opus falls back to 4 kHz.
const LOWEST_HZ: f32 = 150.0;
const HIGHEST_HZ: f32 = 3_800.0;
/// What a band holds at least, as a share of the slot's power: 30 dB below it codecs put noise.
const FLOOR: f32 = 1e-3;
/// Below this root mean square, -45 dB of full scale, a slot is a pause.
const PAUSE_RMS: f32 = 184.0;

/// Level in each band, in tens of decibels, above the mean of the bands.
pub(super) type Envelope = [f32; BANDS];

/// Computes envelopes; a few µs each.
#[derive(Clone, Debug)]
pub(super) struct EnvelopeMeter {
    /// Hann's window over a slot.
    window: Box<[f32; SLOT]>,
    /// e^(-2πik / `POINTS`) for k below `HALF`.
    roots: Box<[Complex; HALF]>,
    /// First bin of each band, and the end of the last.
    edges: [usize; BANDS + 1],
    work: Box<[Complex; HALF]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Complex {
    re: f32,
    im: f32,
}

impl Complex {
    fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    fn minus(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// Whether `slot` is no pause.
pub(super) fn is_active(slot: &[i16; SLOT]) -> bool {
    let power: f32 = slot.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
    power > PAUSE_RMS * PAUSE_RMS * SLOT as f32
}

impl EnvelopeMeter {
    /// A meter; it keeps nothing from one slot to the next.
    pub(super) fn new() -> Self {
        let hann = |n: usize| 0.5 - 0.5 * (TAU * (n as f32 + 0.5) / SLOT as f32).cos();
        let root = |k: usize| {
            let angle = -TAU * k as f32 / POINTS as f32;
            Complex { re: angle.cos(), im: angle.sin() }
        };
        Self {
            window: Box::new(std::array::from_fn(hann)),
            roots: Box::new(std::array::from_fn(root)),
            edges: std::array::from_fn(edge),
            work: Box::new([Complex::default(); HALF]),
        }
    }

    /// The envelope of `slot`; `None` when it is a pause.
    pub(super) fn active(&mut self, slot: &[i16; SLOT]) -> Option<Envelope> {
        is_active(slot).then(|| self.envelope(slot))
    }

    /// The envelope of `slot`, be it a pause.
    pub(super) fn envelope(&mut self, slot: &[i16; SLOT]) -> Envelope {
        let sample = |n: usize| f32::from(slot[n]) * self.window[n];
        for (n, point) in self.work.iter_mut().enumerate() {
            *point = if 2 * n + 1 < SLOT {
                Complex { re: sample(2 * n), im: sample(2 * n + 1) }
            } else {
                Complex::default()
            };
        }
        self.transform();
        let mut bands: Envelope = std::array::from_fn(|band| {
            (self.edges[band]..self.edges[band + 1]).map(|bin| self.power(bin)).sum()
        });
        // One unit more keeps digital silence finite.
        let floor = 1.0 + FLOOR * bands.iter().sum::<f32>();
        bands = bands.map(|power| (power + floor).log10());
        let mean = bands.iter().sum::<f32>() / BANDS as f32;
        bands.map(|level| level - mean)
    }

    /// Radix-2 decimation in time over `work` (Cooley and Tukey 1965).
    fn transform(&mut self) {
        for n in 0..HALF {
            let mirrored = n.reverse_bits() >> (usize::BITS - HALF.trailing_zeros());
            if n < mirrored {
                self.work.swap(n, mirrored);
            }
        }
        let mut span = 1;
        while span < HALF {
            for group in self.work.chunks_exact_mut(2 * span) {
                let (low, high) = group.split_at_mut(span);
                let roots = self.roots.iter().step_by(HALF / span);
                for ((low, high), &root) in low.iter_mut().zip(high).zip(roots) {
                    let turned = high.times(root);
                    *high = low.minus(turned);
                    *low = low.plus(turned);
                }
            }
            span *= 2;
        }
    }

    /// Power in `bin` of the real transform, 0 < `bin` < `HALF`: the even and the odd samples stood
    /// in real and imaginary parts (Press et al., Numerical Recipes, section 12.3).
    fn power(&self, bin: usize) -> f32 {
        let (here, there) = (self.work[bin], self.work[HALF - bin]);
        let there = Complex { re: there.re, im: -there.im };
        let (even, odd) = (here.plus(there), here.minus(there));
        // Dividing by 2i, not 2: (re, im) becomes (im, -re) / 2.
        let odd = Complex { re: odd.im, im: -odd.re };
        even.plus(odd.times(self.roots[bin])).power() / 4.0
    }
}

/// The first bin of `band`: bands are equally wide in mel, 2595 log10(1 + f / 700 Hz)
/// (O'Shaughnessy, Speech Communication, 1987).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive number below `HALF`"
)]
fn edge(band: usize) -> usize {
    let mel = |hertz: f32| (1.0 + hertz / 700.0).log10();
    let share = band as f32 / BANDS as f32;
    let at = mel(LOWEST_HZ) + share * (mel(HIGHEST_HZ) - mel(LOWEST_HZ));
    let hertz = 700.0 * (10f32.powf(at) - 1.0);
    (hertz * POINTS as f32 / RATE_HZ as f32).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of a tone, a quarter of full scale.
    fn tone(hertz: f32) -> [i16; SLOT] {
        #[expect(clippy::cast_possible_truncation, reason = "a quarter of full scale")]
        std::array::from_fn(|n| ((TAU * hertz * n as f32 / RATE_HZ as f32).sin() * 8192.0) as i16)
    }

    #[test]
    fn the_transform_is_the_discrete_fourier_transform() {
        let mut meter = EnvelopeMeter::new();
        let mut slot = tone(1_234.0);
        slot.iter_mut().zip(tone(3_210.0)).for_each(|(a, b)| *a += b / 3);
        meter.envelope(&slot);
        let total: f64 = (1..HALF).map(|bin| f64::from(meter.power(bin))).sum();
        for bin in 1..HALF {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, &sample) in slot.iter().enumerate() {
                let turn = std::f64::consts::TAU * (bin * n % POINTS) as f64 / POINTS as f64;
                let sample = f64::from(sample) * f64::from(meter.window[n]);
                re += sample * turn.cos();
                im -= sample * turn.sin();
            }
            let (expected, seen) = (re * re + im * im, f64::from(meter.power(bin)));
            assert!((expected - seen).abs() < 1e-5 * total, "bin {bin}: {seen}, not {expected}");
        }
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let mut meter = EnvelopeMeter::new();
        for band in 0..BANDS {
            let centre = (meter.edges[band] + meter.edges[band + 1]) as f32 / 2.0;
            let hertz = (centre - 0.5) * RATE_HZ as f32 / POINTS as f32;
            let envelope = meter.active(&tone(hertz)).expect("not a pause");
            let loudest = (0..BANDS).max_by(|&a, &b| envelope[a].total_cmp(&envelope[b]));
            assert_eq!(loudest, Some(band), "{hertz} Hz: {envelope:?}");
        }
    }

    #[test]
    fn pauses_have_no_envelope_and_silence_a_finite_one() {
        let mut meter = EnvelopeMeter::new();
        assert_eq!(meter.active(&[0; SLOT]), None);
        assert_eq!(meter.active(&tone(500.0).map(|sample| sample / 64)), None, "-51 dB");
        assert!(meter.active(&tone(500.0).map(|sample| sample / 16)).is_some(), "-39 dB");
        assert!(meter.envelope(&[0; SLOT]).iter().all(|level| level.is_finite()));
    }

    #[test]
    fn loudness_counts_for_nothing_and_the_share_of_a_band_does() {
        let mut meter = EnvelopeMeter::new();
        let mut distance = |one: &[i16; SLOT], other: &[i16; SLOT]| -> f32 {
            let (one, other) = (meter.envelope(one), meter.envelope(other));
            one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
        };
        let loud = tone(700.0);
        let soft = loud.map(|sample| sample / 4);
        assert!(distance(&loud, &soft) < 0.02);
        // The third formant, 12 dB below.
        let mut brighter = loud;
        brighter.iter_mut().zip(tone(2_500.0)).for_each(|(sample, high)| *sample += high / 4);
        assert!(distance(&loud, &brighter) > 1.0);
    }
}
