//! Records WAV clips as the voices that come with Din: Ogg Opus files of the firmware's settings.
//!
//! `cargo run -p loadgen --example record_voices -- OUT_DIR CLIP.wav…`

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use codec::EncoderSettings;
use loadgen::voice;
use ogg::{PacketWriteEndInfo, PacketWriter};

fn main() -> anyhow::Result<()> {
    let mut paths = std::env::args_os().skip(1).map(PathBuf::from);
    let out = paths.next().ok_or_else(|| anyhow::anyhow!("usage: OUT_DIR CLIP.wav…"))?;
    let files: Vec<PathBuf> = paths.collect();
    for voice in voice::load(&files, &EncoderSettings::firmware_uplink())? {
        record(&out.join(format!("{}.opus", voice.name)), &voice.packets)?;
    }
    Ok(())
}

/// An Ogg Opus stream (RFC 7845) of 60 ms packets, mono, recorded at 16 kHz.
fn record(path: &Path, packets: &[Box<[u8]>]) -> anyhow::Result<()> {
    const SAMPLES_AT_48_KHZ: u64 = 2880;
    const PRE_SKIP: u16 = 312;
    let mut head = b"OpusHead\x01\x01".to_vec();
    head.extend(PRE_SKIP.to_le_bytes());
    head.extend(16_000u32.to_le_bytes());
    head.extend([0, 0, 0]);
    let vendor = codec::library_version();
    let mut tags = b"OpusTags".to_vec();
    tags.extend(u32::try_from(vendor.len())?.to_le_bytes());
    tags.extend(vendor.as_bytes());
    tags.extend(0u32.to_le_bytes());

    let mut writer = PacketWriter::new(BufWriter::new(File::create(path)?));
    writer.write_packet(head, 1, PacketWriteEndInfo::EndPage, 0)?;
    writer.write_packet(tags, 1, PacketWriteEndInfo::EndPage, 0)?;
    for (packet, n) in packets.iter().zip(1..) {
        let end = if n == packets.len() as u64 {
            PacketWriteEndInfo::EndStream
        } else {
            PacketWriteEndInfo::NormalPacket
        };
        writer.write_packet(packet.to_vec(), 1, end, n * SAMPLES_AT_48_KHZ)?;
    }
    Ok(())
}
