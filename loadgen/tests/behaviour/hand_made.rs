//! Gateways made by hand, for what no reference gateway would do: each is a few closures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::packet::{HEADER_LEN, Header};
use serde_json::{Value, json};

use crate::common::{Bench, end};

/// A gateway that answers each message of a device with the messages that `answers` gives, all in
/// one write. The connection's number is counted from 0, the preflight's.
pub(crate) fn gateway(
    answers: impl Fn(usize, &Value) -> Vec<Value> + Send + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (number, connection) in listener.incoming().enumerate() {
            let answers = answers.clone();
            thread::spawn(move || {
                converse(connection.unwrap(), |message| answers(number, message));
            });
        }
    });
    addr
}

/// A gateway that lets everybody in and answers each media packet with what `answer` makes of it,
/// which is also told how many came before.
pub(crate) fn media_gateway(
    answer: impl FnMut(u64, &[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> SocketAddr {
    let port = media(answer);
    gateway(
        move |number, message| {
            if is_hello(message) { vec![grant_on(port, number)] } else { vec![] }
        },
    )
}

/// Answers every datagram on a port of its own.
fn media(mut answer: impl FnMut(u64, &[u8]) -> Option<Vec<u8>> + Send + 'static) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut datagram = [0; 2048];
        for number in 0.. {
            let (length, device) = socket.recv_from(&mut datagram).unwrap();
            if let Some(answer) = answer(number, &datagram[..length]) {
                // A device that has hung up hears no more.
                let _ = socket.send_to(&answer, device);
            }
        }
    });
    port
}

/// Reads MQTT packets until the connection ends; every PUBLISH is answered.
fn converse(mut connection: TcpStream, answers: impl Fn(&Value) -> Vec<Value>) {
    while let Ok((kind, body)) = read_packet(&mut connection) {
        let reply = match kind >> 4 {
            1 => vec![0x20, 2, 0, 0],
            3 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let message = serde_json::from_slice(&body[2 + topic..]).unwrap();
                answers(&message).iter().flat_map(publish).collect()
            }
            _ => continue,
        };
        if connection.write_all(&reply).is_err() {
            return;
        }
    }
}

fn read_packet(connection: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    connection.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        connection.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((kind, body))
}

fn publish(message: &Value) -> Vec<u8> {
    let (topic, payload) = ("devices/p2p/x", message.to_string());
    let mut length = 2 + topic.len() + payload.len();
    let mut packet = vec![0x30];
    while length >= 0x80 {
        packet.push(u8::try_from(length & 0x7F).unwrap() | 0x80);
        length >>= 7;
    }
    packet.push(u8::try_from(length).unwrap());
    packet.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload.as_bytes());
    packet
}

/// A hello that grants audio on a port where nobody answers.
pub(crate) fn grant(number: usize) -> Value {
    grant_on(9, number)
}

/// A hello that grants audio on `port`, with a key and an ssrc of its own for each number.
pub(crate) fn grant_on(port: u16, number: usize) -> Value {
    let nonce = format!("01000000{number:08x}{}", "0".repeat(16));
    json!({
        "type": "hello", "version": 3, "session_id": format!("s{number}"), "transport": "udp",
        "udp": { "server": "127.0.0.1", "port": port, "encryption": "aes-128-ctr",
                 "key": format!("{number:032x}"), "nonce": nonce },
        "audio_params": { "format": "opus", "sample_rate": 24000, "channels": 1, "frame_duration": 60 },
    })
}

pub(crate) fn is_hello(message: &Value) -> bool {
    message["type"] == "hello"
}

/// `payload` as the answer to `datagram`: sealed with its session's key under its timestamp and
/// sequence, with these `flags`.
pub(crate) fn sealed(datagram: &[u8], flags: u8, payload: &[u8]) -> Vec<u8> {
    let header = Header::decode(datagram).expect("devices send media packets");
    let key = MediaKey::from_hex(&format!("{:032x}", header.ssrc.get())).unwrap();
    let cipher = MediaCipher::new(&key, NonceTemplate::new(header.ssrc, flags));
    let mut answer = [&[0; HEADER_LEN], payload].concat();
    cipher.seal(header.timestamp, header.sequence, &mut answer);
    answer
}

/// What a device sent, opened with its session's key.
pub(crate) fn opened(datagram: &[u8]) -> Vec<u8> {
    let header = Header::decode(datagram).expect("devices send media packets");
    let key = MediaKey::from_hex(&format!("{:032x}", header.ssrc.get())).unwrap();
    let cipher = MediaCipher::new(&key, NonceTemplate::new(header.ssrc, 0));
    let mut datagram = datagram.to_vec();
    cipher.open(&mut datagram).unwrap().1.to_vec()
}

/// Runs the bench's scenario against `target`; the exit code, and all that was printed.
pub(crate) fn run_against(
    bench: &Bench,
    target: SocketAddr,
    sets: &[&str],
) -> (Option<i32>, String) {
    let mut command = bench.din_run();
    command.args(["--target", &format!("mqtt://{target}"), "--set", "drain=100ms"]);
    command.args(sets.iter().flat_map(|set| ["--set", set]));
    let ended = end(command);
    (ended.code, ended.stdout + &ended.stderr)
}
