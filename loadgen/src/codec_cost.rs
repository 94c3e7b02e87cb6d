//! What it costs to decode a frame and to encode it anew, as the reference gateway does.

use std::time::Duration;

use codec::{Decoder, Encoder, EncoderSettings};
use measure::{Distribution, Quantity};
use platform::thread_cpu_time;
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};

/// What frames cost, and what came of them.
pub(crate) struct CodecCost {
    /// Processor time for each packet, in nanoseconds.
    pub(crate) decode: Distribution,
    /// Processor time for each frame, in nanoseconds.
    pub(crate) encode: Distribution,
    /// Bytes of all that was encoded.
    pub(crate) encoded_bytes: usize,
}

impl CodecCost {
    /// Codes all of `packets` anew as `settings` say, as one stream: a change of speaker costs no more
    /// than a frame.
    ///
    /// # Errors
    /// Those of the codec.
    pub(crate) fn measure<'a>(
        packets: impl Iterator<Item = &'a [u8]>,
        settings: &EncoderSettings,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let mut decoder = Decoder::new(settings.sample_rate)?;
        let mut encoder = Encoder::new(settings)?;
        let mut pcm = vec![0; settings.frame_samples()];
        let mut answer = [0; MAX_DATAGRAM - HEADER_LEN];
        let new = || Distribution::new(Quantity::Time);
        let mut cost = Self { decode: new(), encode: new(), encoded_bytes: 0 };
        for packet in packets {
            let begun = thread_cpu_time();
            let samples = decoder.decode(packet, &mut pcm)?;
            let decoded = thread_cpu_time();
            cost.encoded_bytes += encoder.encode(&pcm[..samples], &mut answer)?;
            let encoded = thread_cpu_time();
            // Processor time: what else runs on this host is no cost of the codec's.
            record(&mut cost.decode, decoded.saturating_sub(begun));
            record(&mut cost.encode, encoded.saturating_sub(decoded));
        }
        Ok(cost)
    }
}

fn record(times: &mut Distribution, time: Duration) {
    times.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
}
