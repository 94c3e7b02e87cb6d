//! `[[action]]`: what is done to a run at a moment of it.
//!
//! ```toml
//! [[action]]
//! at     = "burst + 2s"         # or a time from the start of the run: "12s"
//! do     = "devices.drop"       # connections are cut without a word …
//! share  = "50%"                # … of so many devices, chosen by the seed …
//! away   = "1s"                 # … which come back after this …
//! spread = "500ms"              # … and at random up to this much more
//!
//! [[action]]
//! at     = "20s"
//! name   = "restart"            # for thresholds: "within 5s of restart.hello_time.p99"
//! do     = "gateway.restart"    # the reference gateway is taken down …
//! how    = "stop"               # … when it has finished what it has; or "kill": at once …
//! down   = "1s"                 # … and put up again this much later; away and spread as above
//!
//! [[action]]
//! at     = "30s"
//! do     = "gateway.fault"      # the reference gateway begins to do wrong …
//! faults = { dropped_replies = "5%" }
//! for    = "5s"                 # … for so long; left out: until the end
//!
//! [[action]]
//! at      = "40s"
//! do      = "network.change"    # the network between devices and gateway becomes another …
//! network = "wifi-busy"         # … this one: as in [devices] …
//! group   = "toys"              # … of this group; left out: of all …
//! for     = "5s"                # … for so long; left out: until the end
//! ```

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::ScenarioError;
use super::duration::{self, shown};
use super::error::suggestion;
use super::gateway::Faults;
use super::network::{Network, NetworkValue};
use super::phase::{Phase, starts};
use super::values::{HOUR, MS, Share, Within};

/// The most actions one scenario may have.
const MAX_ACTIONS: usize = 1000;

/// Something that is done to a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// When, from the start of the run.
    pub at: Duration,
    /// What thresholds call it.
    pub name: Option<String>,
    /// What.
    pub what: What,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Devices lose their connections at once, without goodbye, and come back: a reconnect storm.
    DropDevices {
        /// Of all that have a session, 0 to 1.
        share: f64,
        /// When they come back.
        comeback: Comeback,
    },
    /// The reference gateway does these things wrong, beside what it did before.
    SetFaults {
        /// Which.
        faults: Box<Faults>,
        /// For how long; `None`: until the end.
        lasting: Option<Duration>,
    },
    /// The network between devices and gateway becomes another.
    ChangeNetwork {
        /// The group whose network it is; `None`: of all devices.
        group: Option<String>,
        /// What it becomes.
        network: Box<Network>,
        /// For how long; `None`: until the end.
        lasting: Option<Duration>,
    },
    /// The reference gateway is taken down and put up again, on the same ports.
    RestartGateway {
        /// In which way.
        how: RestartHow,
        /// From being told to stop to being started again.
        down: Duration,
        /// When the devices come back, all of which lose their sessions.
        comeback: Comeback,
    },
}

/// When devices come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comeback {
    /// For how long they are away.
    pub away: Duration,
    /// Each at random up to this much longer.
    pub spread: Duration,
}

/// In which way a gateway is taken down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestartHow {
    /// It is asked to: it answers what it has accepted and says goodbye.
    #[default]
    Stop,
    /// It is killed in mid-sentence.
    Kill,
}

impl fmt::Display for Comeback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for {}", shown(self.away))?;
        if self.spread.is_zero() {
            Ok(())
        } else {
            write!(f, " and up to {} more", shown(self.spread))
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropDevices { share, comeback } => {
                let percent = share * 100.0;
                write!(f, "{percent:.0} % of the devices lose their connections, {comeback}")
            }
            Self::SetFaults { faults, lasting: Some(lasting) } => {
                write!(f, "faults for {}: {faults}", shown(*lasting))
            }
            Self::SetFaults { faults, lasting: None } => write!(f, "faults to the end: {faults}"),
            Self::ChangeNetwork { group, network, lasting } => {
                let said = if network.is_clear() { "clear" } else { &network.said };
                match group {
                    Some(group) => write!(f, "the network of group {group} becomes {said}")?,
                    None => write!(f, "the network becomes {said}")?,
                }
                match lasting {
                    Some(lasting) => write!(f, " for {}", shown(*lasting)),
                    None => Ok(()),
                }
            }
            Self::RestartGateway { how, down, comeback } => {
                let how = match how {
                    RestartHow::Stop => "stopped",
                    RestartHow::Kill => "killed",
                };
                write!(
                    f,
                    "the gateway is {how} and started again {} later; devices are away {comeback}",
                    shown(*down)
                )
            }
        }
    }
}

/// Something that is done to the run at a moment of it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Action")]
pub(super) struct ActionTable {
    /// When: a time from the start of the run, a phase, or a phase and a time, for example `12s`,
    /// `burst` or `burst + 2s`.
    #[schemars(with = "String")]
    at: Spanned<String>,
    /// What thresholds call this moment: `within 5s of NAME.hello_time.p99`.
    #[schemars(with = "Option<String>")]
    name: Option<Spanned<String>>,
    /// What is done.
    #[schemars(with = "Do")]
    r#do: Spanned<Do>,
    /// `devices.drop`: which share of the devices that have a session.
    #[schemars(with = "Option<Share>")]
    share: Option<Spanned<Share>>,
    /// `devices.drop`, `gateway.restart`: for how long devices are away, `100ms` to `1h`; default:
    /// `1s`, and after a restart a second more than the gateway is down.
    #[schemars(with = "Option<Within<{ 100 * MS }, HOUR>>")]
    away: Option<Spanned<Within<{ 100 * MS }, HOUR>>>,
    /// `devices.drop`, `gateway.restart`: each device at random up to this much longer, `0s` to `1h`;
    /// default: `0s`.
    #[schemars(with = "Option<Within<0, HOUR>>")]
    spread: Option<Spanned<Within<0, HOUR>>>,
    /// `gateway.fault`: what the reference gateway does wrong, as in `[gateway.faults]`.
    #[schemars(with = "Option<Faults>")]
    faults: Option<Spanned<Faults>>,
    /// `network.change`: what the network becomes, as in `[devices]`; `{}` is one that does nothing.
    #[schemars(with = "Option<NetworkValue>")]
    network: Option<Spanned<NetworkValue>>,
    /// `network.change`: the group whose network it is; default: that of all devices.
    #[schemars(with = "Option<String>")]
    pub(super) group: Option<Spanned<String>>,
    /// `gateway.fault`, `network.change`: for how long, `100ms` to `1h`; default: until the end.
    #[schemars(with = "Option<Within<{ 100 * MS }, HOUR>>")]
    r#for: Option<Spanned<Within<{ 100 * MS }, HOUR>>>,
    /// `gateway.restart`: `stop` or `kill`; default: `stop`.
    #[schemars(with = "Option<RestartHow>")]
    how: Option<Spanned<RestartHow>>,
    /// `gateway.restart`: how long the gateway is down, `100ms` to `1h`; default: `1s`.
    #[schemars(with = "Option<Within<{ 100 * MS }, HOUR>>")]
    down: Option<Spanned<Within<{ 100 * MS }, HOUR>>>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
enum Do {
    /// Devices lose their connections and come back.
    #[serde(rename = "devices.drop")]
    DevicesDrop,
    /// The reference gateway begins to do wrong.
    #[serde(rename = "gateway.fault")]
    GatewayFault,
    /// The reference gateway is taken down and put up again.
    #[serde(rename = "gateway.restart")]
    GatewayRestart,
    /// The network between devices and gateway becomes another.
    #[serde(rename = "network.change")]
    NetworkChange,
}

/// Something wrong with an action: where, what, and what to do.
struct Wrong {
    span: Range<usize>,
    message: String,
    help: String,
}

impl Wrong {
    fn new(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: help.into() }
    }
}

/// Reads the actions of a run of `phases`, first ones first.
pub(super) fn actions(
    path: &Path,
    text: &str,
    tables: Spanned<Vec<ActionTable>>,
    phases: &[Phase],
) -> Result<Vec<Action>, ScenarioError> {
    let whole = tables.span();
    let tables = tables.into_inner();
    let shown_at = |wrong: Wrong| {
        ScenarioError::at(path, text, wrong.span, wrong.message).with_help(wrong.help)
    };
    if tables.len() > MAX_ACTIONS {
        let message = format!("{} actions: the most is {MAX_ACTIONS}", tables.len());
        return Err(ScenarioError::at(path, text, whole, message));
    }
    let mut actions: Vec<(Action, Range<usize>)> = Vec::new();
    for table in tables {
        let span = table.r#do.span();
        let action = table.checked(path, phases).map_err(shown_at)?;
        if let Some(name) = &action.0.name
            && actions.iter().any(|(before, _)| before.name.as_ref() == Some(name))
        {
            let message = format!("action name `{name}` is used twice");
            let help = "give each its own: thresholds tell them apart by it";
            return Err(shown_at(Wrong::new(action.1, message, help)));
        }
        actions.push((action.0, span));
    }
    actions.sort_by_key(|(action, _)| action.at);
    check_restarts(&actions).map_err(shown_at)?;
    Ok(actions.into_iter().map(|(action, _)| action).collect())
}

/// A gateway that is down cannot be taken down, nor told anything.
fn check_restarts(actions: &[(Action, Range<usize>)]) -> Result<(), Wrong> {
    let mut up_at = Duration::ZERO;
    for (action, span) in actions {
        match &action.what {
            What::DropDevices { .. } | What::ChangeNetwork { .. } => {}
            _ if action.at < up_at => {
                let at = shown(action.at);
                let message = format!("at {at} the gateway is down until {}", shown(up_at));
                let help = "do it when the gateway is up again";
                return Err(Wrong::new(span.clone(), message, help));
            }
            What::RestartGateway { down, .. } => up_at = action.at + *down,
            What::SetFaults { .. } => {}
        }
    }
    Ok(())
}

/// For how long an action lasts that begins at `at` in a run that ends at `end`.
fn lasting(
    said: Option<&Spanned<Within<{ 100 * MS }, HOUR>>>,
    at: Duration,
    end: Duration,
) -> Result<Option<Duration>, Wrong> {
    let Some(said) = said else { return Ok(None) };
    let lasting = said.get_ref().get();
    if at + lasting > end {
        let message = format!(
            "it begins at {} and lasts {}, and the run ends at {}",
            shown(at),
            shown(lasting),
            shown(end)
        );
        let help = "make it shorter, or leave `for` out: until the end";
        return Err(Wrong::new(said.span(), message, help));
    }
    Ok(Some(lasting))
}

impl ActionTable {
    /// The action, and where its name stands.
    fn checked(self, path: &Path, phases: &[Phase]) -> Result<(Action, Range<usize>), Wrong> {
        let at = moment(self.at.get_ref(), phases)
            .map_err(|(message, help)| Wrong::new(self.at.span(), message, help))?;
        let end: Duration = phases.iter().map(Phase::length).sum();
        let name_at = self.name.as_ref().map_or(0..0, Spanned::span);
        let name = self.name.as_ref().map(|name| check_name(name, phases)).transpose()?;
        self.check_keys()?;
        let span = self.r#do.span();
        let missing = |key: &str, example: &str| {
            let message = format!("`{key}` is missing: without it nothing is done");
            Wrong::new(span.clone(), message, format!("write for example {key} = {example}"))
        };
        let spread = self.spread.map_or(Duration::ZERO, |spread| spread.into_inner().get());
        let away = self.away.map(|away| away.into_inner().get());
        let second = Duration::from_secs(1);
        let what = match self.r#do.get_ref() {
            Do::DevicesDrop => {
                let share = self.share.ok_or_else(|| missing("share", "\"50%\""))?;
                let comeback = Comeback { away: away.unwrap_or(second), spread };
                What::DropDevices { share: share.get_ref().ratio(), comeback }
            }
            Do::GatewayFault => {
                let example = "{ dropped_replies = \"5%\" }";
                let faults = self.faults.ok_or_else(|| missing("faults", example))?;
                check_switchable(&faults)?;
                let lasting = lasting(self.r#for.as_ref(), at, end)?;
                What::SetFaults { faults: Box::new(faults.into_inner()), lasting }
            }
            Do::NetworkChange => {
                let network = self.network.ok_or_else(|| missing("network", "\"wifi-busy\""))?;
                let lasting = lasting(self.r#for.as_ref(), at, end)?;
                let wrong = |(what, help)| Wrong::new(network.span(), what, help);
                let made = network.get_ref().network(path).map_err(wrong)?;
                let group = self.group.map(Spanned::into_inner);
                What::ChangeNetwork { group, network: Box::new(made), lasting }
            }
            Do::GatewayRestart => {
                let down = self.down.map_or(second, |down| down.into_inner().get());
                let how = self.how.map_or(RestartHow::Stop, Spanned::into_inner);
                let comeback = Comeback { away: away.unwrap_or(down + second), spread };
                What::RestartGateway { how, down, comeback }
            }
        };
        Ok((Action { at, name, what }, name_at))
    }

    /// Whether every key is one of what is done.
    fn check_keys(&self) -> Result<(), Wrong> {
        let kind = *self.r#do.get_ref();
        let keys = [
            ("share", self.share.as_ref().map(Spanned::span), &[Do::DevicesDrop][..]),
            ("away", self.away.as_ref().map(Spanned::span), &[Do::DevicesDrop, Do::GatewayRestart]),
            (
                "spread",
                self.spread.as_ref().map(Spanned::span),
                &[Do::DevicesDrop, Do::GatewayRestart],
            ),
            ("faults", self.faults.as_ref().map(Spanned::span), &[Do::GatewayFault]),
            ("for", self.r#for.as_ref().map(Spanned::span), &[Do::GatewayFault, Do::NetworkChange]),
            ("network", self.network.as_ref().map(Spanned::span), &[Do::NetworkChange]),
            ("group", self.group.as_ref().map(Spanned::span), &[Do::NetworkChange]),
            ("how", self.how.as_ref().map(Spanned::span), &[Do::GatewayRestart]),
            ("down", self.down.as_ref().map(Spanned::span), &[Do::GatewayRestart]),
        ];
        let own: Vec<&str> =
            keys.iter().filter(|(.., of)| of.contains(&kind)).map(|(key, ..)| *key).collect();
        for (key, span, of) in &keys {
            if let (Some(span), false) = (span, of.contains(&kind)) {
                let message = format!("`{key}` means nothing to `{}`", kind.name());
                let help = format!("allowed there: {}", own.join(", "));
                return Err(Wrong::new(span.clone(), message, help));
            }
        }
        Ok(())
    }
}

impl Do {
    fn name(self) -> &'static str {
        match self {
            Self::DevicesDrop => "devices.drop",
            Self::GatewayFault => "gateway.fault",
            Self::GatewayRestart => "gateway.restart",
            Self::NetworkChange => "network.change",
        }
    }
}

fn check_name(name: &Spanned<String>, phases: &[Phase]) -> Result<String, Wrong> {
    let (span, name) = (name.span(), name.get_ref());
    let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(usable) {
        let message = format!("action name `{name}`: allowed are letters, digits, `-` and `_`");
        return Err(Wrong::new(span, message, "name it for example \"restart\""));
    }
    if phases.iter().any(|phase| phase.name == *name) {
        let message = format!("action name `{name}` is that of a phase");
        return Err(Wrong::new(
            span,
            message,
            "thresholds need to tell them apart: choose another",
        ));
    }
    Ok(name.clone())
}

/// Some faults are decided when workers or sessions begin.
fn check_switchable(faults: &Spanned<Faults>) -> Result<(), Wrong> {
    if faults.get_ref().is_empty() {
        let message = "`faults` names no fault: nothing would be done";
        let help = "write for example faults = { dropped_replies = \"5%\" }";
        return Err(Wrong::new(faults.span(), message, help));
    }
    let Some(fault) = faults.get_ref().at_start_only() else { return Ok(()) };
    let message = format!("`{fault}` can be on from the start only");
    let help = "set it in [gateway.faults]; all other faults can be switched in mid-run";
    Err(Wrong::new(faults.span(), message, help))
}

/// `12s`, `burst` or `burst + 2s`; or what is wrong and what to write.
fn moment(text: &str, phases: &[Phase]) -> Result<Duration, (String, String)> {
    let form = "write a time from the start of the run, a phase, or a phase and a time: \"12s\", \
                \"burst\", \"burst + 2s\"";
    let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let start = |name: &str| starts(phases).find(|(phase, _)| phase.name == name).map(|(_, at)| at);
    let time = |text: &str| duration::parse(text).map_err(|why| (why, form.to_owned()));
    let (name, rest) = match text.split_once('+') {
        Some((name, rest)) => (name.trim(), Some(rest)),
        None => (text.trim(), None),
    };
    let at = match (start(name), rest) {
        (Some(start), None) => start,
        (Some(start), Some(rest)) => start + time(rest)?,
        (None, None) if name.starts_with(|c: char| c.is_ascii_digit()) => time(name)?,
        (None, _) => {
            let message = format!("`{text}`: there is no phase `{name}`");
            return Err((message, format!("{}; {form}", suggestion(name, &names))));
        }
    };
    let end: Duration = phases.iter().map(Phase::length).sum();
    if at >= end {
        let message = format!(
            "`{text}` is {} after the start, and the run ends at {}",
            shown(at),
            shown(end)
        );
        return Err((message, "do it before the end".to_owned()));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
