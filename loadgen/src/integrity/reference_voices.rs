//! How every voice of a run sounds at every position of its clip, and where a sound fits best.
//!
//! The likeness of two sounds is Pearson's correlation of their envelopes over time and bands,
//! after each band's mean over the window was taken off: a constant colouring of the sound counts
//! for nothing, and neither does what all voices have in common.

use std::sync::Arc;
use std::time::Duration;

use codec::{CodecError, Decoder};
use protocol::SampleRate;

use super::envelope::{self, BANDS, Envelope, EnvelopeMeter, SLOT};
use crate::voice::Voice;

/// The rate at which everything is compared.
pub(super) const RATE: SampleRate = SampleRate::HZ_24000;
/// Hops in a slot.
pub(super) const SLOT_HOPS: usize = 4;
/// Envelopes of a clip begin this many samples apart: 5 ms.
const HOP: usize = SLOT / SLOT_HOPS;
/// How long a hop is.
const HOP_TIME: Duration = Duration::from_millis(5);
/// How late the sound of a codec pass is, to the hop: 6.5 ms.
const PASS_HOPS: usize = 1;
/// Places of the first look that the second look goes to.
const CANDIDATES: usize = 8;

/// The envelopes of all voices of a run: 10 KB for a second of clip, and 4 ms to compute it.
#[derive(Debug)]
pub struct ReferenceVoices {
    clips: Vec<Clip>,
}

/// A clip that repeats, in the 20 ms that begin at each hop.
#[derive(Debug)]
struct Clip {
    envelopes: Vec<Envelope>,
    /// Whether it is no pause.
    active: Vec<bool>,
    /// Hops in a packet.
    frame_hops: u64,
}

/// Envelopes that were heard, each with its hop counted from the first, less their mean.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    slots: Vec<(usize, Envelope)>,
    square: f32,
}

/// Where a pattern fits, and how well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fit {
    pub(super) voice: usize,
    /// The hop of the clip with which the pattern begins.
    hop: usize,
    /// 1 the same, 0 unrelated.
    pub(super) similarity: f32,
}

impl Fit {
    /// The position in the clip with which the pattern begins.
    pub(super) fn position(self) -> Duration {
        HOP_TIME * u32::try_from(self.hop).expect("clips last minutes")
    }
}

impl ReferenceVoices {
    /// The envelopes of `voices`, those of the run in their order.
    ///
    /// # Errors
    /// [`CodecError`] when a packet does not decode or there is no memory for a codec.
    pub fn new(voices: &[Arc<Voice>]) -> Result<Self, CodecError> {
        let mut meter = EnvelopeMeter::new();
        let clips = voices.iter().map(|voice| Clip::new(voice, &mut meter));
        Ok(Self { clips: clips.collect::<Result<_, _>>()? })
    }

    /// Hops in a frame of `voice`.
    pub(super) fn frame_hops(&self, voice: usize) -> u64 {
        self.clips[voice].frame_hops
    }

    /// Whether `voice` speaks at `hop`, which may lie beyond the end of the clip.
    pub(super) fn speaks(&self, voice: usize, hop: u64) -> bool {
        let active = &self.clips[voice].active;
        active[usize::try_from(hop % active.len() as u64).expect("below a length")]
    }

    /// How well `pattern` fits `voice` where it begins at most `lag` hops before `hop`, which may
    /// lie beyond the end of the clip.
    pub(super) fn fit(&self, pattern: &Pattern, voice: usize, hop: u64, lag: usize) -> Fit {
        let hops = self.clips[voice].envelopes.len();
        let last = usize::try_from(hop % hops as u64).expect("below a length") + hops;
        self.best(pattern, (last - lag..=last).map(|hop| (voice, hop % hops)))
    }

    /// Where in all voices `pattern` fits best; some milliseconds for the 112 s of our voices.
    ///
    /// The first look goes where a frame of another device fits that passed a codec as ours did,
    /// which is within half a slot of any other place, and the second around the best of those.
    pub(super) fn search(&self, pattern: &Pattern) -> Fit {
        let coarse = self.clips.iter().enumerate().flat_map(|(voice, clip)| {
            let hops = (SLOT_HOPS - PASS_HOPS..clip.envelopes.len()).step_by(SLOT_HOPS);
            hops.map(move |hop| (voice, hop))
        });
        let mut fits: Vec<Fit> = coarse.map(|place| self.measure(pattern, place)).collect();
        fits.sort_unstable_by(|a, b| b.similarity.total_cmp(&a.similarity));
        fits.truncate(CANDIDATES);
        let around = fits.iter().flat_map(|fit| {
            let hops = self.clips[fit.voice].envelopes.len();
            let from = fit.hop + hops - SLOT_HOPS / 2;
            (from..=from + SLOT_HOPS).map(move |hop| (fit.voice, hop % hops))
        });
        self.best(pattern, around)
    }

    fn best(&self, pattern: &Pattern, places: impl Iterator<Item = (usize, usize)>) -> Fit {
        places
            .map(|place| self.measure(pattern, place))
            .max_by(|a, b| a.similarity.total_cmp(&b.similarity))
            .expect("a run has a voice and a voice has a packet")
    }

    fn measure(&self, pattern: &Pattern, (voice, hop): (usize, usize)) -> Fit {
        Fit { voice, hop, similarity: pattern.similarity(&self.clips[voice].envelopes, hop) }
    }
}

impl Clip {
    fn new(voice: &Voice, meter: &mut EnvelopeMeter) -> Result<Self, CodecError> {
        let samples = voice.frame.samples_at(RATE);
        let mut decoder = Decoder::new(RATE)?;
        // The last slots reach into the first packet, which comes again.
        let mut pcm = vec![0; samples * (voice.packets.len() + 1)];
        for (packet, pcm) in voice.packets.iter().cycle().zip(pcm.chunks_exact_mut(samples)) {
            decoder.decode(packet, pcm)?;
        }
        let hops = (0..pcm.len() - samples).step_by(HOP);
        let slot = |at: usize| pcm[at..].first_chunk().expect("a packet is at least a slot");
        let active = hops.clone().map(|at| envelope::is_active(slot(at))).collect();
        let envelopes = hops.map(|at| meter.envelope(slot(at))).collect();
        Ok(Self { envelopes, active, frame_hops: (samples / HOP) as u64 })
    }
}

impl Pattern {
    /// The pattern of `slots`, at least one.
    pub(super) fn new(mut slots: Vec<(usize, Envelope)>) -> Self {
        let count = slots.len() as f32;
        let mut square = 0.0;
        for band in 0..BANDS {
            let mean = slots.iter().map(|(_, envelope)| envelope[band]).sum::<f32>() / count;
            for (_, envelope) in &mut slots {
                envelope[band] -= mean;
                square += envelope[band] * envelope[band];
            }
        }
        Self { slots, square }
    }

    /// Correlation with what the clip has from `hop` on. The pattern is centred already, so the
    /// clip's means need not be taken off for the products, only for its own square.
    fn similarity(&self, clip: &[Envelope], hop: usize) -> f32 {
        let (mut sum, mut square, mut product) = ([0.0; BANDS], [0.0; BANDS], [0.0; BANDS]);
        for (later, heard) in &self.slots {
            let there = &clip[(hop + later) % clip.len()];
            for band in 0..BANDS {
                sum[band] += there[band];
                square[band] += there[band] * there[band];
                product[band] += there[band] * heard[band];
            }
        }
        let count = self.slots.len() as f32;
        let squares: f32 = square.iter().sum();
        let clip_square = squares - sum.iter().map(|sum| sum * sum / count).sum::<f32>();
        let scale = (self.square * clip_square.max(0.0)).sqrt();
        // What does not move, a hum or silence, is like nothing.
        if scale < 1e-3 { 0.0 } else { product.iter().sum::<f32>() / scale }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::VOICES;
    use super::*;

    fn references() -> ReferenceVoices {
        ReferenceVoices::new(&VOICES[..4]).unwrap()
    }

    /// A second of a voice's clip from `hop` on.
    fn second(references: &ReferenceVoices, voice: usize, hop: usize) -> Pattern {
        let clip = &references.clips[voice].envelopes;
        let slot = |n: usize| (n * SLOT_HOPS, clip[(hop + n * SLOT_HOPS) % clip.len()]);
        Pattern::new((0..50).map(slot).collect())
    }

    #[test]
    fn a_search_finds_each_place_to_the_hop_whatever_its_phase() {
        let references = references();
        for (voice, hop) in [(0, 200), (1, 401), (2, 602), (3, 803), (3, 1400)] {
            let fit = references.search(&second(&references, voice, hop));
            assert_eq!((fit.voice, fit.hop), (voice, hop));
            assert!(fit.similarity > 0.999, "{fit:?}");
        }
    }

    #[test]
    fn a_fit_looks_back_by_the_lag_and_around_the_end_of_the_clip() {
        let references = references();
        let hops = references.clips[2].envelopes.len();
        let pattern = second(&references, 2, hops - 2);
        for (expected, lag, found) in [(2, 4, true), (2, 3, false), (hops - 2, 0, true)] {
            for round in [0, 3] {
                let fit = references.fit(&pattern, 2, (expected + round * hops) as u64, lag);
                assert_eq!(fit.similarity > 0.999, found, "{expected} {lag} {fit:?}");
                assert_eq!(fit.hop == hops - 2, found);
            }
        }
    }

    #[test]
    fn what_does_not_move_is_like_nothing() {
        let references = references();
        let still = Pattern::new(vec![(0, [1.0; BANDS]), (4, [1.0; BANDS])]);
        assert_eq!(
            still.similarity(&references.clips[0].envelopes, 100).to_bits(),
            0.0f32.to_bits()
        );
    }
}
