//! The load generator behind `din`: virtual devices that shake hands over MQTT and stream
//! encrypted Opus over UDP, on a schedule that is decided before anything runs.
//!
//! The flow of a run: [`scenario`] → [`schedule`] → [`preflight`] → [`noise_floor`] →
//! [`gateway_process`] → [`device`] (control, tokio) and [`media`] (audio, threads) → [`collect`] → [`verdict`] →
//! [`run_record`]. Beside it stands [`doctor`], which looks at the host alone.

pub mod afterwards;
pub mod baseline;
pub mod capacity_search;
pub mod ci_outputs;
mod codec_cost;
pub mod collect;
pub mod colour;
pub mod compare;
pub mod conversation;
pub mod device;
pub mod doctor;
pub mod experience;
pub mod fit;
pub mod gateway_process;
pub mod groups;
pub mod hearing;
pub mod histogram_log;
pub mod history;
pub mod import;
pub mod in_flight;
pub mod integrity;
pub mod judged;
pub mod library;
pub mod line;
pub mod live;
pub mod live_files;
pub mod media;
pub mod network_text;
pub mod noise_floor;
pub mod pace_probe;
pub mod plan;
pub mod planner;
pub mod pool_account;
pub mod preflight;
pub mod progress;
pub mod replay;
pub mod report_command;
pub mod resources;
pub mod run;
pub mod run_directory;
pub mod run_record;
pub mod scenario;
pub mod schedule;
pub mod stage;
pub mod stagehand;
pub mod starter;
pub mod telemetry;
pub mod timeline;
pub mod timer_probe;
pub mod traits;
pub mod turn_book;
pub mod verdict;
pub mod voice;
pub mod warnings;
pub mod watch;
pub mod watch_page;
pub mod worst_device;
