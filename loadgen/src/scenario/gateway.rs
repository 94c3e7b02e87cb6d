//! `[gateway]`: how the reference gateway is started, and the settings file that tells it so.
//!
//! ```toml
//! backend        = "echo"
//! complexity     = 5
//! dispatch       = "central-queue"
//! workers        = { min = 2, max = 8 }          # or a number: `gateway/pool.rs`
//! autoscaler     = "queue-delay"
//! telemetry      = true                          # whether it tells about itself
//! worker_timeout = "150ms"
//! assistant      = { think = "300ms", speak = "3s" } # `gateway/assistant.rs`
//! delay          = "5ms"                         # or a list: `gateway/delay.rs`
//! burn           = { kind = "wait", time = "20ms" } # or a list: `gateway/burn.rs`
//!
//! [gateway.faults]                               # `gateway/faults.rs`
//! dropped_replies = "1%"
//! ```
//!
//! The two programs share no type. Ranges and names are the gateway's own, so that a scenario that
//! gets through is one that the gateway starts with.

mod assistant;
pub(super) mod burn;
pub(super) mod delay;
mod faults;
pub(super) mod pool;

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Spanned;

pub use assistant::Assistant;
pub use burn::Burn;
pub use delay::Delays;
pub use faults::Faults;
pub use pool::{Autoscale, AutoscalePolicy, Workers};

use super::ScenarioError;
use super::duration::shown;
use super::values::{MINUTE, MS, Whole, Within};
use burn::Burns;
use pool::{AutoscalerValue, WorkersValue};

/// How the reference gateway is started; ignored when a target is given.
///
/// What is left out has the gateway's own default.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// What it does with audio; default: `echo`.
    pub backend: Option<Backend>,
    /// How the backend `assistant` takes its turns.
    pub assistant: Option<Assistant>,
    /// Complexity of its Opus encoder, 0 to 10; default: 5.
    pub complexity: Option<u32>,
    /// Its codec workers; default: 2, always.
    pub workers: Option<Workers>,
    /// How its frames get a worker; default: `central-queue`.
    pub dispatch: Option<Dispatch>,
    /// Whether it tells about itself; default: it does. What only it knows is absent otherwise.
    pub telemetry: bool,
    /// How long a frame waits for a worker before it is dropped, 1 ms to 60 s; default: as long as
    /// it takes.
    pub worker_timeout: Option<Duration>,
    /// How long after its frame arrived an answer leaves; default: as soon as it is made.
    pub delay: Delays,
    /// Extra work for each frame: the first rule that applies to a device counts.
    pub burn: Vec<Burn>,
    /// What it does wrong; default: nothing.
    pub faults: Faults,
}

/// How the reference gateway is started; what is left out has the gateway's own default.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Gateway")]
pub(super) struct GatewayTable {
    /// What it does with audio; default: `echo`.
    backend: Option<Backend>,
    /// How the backend `assistant` takes its turns.
    #[schemars(with = "Option<Assistant>")]
    assistant: Option<Spanned<Assistant>>,
    /// Complexity of its Opus encoder, 0 to 10: more costs more; default: 5.
    complexity: Option<Whole<0, 10>>,
    /// Its codec workers: a number from 1 to 256, or a range `{ min = 2, max = 8 }` for an autoscaler;
    /// default: 2.
    #[schemars(with = "Option<WorkersValue>")]
    workers: Option<Spanned<WorkersValue>>,
    /// What changes the number of workers: a policy, or a table with more to say; default: `fixed`,
    /// and for a range of workers `queue-delay`.
    #[schemars(with = "Option<AutoscalerValue>")]
    autoscaler: Option<Spanned<AutoscalerValue>>,
    /// How a frame gets its worker; default: `central-queue`.
    dispatch: Option<Dispatch>,
    /// Whether it tells about itself: without it, what only it knows is absent; default: true.
    telemetry: Option<bool>,
    /// How long a frame waits for a worker before it is dropped, `1ms` to `1m`; default: as long as it
    /// takes.
    worker_timeout: Option<Within<MS, MINUTE>>,
    /// How long after its frame arrived an answer leaves, `0s` to `2s`, or a list of up to 16 that take
    /// turns: a known delay, to check measurements against; default: none.
    delay: Delays,
    /// Extra work for each frame: a rule, or a list of which the first that applies to a device counts;
    /// default: none.
    burn: Burns,
    /// What it does wrong, so that a gate can be seen to fail; default: nothing.
    faults: Faults,
}

impl GatewayTable {
    /// The same settings, if workers and autoscaler go together.
    pub(super) fn checked(
        self,
        path: &Path,
        text: &str,
        seed: u64,
    ) -> Result<GatewaySettings, ScenarioError> {
        if let (Some(assistant), false) =
            (&self.assistant, self.backend == Some(Backend::Assistant))
        {
            let message = "`gateway.assistant` says how the backend `assistant` takes its turns, and \
                           the backend is another";
            let help = "write backend = \"assistant\" beside it, or leave `assistant` out";
            let error = ScenarioError::at(path, text, assistant.span(), message.to_owned());
            return Err(error.with_help(help.to_owned()));
        }
        let assistant = match (self.backend, self.assistant) {
            (Some(Backend::Assistant), said) => {
                let said = said.map(Spanned::into_inner).unwrap_or_default();
                Some(Assistant { seed: Some(seed), ..said })
            }
            _ => None,
        };
        let workers =
            pool::resolve(self.workers, self.autoscaler).map_err(|(span, message, help)| {
                ScenarioError::at(path, text, span, message).with_help(help)
            })?;
        Ok(GatewaySettings {
            backend: self.backend,
            assistant,
            complexity: self.complexity.map(Whole::get),
            workers,
            dispatch: self.dispatch,
            telemetry: self.telemetry.unwrap_or(true),
            worker_timeout: self.worker_timeout.map(Within::get),
            delay: self.delay,
            burn: self.burn.0,
            faults: self.faults,
        })
    }
}

impl GatewaySettings {
    /// How many workers it has at most.
    pub fn most_workers(&self) -> u32 {
        self.workers.as_ref().map_or(pool::DEFAULT_WORKERS, Workers::most)
    }

    /// The same settings as `din-gateway --config` reads them.
    pub fn to_config(&self) -> String {
        #[derive(Serialize)]
        struct Config<'a> {
            backend: BackendTable<'a>,
            pool: PoolTable,
            autoscale: Option<&'a Autoscale>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            burn: &'a [Burn],
            faults: Option<&'a Faults>,
        }
        #[derive(Serialize)]
        struct BackendTable<'a> {
            kind: Option<Backend>,
            complexity: Option<u32>,
            assistant: Option<&'a Assistant>,
            #[serde(skip_serializing_if = "Delays::is_empty")]
            delay: &'a Delays,
        }
        #[derive(Serialize)]
        struct PoolTable {
            workers: Option<u32>,
            dispatch: Option<Dispatch>,
            worker_timeout: Option<String>,
        }
        let (fixed, autoscale) = match &self.workers {
            None => (None, None),
            Some(Workers::Fixed(count)) => (Some(*count), None),
            Some(Workers::Scaled(autoscale)) => (None, Some(autoscale)),
        };
        let config = Config {
            backend: BackendTable {
                kind: self.backend,
                complexity: self.complexity,
                assistant: self.assistant.as_ref(),
                delay: &self.delay,
            },
            pool: PoolTable {
                workers: fixed,
                dispatch: self.dispatch,
                worker_timeout: self.worker_timeout.map(shown),
            },
            autoscale,
            burn: &self.burn,
            faults: (self.faults != Faults::default()).then_some(&self.faults),
        };
        toml::to_string(&config).expect("tables of plain values can be written")
    }
}

/// What the gateway does with audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Decrypts, encrypts again and returns each packet.
    Relay,
    /// Decodes each packet, encodes it again at 24 kHz and returns it.
    Echo,
    /// Decodes each packet and answers none; when a device has listened, thinks and speaks.
    Assistant,
}

/// How the gateway's frames get a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// Workers in turns.
    RoundRobin,
    /// The worker with the fewest frames pending.
    LeastPending,
    /// The worker with the least work pending, by what each session's frames took so far.
    LeastWork,
    /// The better of two workers picked at random.
    PowerOfTwo,
    /// One queue for all workers.
    CentralQueue,
    /// A session stays on one worker.
    Sticky,
}

#[cfg(test)]
mod tests;
