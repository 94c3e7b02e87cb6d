use super::super::reference_voices::RATE;
use super::super::testing::{VOICES, heard, spoken};
use super::*;
use codec::{Bitrate, Complexity, Decoder, EncoderSettings};
use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::packet::HEADER_LEN;
use protocol::{FrameDuration, MediaTimestamp, Sequence, Ssrc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::sync::LazyLock;

static REFERENCES: LazyLock<Arc<ReferenceVoices>> =
    LazyLock::new(|| Arc::new(ReferenceVoices::new(&VOICES).unwrap()));

/// A second of active speech and its pauses, once.
const ONE_WINDOW: usize = 32;

fn gateway() -> EncoderSettings {
    EncoderSettings::gateway_downlink()
}

fn at_bitrate(bits_per_second: u64) -> EncoderSettings {
    let bitrate = Bitrate::from_bits_per_second(bits_per_second).unwrap();
    EncoderSettings { bitrate, ..gateway() }
}

/// What a device hears when it is answered with `voice` from its packet `first` on.
fn answers(voice: usize, first: usize, frames: usize) -> Vec<Vec<i16>> {
    heard(spoken(voice, first, frames), &gateway())
}

/// The evidence of a device that says `voice` from `first_packet` on and hears these answers.
fn evidence<'a>(
    voice: usize,
    first_packet: usize,
    answers: impl IntoIterator<Item = (u64, &'a Vec<i16>)>,
) -> Vec<Evidence> {
    let mut recogniser = Recogniser::new(Arc::clone(&REFERENCES));
    let mut stream = Stream::new(Speech { voice, first_packet });
    let mut hear = |(frame, pcm): (u64, &'a Vec<i16>)| recogniser.hear(&mut stream, frame, pcm);
    answers.into_iter().filter_map(&mut hear).collect()
}

/// Asserts that all evidence is of the device's own speech, at least this alike.
fn assert_own(evidence: &[Evidence], at_least: f32, case: &str) {
    let own = |evidence: &Evidence| matches!(evidence, Evidence::Own { similarity } if *similarity >= at_least);
    assert!(evidence.len() >= 3 && evidence.iter().all(own), "{case}: {evidence:?}");
}

/// When the speech of a voice begins after its packet `first`, to a slot, as the gateway's codec
/// delays it.
fn speech_begins(answers: &[Vec<i16>], first: usize) -> Duration {
    let mut meter = EnvelopeMeter::new();
    let slots = answers.iter().flat_map(|pcm| pcm.as_chunks::<SLOT>().0);
    let pause = slots.take_while(|slot| meter.active(slot).is_none()).count();
    let millis = first * 60 + pause * 20;
    Duration::from_millis(millis as u64)
}

fn assert_foreign(evidence: &[Evidence], expected_voice: usize, begins: Duration, case: &str) {
    let [Evidence::Foreign { voice, position, similarity }, ..] = *evidence else {
        panic!("{case}: {evidence:?}");
    };
    assert_eq!(voice, expected_voice, "{case}");
    // The codec's delay of 6.5 ms, to 5 ms.
    let late = begins.saturating_sub(position);
    let near = (Duration::from_millis(5)..=Duration::from_millis(10)).contains(&late);
    assert!(near, "{case}: {position:?} for {begins:?}");
    assert!(similarity > 0.9, "{case}: {similarity}");
}

#[test]
fn every_voice_is_its_devices_own_after_a_transcode_also_when_the_clip_repeats() {
    for (voice, clip) in VOICES.iter().enumerate() {
        let first = 7 * voice;
        let answers = answers(voice, first, clip.packets.len() + 20);
        assert_own(&evidence(voice, first, (0..).zip(&answers)), 0.9, &clip.name);
    }
}

#[test]
fn every_voice_is_named_to_a_device_of_another() {
    for (voice, clip) in VOICES.iter().enumerate() {
        let first = 5 * voice;
        let answers = answers(voice, first, ONE_WINDOW);
        let evidence = evidence((voice + 5) % 16, 11, (0..).zip(&answers));
        assert_foreign(&evidence, voice, speech_begins(&answers, first), &clip.name);
    }
}

#[test]
fn the_same_voice_elsewhere_is_not_the_devices_own() {
    for (voice, clip) in VOICES.iter().enumerate() {
        let first = 40;
        let answers = answers(voice, first, ONE_WINDOW);
        let begins = speech_begins(&answers, first);
        // A frame late, a frame early, another device of that voice.
        let expected = [first - 1, first + 1, first + 30][voice % 3];
        let evidence = evidence(voice, expected, (0..).zip(&answers));
        assert_foreign(&evidence, voice, begins, &clip.name);
    }
}

#[test]
fn other_encoders_and_loudness_leave_it_recognisable() {
    let silk = EncoderSettings { voice_signal: true, ..at_bitrate(12_000) };
    let cheap = EncoderSettings { complexity: Complexity::MIN, ..gateway() };
    let all = [(silk, 0.85), (cheap, 0.9), (at_bitrate(16_000), 0.85), (at_bitrate(6_000), SAME)];
    for (settings, at_least) in all {
        for voice in [1, 6, 9, 14] {
            let mut answers = heard(spoken(voice, 30, 120), &settings);
            let case = format!("{settings:?} {}", VOICES[voice].name);
            assert_own(&evidence(voice, 30, (0..).zip(&answers)), at_least, &case);
            for sample in answers.iter_mut().flatten() {
                *sample /= 2;
            }
            assert_own(&evidence(voice, 30, (0..).zip(&answers)), at_least, &case);
        }
    }
}

#[test]
fn lost_and_late_answers_leave_it_recognisable() {
    let answers = answers(4, 0, 150);
    let numbered: Vec<(u64, &Vec<i16>)> = (0..).zip(&answers).collect();
    let lossy = numbered.iter().copied().filter(|(frame, _)| frame % 5 > 1);
    assert_own(&evidence(4, 0, lossy), 0.9, "two of five lost");
    let mut swapped = numbered.clone();
    swapped.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    assert_own(&evidence(4, 0, swapped), 0.9, "of each two the first comes late");
    let repeated = numbered.iter().flat_map(|&answer| [answer, answer]);
    assert_eq!(evidence(4, 0, repeated), evidence(4, 0, numbered), "each twice");
}

#[test]
fn noise_and_what_a_wrong_key_leaves_is_unrecognised() {
    let mut rng = StdRng::seed_from_u64(1);
    let noise: Vec<Vec<i16>> =
        (0..60).map(|_| (0..1440).map(|_| rng.random_range(-4000..4000)).collect()).collect();
    let cipher =
        |key| MediaCipher::new(&MediaKey::new([key; 16]), NonceTemplate::new(Ssrc::new(1), 0));
    let mut decoder = Decoder::new(RATE).unwrap();
    let garbled = spoken(2, 0, 120).map(|packet| {
        let mut datagram = [&[0; HEADER_LEN], packet].concat();
        cipher(1).seal(MediaTimestamp::from_millis(60), Sequence::FIRST, &mut datagram);
        let (_, opened) = cipher(2).open(&mut datagram).unwrap();
        // At worst it has a frame's duration.
        opened[0] = packet[0];
        let mut pcm = vec![0; 1440];
        decoder.decode(opened, &mut pcm).unwrap();
        pcm
    });
    for (answers, case) in [(noise, "noise"), (garbled.collect(), "wrong key")] {
        let evidence = evidence(2, 0, (0..).zip(&answers));
        assert!(evidence.len() >= 2, "{case}: {evidence:?}");
        assert!(evidence.iter().all(|it| *it == Evidence::Unrecognised), "{case}: {evidence:?}");
    }
}

#[test]
fn a_voice_of_nobody_in_the_run_is_unrecognised() {
    let half = ReferenceVoices::new(&VOICES[..4]).unwrap();
    let mut recogniser = Recogniser::new(Arc::new(half));
    for (voice, clip) in VOICES.iter().enumerate().skip(4) {
        let mut stream = Stream::new(Speech { voice: voice % 4, first_packet: 0 });
        let answers = answers(voice, 0, 2 * ONE_WINDOW);
        let heard = (0..).zip(&answers).filter_map(|(n, pcm)| recogniser.hear(&mut stream, n, pcm));
        let evidence: Vec<_> = heard.collect();
        assert!(!evidence.is_empty(), "{}", clip.name);
        assert!(evidence.iter().all(|it| *it == Evidence::Unrecognised), "{}", clip.name);
    }
}

#[test]
fn silence_is_found_where_the_device_spoke_for_two_seconds_and_not_before() {
    let silence = vec![vec![0; 1440]; 200];
    for voice in (0..VOICES.len()).step_by(5) {
        assert_eq!(evidence(voice, 0, (0..).zip(&silence[..33])), [], "{voice}");
        let found = evidence(voice, 0, (0..).zip(&silence));
        assert!(found.len() >= 3, "{voice}: {found:?}");
        assert!(found.iter().all(|it| *it == Evidence::Silent), "{voice}: {found:?}");
        // Nor where most of it comes back: a gateway that cuts every third answer to nothing.
        let mut cut = answers(voice, 0, 100);
        cut.iter_mut().step_by(3).for_each(|pcm| pcm.fill(0));
        let found = evidence(voice, 0, (0..).zip(&cut));
        assert!(!found.is_empty() && !found.contains(&Evidence::Silent), "{voice}: {found:?}");
    }
    // What was never answered is lost and not silent.
    assert_eq!(evidence(0, 0, (0..).step_by(50).zip(&silence[..8])), []);
}

#[test]
fn a_hum_is_no_speech() {
    let square: Vec<i16> = (0..1440).map(|n| if n / 120 % 2 == 0 { 3000 } else { -3000 }).collect();
    let hum = vec![square; 20];
    assert_eq!(evidence(0, 0, (0..).zip(&hum)), [Evidence::Unrecognised]);
}

#[test]
fn frames_of_20_ms_are_placed_as_those_of_60_are() {
    let frame = FrameDuration::MS_20;
    let uplink = EncoderSettings { frame, ..EncoderSettings::firmware_uplink() };
    let voices: Vec<_> =
        crate::voice::load(&[], &uplink).unwrap().into_iter().take(2).map(Arc::new).collect();
    let mut recogniser = Recogniser::new(Arc::new(ReferenceVoices::new(&voices).unwrap()));
    let packets = voices[1].packets.iter().map(AsRef::as_ref).cycle().skip(100).take(300);
    let answers = heard(packets, &EncoderSettings { frame, ..gateway() });
    for (first_packet, own) in [(100, true), (103, false)] {
        let mut stream = Stream::new(Speech { voice: 1, first_packet });
        let heard = (0..).zip(&answers).filter_map(|(n, pcm)| recogniser.hear(&mut stream, n, pcm));
        let evidence: Vec<_> = heard.collect();
        assert!(evidence.len() >= 3);
        for it in evidence {
            let is_own = matches!(it, Evidence::Own { .. });
            assert_eq!(is_own, own, "{first_packet}: {it:?}");
        }
    }
}
