//! The reference gateway: devices call it over MQTT and stream encrypted Opus over UDP.
//!
//! ```text
//!  TCP ─▶ control_io ─▶ mqtt, admission, protocol::gateway_session ─▶ sessions (by ssrc)
//!                                                                        │
//!  UDP ─▶ media_io ─▶ media_session: opens, judges, mailbox ─▶ dispatch ─▶ pool ─▶ backend ─▶ UDP
//!                                                                ▲          │
//!                    telemetry ◀── ledger (one a worker) ◀───────┼──────────┘
//!                                     └─▶ scaling_io ─▶ autoscale┘
//! ```
//! With the backend `assistant` a frame is heard and not answered; `assistant` decides from what the
//! device says over MQTT when to speak, and `speech_io` sends a clip at its pace.
//! Sockets and threads are in the files whose name ends in `_io`, in `pool` and in `parts`, which
//! wires everything together. Sessions, `burn` and `common` read the clock and wait on it, as work
//! and faults need; the others are told the time. Codec state belongs to the session: its frames run
//! in order, one at a time, on whichever worker dispatch chooses. Everything that is refused or
//! dropped has a counter of its own, and so has every fault that is switched on.
//!
//! Deliberately absent: routing by topic, retained messages and acknowledged delivery (this is no
//! broker), reordering and concealment of lost packets (devices and real gateways have neither), TLS.

mod admission;
mod assistant;
pub mod autoscale;
mod backend;
mod buffers;
mod burn;
mod common;
mod control_io;
mod counters;
mod delay_io;
mod devices;
mod digest;
pub mod dispatch;
pub mod duration_text;
mod faults;
mod gateway;
mod ledger;
pub mod mailbox;
mod media_io;
mod media_session;
mod mqtt;
mod parts;
pub mod pool;
mod quantiles;
mod run_queues;
mod scaling_io;
mod sessions;
mod settings;
mod share;
mod speech_clip;
mod speech_io;
mod telemetry;
mod time_distribution;

pub use assistant::AssistantSettings;
pub use backend::{Backend, BackendSettings, UnknownBackend};
pub use burn::{BurnError, BurnKind, BurnRule, Distribution};
pub use control_io::ControlSettings;
pub use counters::{Closed, CountersSnapshot, Dropped, Ended, Refused, Struck};
pub use dispatch::{Dispatch, UnknownDispatch};
pub use faults::{
    ByteSize, FaultError, FaultSettings, FaultSwitch, GatewayStall, SwitchError, UnknownByteSize,
    WorkerStall,
};
pub use gateway::{Gateway, RunError, RunningGateway, StartError};
pub use media_io::MediaSettings;
pub use pool::PoolSettings;
pub use quantiles::{Quantiles, QuantilesError};
pub use settings::{Settings, SettingsError};
pub use share::{Share, UnknownShare};
pub use telemetry::TelemetrySettings;
pub use time_distribution::{TimeDistribution, TimeDistributionError};
