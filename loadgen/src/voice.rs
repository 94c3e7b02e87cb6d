//! What devices say: clips of speech, encoded once and replayed.
//!
//! The voices that come with Din are stored as the packets that the firmware's encoder settings
//! make of them. With those settings they are replayed as they stand, so that the same seed sends
//! the same bytes on every machine, whatever its libopus; with other settings, and for files of
//! the user's own, the speech is encoded here.

use std::fmt;
use std::io::{Cursor, Read, Seek};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::{CodecError, Decoder, Encoder, EncoderSettings};
use ogg::PacketReader;
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};
use protocol::{FrameDuration, SampleRate};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

use crate::scenario::Group;

/// The longest clip that is kept: at 60 ms some 10,000 packets.
const MAX_CLIP_SECONDS: usize = 600;

/// One voice: the packets of a clip, replayed from the start when they end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// The file's name without its extension.
    pub name: String,
    /// Audio in each packet.
    pub frame: FrameDuration,
    /// Opus packets, each of one frame duration; at least one.
    pub packets: Vec<Box<[u8]>>,
}

impl Voice {
    /// The packet that stands at `share` of the clip, in 1/2³².
    pub fn packet_at(&self, share: u32) -> usize {
        let packets = self.packets.len() as u64;
        usize::try_from((packets * u64::from(share)) >> 32)
            .expect("an index below the number of packets")
    }
}

/// A clip that cannot be used.
#[derive(Debug)]
pub struct VoiceError {
    file: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(std::io::Error),
    UnknownForm,
    Wav(hound::Error),
    Ogg(ogg::OggReadError),
    NotOpus,
    Codec(CodecError),
    Resampling(String),
    TooShort,
    TooLong,
    PacketTooLong(usize),
}

impl fmt::Display for VoiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "audio file {}: ", self.file.display())?;
        match &self.why {
            Why::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Why::UnknownForm => {
                f.write_str("neither WAV nor Ogg; allowed are WAV (PCM) and Ogg Opus files")
            }
            Why::Wav(error) => write!(f, "not a readable WAV file: {error}"),
            Why::Ogg(error) => write!(f, "not a readable Ogg file: {error}"),
            Why::NotOpus => f.write_str("an Ogg file without Opus in it; only Ogg Opus is read"),
            Why::Codec(error) => write!(f, "{error}"),
            Why::Resampling(error) => write!(f, "cannot be resampled: {error}"),
            Why::TooShort => f.write_str("shorter than one frame"),
            Why::TooLong => write!(f, "longer than {MAX_CLIP_SECONDS} s, which is the most"),
            Why::PacketTooLong(bytes) => write!(
                f,
                "a packet of {bytes} bytes does not fit a datagram of {MAX_DATAGRAM}; lower devices.bitrate"
            ),
        }
    }
}

impl std::error::Error for VoiceError {}

macro_rules! our_voices {
    ($($name:literal)*) => {
        /// The voices that come with Din; their origin is noted beside them.
        const OURS: &[(&str, &[u8])] = &[
            $(($name, include_bytes!(concat!("../../scenarios/audio/", $name, ".opus"))),)*
        ];
    };
}

our_voices! {
    "01-claire" "02-magnus" "03-winston" "04-susan" "05-hamish" "06-ray" "07-linda" "08-nikolai"
    "09-edith" "10-mia" "11-angus" "12-ken" "13-lars" "14-diego" "15-aino" "16-giulia"
}

/// The voices of a run, and which of them each group of its devices speaks with.
#[derive(Clone, Debug)]
pub struct Voices {
    /// All of them.
    pub all: Vec<Arc<Voice>>,
    /// The voices of each group, in the order of the groups.
    pub of_group: Vec<Range<usize>>,
}

impl Voices {
    /// The voices of `groups`: each their files, or our own voices, as their encoder makes them.
    /// Groups that agree in both share their voices.
    ///
    /// # Errors
    /// [`VoiceError`] names the file and what is wrong with it.
    pub fn load(groups: &[Group]) -> Result<Self, VoiceError> {
        let mut voices = Self { all: Vec::new(), of_group: Vec::new() };
        for (index, group) in groups.iter().enumerate() {
            let alike =
                |other: &Group| other.audio == group.audio && other.encoder == group.encoder;
            let range = if let Some(known) = groups[..index].iter().position(alike) {
                voices.of_group[known].clone()
            } else {
                let start = voices.all.len();
                let loaded = load(&group.audio, &group.encoder)?;
                voices.all.extend(loaded.into_iter().map(Arc::new));
                start..voices.all.len()
            };
            voices.of_group.push(range);
        }
        Ok(voices)
    }
}

/// The voices in `files`, or our own when there are none.
///
/// # Errors
/// [`VoiceError`] names the file and what is wrong with it.
pub fn load(files: &[PathBuf], settings: &EncoderSettings) -> Result<Vec<Voice>, VoiceError> {
    if files.is_empty() {
        return ours(settings);
    }
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let read = || {
                let bytes = std::fs::read(file).map_err(Why::Unreadable)?;
                encode(&read_pcm(&bytes, settings.sample_rate)?, settings)
            };
            let packets = read().map_err(|why| VoiceError { file: file.clone(), why })?;
            Ok(Voice { name, frame: settings.frame, packets })
        })
        .collect()
}

/// Our own voices, as recorded where `settings` are those of the recording.
fn ours(settings: &EncoderSettings) -> Result<Vec<Voice>, VoiceError> {
    let as_recorded = *settings == EncoderSettings::firmware_uplink();
    OURS.iter()
        .map(|&(name, bytes)| {
            let packets = if as_recorded {
                opus_packets(bytes)
            } else {
                read_pcm(bytes, settings.sample_rate).and_then(|pcm| encode(&pcm, settings))
            };
            let packets =
                packets.map_err(|why| VoiceError { file: Path::new(name).to_owned(), why })?;
            Ok(Voice { name: name.to_owned(), frame: settings.frame, packets })
        })
        .collect()
}

fn encode(pcm: &[i16], settings: &EncoderSettings) -> Result<Vec<Box<[u8]>>, Why> {
    let samples = settings.frame.samples_at(settings.sample_rate);
    if pcm.len() > MAX_CLIP_SECONDS * settings.sample_rate.as_hertz() as usize {
        return Err(Why::TooLong);
    }
    let mut encoder = Encoder::new(settings).map_err(Why::Codec)?;
    // libopus writes at most this much, and shortens what would be longer.
    let mut buffer = [0; 4000];
    let mut packets = Vec::with_capacity(pcm.len() / samples);
    for frame in pcm.chunks_exact(samples) {
        let length = encoder.encode(frame, &mut buffer).map_err(Why::Codec)?;
        if length > MAX_DATAGRAM - HEADER_LEN {
            return Err(Why::PacketTooLong(length));
        }
        packets.push(buffer[..length].into());
    }
    if packets.is_empty() { Err(Why::TooShort) } else { Ok(packets) }
}

/// A clip as mono samples at `rate`.
fn read_pcm(bytes: &[u8], rate: SampleRate) -> Result<Vec<i16>, Why> {
    match bytes.get(..4) {
        Some(b"RIFF") => read_wav(bytes, rate),
        Some(b"OggS") => decode_opus(bytes, rate),
        _ => Err(Why::UnknownForm),
    }
}

fn read_wav(bytes: &[u8], rate: SampleRate) -> Result<Vec<i16>, Why> {
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(Why::Wav)?;
    let spec = reader.spec();
    let samples: Result<Vec<f32>, _> = match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().collect(),
        hound::SampleFormat::Int => {
            let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            reader
                .samples::<i32>()
                .map(|sample| sample.map(|sample| sample as f32 / full_scale))
                .collect()
        }
    };
    let samples = samples.map_err(Why::Wav)?;
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f32> = samples
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f32>() / channels as f32)
        .collect();
    let mono = if spec.sample_rate == rate.as_hertz() {
        mono
    } else {
        resample(&mono, spec.sample_rate, rate)?
    };
    Ok(mono.into_iter().map(to_i16).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i16 first")]
fn to_i16(sample: f32) -> i16 {
    (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16
}

fn resample(mono: &[f32], from: u32, to: SampleRate) -> Result<Vec<f32>, Why> {
    const CHUNK: usize = 1024;
    let failed = |error: &dyn fmt::Display| Why::Resampling(error.to_string());
    let ratio = f64::from(to.as_hertz()) / f64::from(from.max(1));
    let filter = SincInterpolationParameters::new(128, WindowFunction::BlackmanHarris2);
    let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &filter, CHUNK, 1, FixedAsync::Input)
        .map_err(|error| failed(&error))?;
    let input = InterleavedSlice::new(mono, 1, mono.len()).map_err(|error| failed(&error))?;
    let output = resampler.process_all(&input, mono.len(), None).map_err(|error| failed(&error))?;
    Ok(output.take_data())
}

/// The packets of an Ogg Opus file, without its two headers.
fn opus_packets(bytes: &[u8]) -> Result<Vec<Box<[u8]>>, Why> {
    let mut reader = PacketReader::new(Cursor::new(bytes));
    let head = next_packet(&mut reader)?.ok_or(Why::NotOpus)?;
    if !head.starts_with(b"OpusHead") {
        return Err(Why::NotOpus);
    }
    next_packet(&mut reader)?.ok_or(Why::NotOpus)?;
    let mut packets = Vec::new();
    while let Some(packet) = next_packet(&mut reader)? {
        if !packet.is_empty() {
            packets.push(packet.into_boxed_slice());
        }
    }
    if packets.is_empty() { Err(Why::TooShort) } else { Ok(packets) }
}

fn next_packet<T: Read + Seek>(reader: &mut PacketReader<T>) -> Result<Option<Vec<u8>>, Why> {
    Ok(reader.read_packet().map_err(Why::Ogg)?.map(|packet| packet.data))
}

fn decode_opus(bytes: &[u8], rate: SampleRate) -> Result<Vec<i16>, Why> {
    let mut decoder = Decoder::new(rate).map_err(Why::Codec)?;
    // 120 ms, the longest packet, at 48 kHz, the highest rate.
    let mut buffer = [0; 5760];
    let mut pcm = Vec::new();
    for packet in opus_packets(bytes)? {
        let samples = decoder.decode(&packet, &mut buffer).map_err(Why::Codec)?;
        pcm.extend_from_slice(&buffer[..samples]);
        if pcm.len() > MAX_CLIP_SECONDS * rate.as_hertz() as usize {
            return Err(Why::TooLong);
        }
    }
    Ok(pcm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::FrameDuration;
    use protocol::opus::PacketShape;
    use std::time::Duration;

    #[test]
    fn our_voices_are_sixteen_clips_of_five_seconds_in_the_firmwares_frames() {
        let voices = load(&[], &EncoderSettings::firmware_uplink()).unwrap();
        assert_eq!(voices.len(), 16);
        for voice in &voices {
            assert!(voice.packets.len() * 60 >= 5000, "{}", voice.name);
            for packet in &voice.packets {
                let shape = PacketShape::parse(packet).unwrap();
                assert_eq!(shape.duration(), Duration::from_millis(60), "{}", voice.name);
            }
        }
    }

    #[test]
    fn other_settings_encode_the_same_speech_anew() {
        let settings =
            EncoderSettings { frame: FrameDuration::MS_20, ..EncoderSettings::firmware_uplink() };
        let recorded = load(&[], &EncoderSettings::firmware_uplink()).unwrap();
        let encoded = load(&[], &settings).unwrap();
        for (recorded, encoded) in recorded.iter().zip(&encoded) {
            assert_eq!(encoded.packets.len(), recorded.packets.len() * 3);
            let shape = PacketShape::parse(&encoded.packets[0]).unwrap();
            assert_eq!(shape.duration(), Duration::from_millis(20));
        }
    }

    /// A sine wave as a WAV file.
    fn sine_wav(rate: u32, channels: u16, millis: u32) -> Vec<u8> {
        let spec = hound::WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        for n in 0..rate * millis / 1000 {
            let phase = n as f32 / rate as f32 * 440.0 * std::f32::consts::TAU;
            for _ in 0..channels {
                writer.write_sample(to_i16(phase.sin() * 0.3)).unwrap();
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    #[test]
    fn wav_files_of_any_rate_and_channels_become_mono_at_the_encoders_rate() {
        for (rate, channels) in [(16_000, 1), (44_100, 2), (8_000, 1), (48_000, 2)] {
            let pcm = read_pcm(&sine_wav(rate, channels, 1000), SampleRate::HZ_16000).unwrap();
            assert!(pcm.len().abs_diff(16_000) < 20, "{rate} Hz: {} samples", pcm.len());
            let crossings = pcm.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
            assert!(crossings.abs_diff(880) < 10, "{rate} Hz: {crossings} zero crossings");
            let peak = pcm[4000..12_000].iter().max().unwrap();
            assert!((9_300..10_300).contains(peak), "{rate} Hz: peak {peak}");
        }
    }

    #[test]
    fn files_that_are_no_usable_audio_say_why() {
        let dir = tempfile::tempdir().unwrap();
        let ogg_without_opus = {
            let mut writer = ogg::PacketWriter::new(Vec::new());
            writer
                .write_packet(b"vorbis".to_vec(), 1, ogg::PacketWriteEndInfo::EndStream, 0)
                .unwrap();
            writer.into_inner()
        };
        for (name, bytes, reason) in [
            ("empty.wav", Vec::new(), "neither WAV nor Ogg"),
            ("text.wav", b"hello world".to_vec(), "neither WAV nor Ogg"),
            ("cut.wav", b"RIFF\0\0".to_vec(), "not a readable WAV file"),
            ("cut.ogg", b"OggS\0\0".to_vec(), "not a readable Ogg file"),
            ("vorbis.ogg", ogg_without_opus, "without Opus"),
            ("short.wav", sine_wav(16_000, 1, 10), "shorter than one frame"),
        ] {
            let file = dir.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            let error = load(std::slice::from_ref(&file), &EncoderSettings::firmware_uplink())
                .unwrap_err()
                .to_string();
            assert!(error.contains(name) && error.contains(reason), "{error}");
        }
    }
}
