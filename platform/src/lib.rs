//! The system-call edge: the only crate that talks to the kernel on purpose.
//!
//! Core crates are handed times and bytes; this crate gets them. It reads and waits on the clock
//! ([`Clock`]), receives datagrams in batches with the kernel's own timestamps ([`ReceiveBatch`]),
//! waits on many sockets ([`Poller`]) and looks at processes, the host and its limits. Policy is
//! absent: nothing here decides when to send, what to drop or whether a run is valid.
//!
//! Linux with glibc, 64 bit. `unsafe` is confined to one call in `recvmmsg.rs` and two in
//! `priority.rs`.

mod ancillary;
mod clock;
mod host;
mod limits;
mod netstat;
mod poll;
mod ports;
mod priority;
mod process;
mod processors;
mod receive;
mod recvmmsg;
mod tcp;
mod threads;
mod tuning;
mod udp;

pub use clock::{Clock, KernelTime, RealtimeOffset, set_timer_slack, thread_cpu_time};
pub use host::{Host, steal_time};
pub use limits::{LimitError, OpenFiles, open_files, raise_open_files};
pub use netstat::UdpCounters;
pub use poll::{Events, Poller, Waker};
pub use ports::EphemeralPorts;
pub use priority::{Priority, prioritise_thread};
pub use process::{GoneError, ProcessSampler, Usage};
pub use processors::{allowed_processors, stay_on, times_preempted};
pub use receive::{Datagram, MAX_BATCH, ReceiveBatch, Received};
pub use tcp::listen_tcp;
pub use threads::{ThreadCpu, thread_cpu_times};
pub use tuning::Tuning;
pub use udp::{UdpOptions, bind_udp, connect_udp, receive_buffer_bytes, renew_port};
