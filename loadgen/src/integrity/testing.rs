//! What the tests of the checks share: our voices, and a gateway that encodes anew.

use std::sync::{Arc, LazyLock};

use codec::{Decoder, Encoder, EncoderSettings};
use protocol::SampleRate;
use protocol::packet::MAX_DATAGRAM;

use crate::voice::{self, Voice};

/// The voices that come with Din.
pub(super) static VOICES: LazyLock<Vec<Arc<Voice>>> = LazyLock::new(|| {
    let voices = voice::load(&[], &EncoderSettings::firmware_uplink()).expect("ours are usable");
    voices.into_iter().map(Arc::new).collect()
});

/// `count` packets of `voice` from `first` on, as a device sends them.
pub(super) fn spoken(
    voice: usize,
    first: usize,
    count: usize,
) -> impl Iterator<Item = &'static [u8]> {
    VOICES[voice].packets.iter().map(AsRef::as_ref).cycle().skip(first).take(count)
}

/// What a device hears of `packets` through a gateway that encodes with `settings`.
pub(super) fn heard<'a>(
    packets: impl Iterator<Item = &'a [u8]>,
    settings: &EncoderSettings,
) -> Vec<Vec<i16>> {
    let decoder = || Decoder::new(SampleRate::HZ_24000).unwrap();
    let (mut gateway, mut device) = (decoder(), decoder());
    let mut encoder = Encoder::new(settings).unwrap();
    let pass = |packet: &[u8]| {
        let mut pcm = vec![0; settings.frame_samples()];
        let mut answer = [0; MAX_DATAGRAM];
        gateway.decode(packet, &mut pcm).unwrap();
        let len = encoder.encode(&pcm, &mut answer).unwrap();
        device.decode(&answer[..len], &mut pcm).unwrap();
        pcm
    };
    packets.map(pass).collect()
}
