//! Everything the gateway counts, by name, and a snapshot of it.
//!
//! Live counters are internal; the snapshot is what shutdown prints and embedders read. Three
//! accounts close once nothing is under way:
//! - `frames_in` = `frames_out` + `frames_heard` + all of `dropped`, and `frames_accepted` = `frames_settled`;
//! - `connections` = all of `refused` + `connected`;
//! - `connected` = all of `closed`, and `sessions_opened` = all of `sessions_ended`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// One number that only grows. Alone on its cache line, so that counting on one thread does not
/// slow down counting on another.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Counters {
    /// Frames accepted since the gateway started.
    pub(crate) fn accepted(&self) -> u64 {
        self.frames_accepted.get()
    }

    /// Frames accepted and not yet done with.
    pub(crate) fn pending(&self) -> u64 {
        // In this order, so that a frame in between is pending and not less than none are.
        let settled = self.frames_settled.get();
        self.frames_accepted.get().saturating_sub(settled)
    }
}

/// A cause, one counter for each of its values, and a snapshot of these.
macro_rules! counted_causes {
    ($(#[$about:meta])* $cause:ident counted in $counters:ident, read as $snapshot:ident {
        $($(#[$doc:meta])* $variant:ident => $name:ident,)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $cause { $($(#[$doc])* $variant,)+ }

        #[derive(Debug, Default)]
        pub(crate) struct $counters { $($name: Counter,)+ }

        impl $counters {
            pub(crate) fn count(&self, cause: $cause) {
                match cause { $($cause::$variant => self.$name.add(1),)+ }
            }

            fn snapshot(&self) -> $snapshot {
                $snapshot { $($name: self.$name.get(),)+ }
            }
        }

        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct $snapshot { $($(#[$doc])* pub $name: u64,)+ }

        impl $snapshot {
            /// All causes together.
            pub fn total(&self) -> u64 {
                [$(self.$name),+].iter().sum()
            }

            /// Every cause by name.
            pub fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }
        }
    };
}

counted_causes! {
    /// Why something that arrived on the media port was neither answered nor heard.
    DropCause counted in DropCounters, read as Dropped {
        /// No media packet: too short or long, another type, or a length that lies.
        BadHeader => bad_header,
        /// A packet of the gateway's own, sent back to it.
        Reflected => reflected,
        /// No live session has this ssrc.
        UnknownSsrc => unknown_ssrc,
        /// Does not open to an Opus packet of the session's frame duration.
        Implausible => implausible,
        /// Overtaken by a packet of a higher sequence.
        Late => late,
        /// Arrived before.
        Duplicate => duplicate,
        /// A leap in the sequence that the next packet has yet to confirm.
        Leap => leap,
        /// The session's mailbox was full.
        MailboxFull => mailbox_full,
        /// The session ended before the frame was answered.
        SessionEnded => session_ended,
        /// The frame waited longer than `worker_timeout`.
        WorkerTimeout => worker_timeout,
        /// The decoder refused the packet.
        DecodeFailed => decode_failed,
        /// The encoder refused the frame.
        EncodeFailed => encode_failed,
        /// The socket refused the reply.
        SendFailed => send_failed,
        /// The worker panicked with the frame in hand.
        WorkerPanic => worker_panic,
        /// The reply was dropped on purpose: a fault that is switched on.
        ByFault => by_fault,
    }
}

counted_causes! {
    /// Why a connection was refused before it was one of a device.
    RefuseCause counted in RefuseCounters, read as Refused {
        /// As many connections as allowed are open.
        ConnectionLimit => connection_limit,
        /// No CONNECT came in time.
        ConnectTimeout => connect_timeout,
        /// The peer left before its CONNECT was complete.
        Gone => gone,
        /// The first packet is something else than CONNECT.
        NotConnect => not_connect,
        /// The first packet is longer than allowed.
        Oversized => oversized,
        /// The first packet is no MQTT.
        Malformed => malformed,
        /// Another version of MQTT than 3.1.1.
        ProtocolLevel => protocol_level,
        /// A client id that names no device.
        ClientId => client_id,
        /// User name and password are not those of the client id.
        BadCredentials => bad_credentials,
        /// A client id without credentials, where they are checked.
        NotAuthorized => not_authorized,
        /// The gateway is stopping.
        Shutdown => shutdown,
    }
}

counted_causes! {
    /// Why the connection of a device ended.
    CloseCause counted in CloseCounters, read as Closed {
        /// The device sent DISCONNECT.
        Disconnect => disconnect,
        /// The device closed its socket.
        Gone => gone,
        /// The socket failed.
        SocketFailed => socket_failed,
        /// The same client id connected again.
        TakenOver => taken_over,
        /// Nothing was heard for 1.5 times the keep-alive.
        KeepAlive => keep_alive,
        /// A packet longer than allowed was announced.
        Oversized => oversized,
        /// Bytes that are no MQTT.
        Malformed => malformed,
        /// PUBLISH with a quality of service above 0.
        QosAboveZero => qos_above_zero,
        /// A packet that the gateway does not serve, a second CONNECT among them.
        UnservedPacket => unserved_packet,
        /// The device did not read what it was sent.
        WriteStalled => write_stalled,
        /// The gateway is stopping.
        Shutdown => shutdown,
    }
}

counted_causes! {
    /// Why an audio session ended.
    EndCause counted in EndCounters, read as Ended {
        /// The device said goodbye.
        DeviceGoodbye => device_goodbye,
        /// The device sent a new hello.
        Renegotiated => renegotiated,
        /// No media packet was accepted for the audio timeout.
        Silence => silence,
        /// The MQTT connection ended.
        ConnectionLost => connection_lost,
        /// The gateway is stopping.
        Shutdown => shutdown,
    }
}

counted_causes! {
    /// What a fault that is switched on has done, each time it did.
    FaultKind counted in FaultCounters, read as Struck {
        /// A frame was run by coders of the worker instead of its session's own.
        SharedCodec => shared_codec,
        /// A reply was held back until after the next one.
        ReorderedReply => reordered_replies,
        /// A reply was dropped.
        DroppedReply => dropped_replies,
        /// A reply was sent twice.
        DuplicatedReply => duplicated_replies,
        /// A worker stood still for a while.
        WorkerStall => worker_stall,
        /// The whole gateway did.
        GatewayStall => gateway_stall,
        /// A session was granted another key than the one that is used.
        WrongKey => wrong_key,
        /// A reply carried another session's audio.
        ForeignAudio => foreign_audio,
        /// A reply was sealed under a constant timestamp.
        KeystreamReuse => keystream_reuse,
        /// The answer to a hello was delayed.
        HelloDelay => hello_delay,
        /// A hello was not answered.
        HelloLimit => hello_limit,
        /// A worker crashed.
        WorkerCrash => worker_crash,
        /// A frame leaked memory.
        LeakPerFrame => leak_per_frame,
    }
}

/// A number for each name, as the snapshot has them.
macro_rules! plain_counters {
    (numbers { $($(#[$doc:meta])* $name:ident,)+ } groups { $($(#[$group_doc:meta])* $group:ident: $counters:ident => $snapshot:ident,)+ }) => {
        /// The live counters of one gateway.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
            $(pub(crate) $group: $counters,)+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CountersSnapshot {
                CountersSnapshot {
                    $($name: self.$name.get(),)+
                    $($group: self.$group.snapshot(),)+
                }
            }
        }

        /// What one gateway has counted since it started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct CountersSnapshot {
            $($(#[$doc])* pub $name: u64,)+
            $($(#[$group_doc])* pub $group: $snapshot,)+
        }
    };
}

plain_counters! {
    numbers {
        /// Datagrams that arrived on the media port, whatever they were.
        frames_in,
        /// Frames that were found new and plausible, and put into a mailbox.
        frames_accepted,
        /// Frames accepted that are done with, whatever became of them; the rest is pending.
        frames_settled,
        /// Frames that were decoded and encoded anew.
        frames_encoded,
        /// Frames that were answered.
        frames_out,
        /// Frames that were decoded and have no answer: those of the backend `assistant`.
        frames_heard,
        /// Turns that the assistant took: spoken to the end, broken off, or not understood.
        turns,
        /// Turns in which its speech, or its thinking, was broken off.
        turns_interrupted,
        /// Packets of its speech that were sent, each counted once.
        speech_frames,
        /// Packets of its speech that were not: by a fault, or refused by the socket.
        speech_lost,
        /// Datagrams that the kernel dropped because the gateway did not read them in time; not in
        /// `frames_in`.
        kernel_drops,
        /// Times a worker panicked and was given a fresh desk.
        worker_panics,
        /// Bytes that were leaked on purpose.
        memory_leaked,
        /// Audio sessions opened: hellos granted.
        sessions_opened,
        /// Hellos that were answered with an error.
        hellos_refused,
        /// Messages for the backend: listen, abort, MCP and types unknown to the gateway.
        messages_forwarded,
        /// Published payloads that are no control message.
        messages_malformed,
        /// TCP connections accepted.
        connections,
        /// Connections that were answered with CONNACK 0.
        connected,
        /// Times the listening socket could not accept, for want of file descriptors.
        accept_failed,
    }
    groups {
        /// What arrived on the media port and was not answered.
        dropped: DropCounters => Dropped,
        /// Audio sessions ended.
        sessions_ended: EndCounters => Ended,
        /// Connections refused.
        refused: RefuseCounters => Refused,
        /// Connections of devices closed.
        closed: CloseCounters => Closed,
        /// What faults have done.
        faults: FaultCounters => Struck,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_names_what_was_counted() {
        let counters = Counters::default();
        counters.frames_in.add(3);
        counters.dropped.count(DropCause::UnknownSsrc);
        counters.dropped.count(DropCause::UnknownSsrc);
        let snapshot = counters.snapshot();
        assert_eq!((snapshot.frames_in, snapshot.dropped.total()), (3, 2));
        let json = serde_json::to_value(snapshot).unwrap();
        assert_eq!(json["dropped"]["unknown_ssrc"], 2);
        assert_eq!(json["closed"]["keep_alive"], 0);
        let seen: Vec<_> = snapshot.dropped.by_name().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [("unknown_ssrc", 2)]);
    }
}
