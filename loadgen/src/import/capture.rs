//! UDP datagrams of a packet capture, one after the other, in memory that does not grow with the file.
//!
//! pcap and pcapng, on Ethernet (VLAN tags included), Linux "cooked" (`tcpdump -i any`), BSD loopback
//! or bare IP, IPv4 or IPv6. A packet that the capture cut short (snaplen) is still handed over: what
//! importers need is in its first bytes. A capture that ends in the middle of a packet, as those of a
//! killed `tcpdump` do, is good up to there, and says so.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// The largest block of a capture that is read; packets are far below.
const BUFFER: usize = 1 << 20;

/// Before the bytes of a datagram.
const UDP_HEADER: usize = 8;

/// One UDP datagram as it was captured.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// When, since 1970.
    pub at: Duration,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Its bytes, or those of its first bytes that were captured.
    pub bytes: &'a [u8],
    /// How long it was on the wire, in bytes.
    pub wire_len: usize,
}

/// What was in a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Packets of any kind.
    pub packets: u64,
    /// UDP datagrams of them.
    pub datagrams: u64,
    /// UDP datagrams that were captured in part only.
    pub cut_short: u64,
    /// Whether the file ends in the middle of a packet.
    pub truncated: bool,
}

/// How packets begin on an interface, and in what unit it counts time.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units a second.
    resolution: u64,
    /// Seconds that are added to each time.
    offset: i64,
}

/// Reads a capture, handing each UDP datagram to `each`.
///
/// # Errors
/// When the file is no capture, is damaged, or is of a link that is not known.
pub fn datagrams(
    file: impl Read + Send,
    mut each: impl FnMut(Datagram<'_>) -> Result<(), String>,
) -> Result<Contents, String> {
    let mut reader = match create_reader(BUFFER, file) {
        Ok(reader) => reader,
        Err(PcapError::Eof) => return Err("the file is empty".to_owned()),
        Err(PcapError::ReadError) => return Err("the file cannot be read".to_owned()),
        Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => {
            return Err("the file ends within its first 24 bytes: no packet is in it".to_owned());
        }
        Err(_) => {
            let what = "this is no capture: it begins neither as pcap nor as pcapng does; \
                        write one with `tcpdump -w FILE udp`";
            return Err(what.to_owned());
        }
    };
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut contents = Contents::default();
    // A block that does not get longer by reading on is the file's last, and not whole.
    let mut waited_for = None;
    let mut is_ng = false;
    loop {
        if is_ng && is_shorter_than_a_block(reader.data()) {
            let after = contents.packets;
            return Err(format!(
                "damaged after packet {after}: a block shorter than its own frame"
            ));
        }
        match reader.next() {
            Ok((length, block)) => {
                waited_for = None;
                is_ng = matches!(block, PcapBlockOwned::NG(_));
                let packet = read_block(&block, &mut interfaces)?;
                if let Some((interface, at, bytes)) = packet {
                    contents.packets += 1;
                    let number = contents.packets;
                    let found = datagram(interface.link, at, bytes)
                        .map_err(|what| format!("packet {number}: {what}"))?;
                    if let Some(datagram) = found {
                        contents.datagrams += 1;
                        contents.cut_short += u64::from(datagram.bytes.len() < datagram.wire_len);
                        each(datagram)?;
                    }
                }
                reader.consume(length);
            }
            Err(PcapError::Eof) => return Ok(contents),
            Err(PcapError::UnexpectedEof) => {
                return Ok(Contents { truncated: true, ..contents });
            }
            Err(PcapError::Incomplete(_)) => {
                let there = reader.data().len();
                if reader.reader_exhausted() || waited_for == Some(there) {
                    return Ok(Contents { truncated: there > 0, ..contents });
                }
                waited_for = Some(there);
                reader.refill().map_err(|_| "the file cannot be read further".to_owned())?;
            }
            Err(PcapError::BufferTooSmall) => {
                let after = contents.packets;
                return Err(format!("damaged after packet {after}: a block of over 1 MiB"));
            }
            Err(_) => {
                let after = contents.packets;
                return Err(format!("damaged after packet {after}: what follows is no packet"));
            }
        }
    }
}

/// Whether a block of pcapng says to be shorter than its type and its two lengths: pcap-parser 0.17 does
/// not look, and subtracts. In the other byte order such a length is larger than any block that is read.
fn is_shorter_than_a_block(data: &[u8]) -> bool {
    let Some(&length) = data.get(4..).and_then(<[u8]>::first_chunk) else { return false };
    u32::from_le_bytes(length) < 12 || u32::from_be_bytes(length) < 12
}

type Packet<'a> = (Interface, Duration, &'a [u8]);

fn read_block<'a>(
    block: &'a PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Packet<'a>>, String> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution =
                if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link: header.network, resolution, offset: 0 });
            Ok(None)
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interface(interfaces, 0)?;
            let nanos = u64::from(packet.ts_usec) * (1_000_000_000 / interface.resolution);
            let at = Duration::from_secs(packet.ts_sec.into()) + Duration::from_nanos(nanos);
            Ok(Some((interface, at, within(packet.data, packet.caplen))))
        }
        // A file may hold several captures; each counts its interfaces anew.
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            Ok(None)
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            let resolution = block.ts_resolution().filter(|units| *units > 0);
            interfaces.push(Interface {
                link: block.linktype,
                resolution: resolution.ok_or("an interface counts time in an unknown unit")?,
                offset: block.ts_offset(),
            });
            Ok(None)
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = interface(interfaces, packet.if_id)?;
            let units = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
            let whole = (units / interface.resolution).saturating_add_signed(interface.offset);
            let rest = u128::from(units % interface.resolution) * 1_000_000_000
                / u128::from(interface.resolution);
            let rest = Duration::from_nanos(u64::try_from(rest).unwrap_or(0));
            let at = Duration::from_secs(whole).saturating_add(rest);
            Ok(Some((interface, at, packet.packet_data())))
        }
        PcapBlockOwned::NG(Block::SimplePacket(_)) => {
            Err("its packets carry no times (simple packet blocks)".to_owned())
        }
        PcapBlockOwned::NG(_) => Ok(None),
    }
}

fn interface(interfaces: &[Interface], number: u32) -> Result<Interface, String> {
    let found = usize::try_from(number).ok().and_then(|number| interfaces.get(number));
    found.copied().ok_or_else(|| format!("damaged: a packet of interface {number}, not described"))
}

fn within(data: &[u8], length: u32) -> &[u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    &data[..length.min(data.len())]
}

/// The datagram in a packet, if it is one of UDP.
fn datagram(link: Linktype, at: Duration, packet: &[u8]) -> Result<Option<Datagram<'_>>, String> {
    const LINUX_COOKED_2: Linktype = Linktype(276);
    let ip =
        |skip: usize| packet.get(skip..).and_then(|inner| LaxSlicedPacket::from_ip(inner).ok());
    let sliced = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(packet).ok(),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => ip(0),
        Linktype::NULL | Linktype::LOOP => ip(4),
        Linktype::LINUX_SLL => ip(16),
        LINUX_COOKED_2 => ip(20),
        Linktype(other) => {
            return Err(format!(
                "link type {other} is not known; known are Ethernet, Linux cooked, loopback and \
                 bare IP: capture on an interface of those, for example with `tcpdump -i any`"
            ));
        }
    };
    Ok(sliced.and_then(|sliced| udp(&sliced, at)))
}

fn udp<'a>(packet: &LaxSlicedPacket<'a>, at: Duration) -> Option<Datagram<'a>> {
    let (source, destination): (IpAddr, IpAddr) = match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into())
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            (header.source_addr().into(), header.destination_addr().into())
        }
        LaxNetSlice::Arp(_) => return None,
    };
    let TransportSlice::Udp(udp) = packet.transport.as_ref()? else { return None };
    let bytes = udp.payload();
    let said = usize::from(udp.length()).saturating_sub(UDP_HEADER);
    Some(Datagram {
        at,
        source: SocketAddr::new(source, udp.source_port()),
        destination: SocketAddr::new(destination, udp.destination_port()),
        bytes,
        wire_len: said.max(bytes.len()),
    })
}
