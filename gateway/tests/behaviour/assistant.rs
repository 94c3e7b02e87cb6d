//! A device talks to the assistant: listens, is spoken to, interrupts, hangs up.

use crate::fixture::{
    CLIENT_ID, Call, Client, assert_accounts_close, callers, settings, start, until_settled,
};
use gateway::{Backend, RunningGateway, Settings};
use protocol::FrameDuration;
use protocol::control::{
    Abort, DeviceMessage, GatewayMessage, Goodbye, Listen, ListenState, TtsState,
};
use protocol::opus::PacketShape;
use protocol::packet::DOWNLINK_FLAG;

fn assistant(think: &str, speak: &str) -> RunningGateway {
    start(Backend::Assistant, |settings| {
        settings.backend.assistant.think = think.parse().unwrap();
        settings.backend.assistant.speak = speak.parse().unwrap();
    })
}

fn listen(state: ListenState) -> DeviceMessage {
    DeviceMessage::Listen(Listen { session_id: None, state, mode: None, text: None })
}

fn abort() -> DeviceMessage {
    DeviceMessage::Abort(Abort { session_id: None, reason: None })
}

/// Says three frames between start and stop.
fn listens(client: &mut Client, call: &mut Call, gateway: &RunningGateway) {
    client.say(&listen(ListenState::Start));
    client.ping();
    let before = gateway.counters().frames_settled;
    for _ in 0..3 {
        call.send_next();
    }
    until_settled(gateway, before + 3);
    client.say(&listen(ListenState::Stop));
}

/// What is said until speech is over, in short.
fn hears(client: &mut Client) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        match client.hear() {
            GatewayMessage::Stt(stt) => said.push(format!("stt {}", !stt.text.is_empty())),
            GatewayMessage::Llm(_) => said.push("llm".to_owned()),
            GatewayMessage::Tts(tts) => {
                said.push(format!("{:?}", tts.state));
                if tts.state == TtsState::Stop {
                    return said;
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

const SPEECH: [&str; 5] = ["stt true", "llm", "Start", "SentenceStart", "Stop"];

#[test]
fn a_turn_is_answered_with_speech_at_its_pace_and_sequences_go_on() {
    let gateway = assistant("1ms", "400ms");
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    let mut media_time = 0;
    for turn in 0..2 {
        listens(&mut client, &mut call, &gateway);
        assert_eq!(hears(&mut client), SPEECH);
        let speech = call.heard();
        assert_eq!(speech.len(), 7, "400 ms are seven frames");
        for (frame, (header, payload)) in (1..).zip(&speech) {
            assert_eq!((header.sequence.get(), header.flags), (turn * 7 + frame, DOWNLINK_FLAG));
            assert_eq!(header.ssrc, call.grant.nonce.ssrc());
            assert!(header.timestamp.as_millis() > media_time);
            media_time = header.timestamp.as_millis();
            let shape = PacketShape::parse(payload).unwrap();
            assert_eq!(shape.duration(), FrameDuration::MS_60.as_duration());
        }
        let times: Vec<_> = speech.iter().map(|(header, _)| header.timestamp.as_millis()).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 60), "{times:?}");
    }
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.frames_heard, counters.frames_out, counters.speech_frames), (6, 0, 14));
    assert_eq!((counters.turns, counters.turns_interrupted, counters.speech_lost), (2, 0, 0));
    assert_accounts_close(&counters);
}

#[test]
fn an_interruption_silences_it_at_once() {
    let gateway = assistant("1ms", "60s");
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    listens(&mut client, &mut call, &gateway);
    let (first, _) = call.hear();
    assert_eq!(first.sequence.get(), 1);
    client.say(&abort());
    assert_eq!(hears(&mut client), SPEECH);
    // What was sent before the end was told is here; nothing follows it, as the counter shows.
    let heard = 1 + call.heard().len() as u64;
    listens(&mut client, &mut call, &gateway);
    let (next, _) = call.hear();
    assert_eq!(u64::from(next.sequence.get()), heard + 1, "the next turn goes on right there");
    client.say(&listen(ListenState::Start));
    assert_eq!(hears(&mut client), SPEECH, "who begins to listen interrupts as well");
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.turns, counters.turns_interrupted), (2, 2));
    assert_accounts_close(&counters);
}

#[test]
fn who_hangs_up_in_mid_speech_is_spoken_to_no_more() {
    let gateway = assistant("1ms", "60s");
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let mut call = client.call();
    listens(&mut client, &mut call, &gateway);
    while !matches!(client.hear(), GatewayMessage::Tts(tts) if tts.state == TtsState::SentenceStart)
    {
    }
    call.hear();
    client.say(&DeviceMessage::Goodbye(Goodbye::default()));
    client.ping();
    let sent = gateway.counters().speech_frames;
    // A new session of the same device, spoken to in its turn: the old one has not gone on.
    let mut again = client.call();
    listens(&mut client, &mut again, &gateway);
    let (header, _) = again.hear();
    assert_eq!((header.sequence.get(), header.ssrc), (1, again.grant.nonce.ssrc()));
    client.say(&abort());
    hears(&mut client);
    let counted = gateway.counters().speech_frames - sent;
    assert_eq!(counted, 1 + again.heard().len() as u64);
    drop(client);
    assert_accounts_close(&gateway.stop().unwrap());
}

#[test]
fn who_says_nothing_is_told_that_nothing_was_understood() {
    let gateway = assistant("1ms", "400ms");
    let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
    let call = client.call();
    client.say(&listen(ListenState::Start));
    client.say(&listen(ListenState::Stop));
    assert_eq!(hears(&mut client), ["stt false", "Stop"]);
    assert!(call.heard().is_empty());
    client.say(&abort());
    client.ping();
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.turns, counters.turns_interrupted, counters.speech_frames), (1, 0, 0));
}

#[test]
fn two_devices_are_spoken_to_at_the_same_time() {
    let gateway = assistant("1ms", "1s");
    let mut devices = callers(gateway.mqtt_addr(), 2);
    for (client, call) in &mut devices {
        listens(client, call, &gateway);
    }
    for (client, call) in &mut devices {
        assert_eq!(hears(client), SPEECH);
        assert_eq!(call.heard().len(), 17);
    }
    let counters = gateway.stop().unwrap();
    assert_eq!(counters.speech_frames, 34);
}

#[test]
fn the_same_seed_speaks_as_long() {
    let speeches = |seed| {
        let mut settings: Settings = settings(Backend::Assistant);
        settings.backend.assistant.seed = seed;
        settings.backend.assistant.think = "1ms".parse().unwrap();
        settings.backend.assistant.speak = "60ms..600ms".parse().unwrap();
        let gateway = gateway::Gateway::start(settings).unwrap();
        let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
        let mut call = client.call();
        let mut lengths = Vec::new();
        for _ in 0..4 {
            listens(&mut client, &mut call, &gateway);
            hears(&mut client);
            lengths.push(call.heard().len());
        }
        lengths
    };
    let first = speeches(1);
    assert_eq!(first, speeches(1));
    assert_ne!(first, speeches(2));
}

#[test]
fn replies_are_dropped_and_doubled_as_those_of_other_backends() {
    for (fault, sent, lost, heard) in
        [("dropped_replies", 0, 7, 0), ("duplicated_replies", 7, 0, 14)]
    {
        let gateway = start(Backend::Assistant, |settings| {
            settings.backend.assistant.think = "1ms".parse().unwrap();
            settings.backend.assistant.speak = "400ms".parse().unwrap();
            settings.faults = toml::from_str(&format!("{fault} = \"100%\"")).unwrap();
        });
        let mut client = Client::connect(gateway.mqtt_addr(), CLIENT_ID);
        let mut call = client.call();
        listens(&mut client, &mut call, &gateway);
        assert_eq!(hears(&mut client), SPEECH);
        assert_eq!(call.heard().len(), heard, "{fault}");
        let counters = gateway.stop().unwrap();
        assert_eq!((counters.speech_frames, counters.speech_lost), (sent, lost), "{fault}");
        assert_accounts_close(&counters);
    }
}
