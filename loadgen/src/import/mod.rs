//! What others recorded, made into what Din plays again: into traces and scenarios.

use std::time::Duration;

use measure::heard::HeardRecord;

mod call;
pub mod calls;
pub mod capture;
pub mod log;
pub mod mahimahi;
pub mod pcap;
pub mod run;

/// The files that an import writes.
const TRACE: &str = "trace.csv";
pub(crate) const SCENARIO: &str = "scenario.toml";

/// What a scenario plays again.
pub(crate) struct Replayed<'a> {
    /// The command that writes it.
    pub written_by: &'a str,
    /// The name of what was recorded.
    pub name: &'a str,
    /// The trace's path, from the scenario's directory.
    pub trace: &'a str,
    /// Audio in each frame.
    pub frame: Duration,
    /// A device for each call.
    pub devices: usize,
    /// The longest call.
    pub lasting: Duration,
    /// What was heard.
    pub heard: &'a HeardRecord,
}

impl Replayed<'_> {
    /// The scenario's text. Its limit is what was lost, a tenth of that and 1 % more: a gateway that
    /// adds losses of its own fails it.
    pub(crate) fn scenario_text(&self) -> String {
        let Self { written_by, name, devices, .. } = self;
        let title = toml_text(&format!("Replay of {name}"));
        let trace = toml_text(self.trace);
        let lasting = self.lasting.max(Duration::from_secs(1)).as_millis();
        let frame = self.frame.as_millis();
        let loss = self.heard.effective_loss_percent.unwrap_or(0.0);
        let limit = (loss * 1.1 + 1.0).min(100.0);
        format!(
            "# Written by `{written_by}`: device n has what call n of the original went through.\n\
             title    = {title}\n\
             question = \"Does this gateway sound as it did then, behind that network?\"\n\
             seed     = 1\n\
             drain    = \"3s\"\n\
             \n\
             [gateway]\n\
             backend = \"echo\"\n\
             \n\
             [devices]\n\
             frame   = \"{frame}ms\"\n\
             network = {{ trace = {trace}, repeat = false }}\n\
             \n\
             [[phase]]\n\
             name    = \"replay\"\n\
             devices = {devices}\n\
             hold    = \"{lasting}ms\"\n\
             \n\
             [thresholds]\n\
             \"sessions_failed\" = \"= 0\"\n\
             \"effective_loss\"  = \"<= {limit:.2}%\"   # the original's {loss:.2}%, a tenth and 1% more\n"
        )
    }
}

/// As a string of TOML, on one line.
fn toml_text(text: &str) -> String {
    let kept: String = text.chars().filter(|one| !one.is_control()).collect();
    toml::Value::String(kept).to_string()
}

/// What was heard, in a line or two without the last break.
fn heard_text(heard: &HeardRecord) -> String {
    let HeardRecord { calls, frames, .. } = heard;
    let number =
        |number: Option<f64>| number.map_or("-".to_owned(), |number| format!("{number:.2}"));
    format!(
        "heard      {calls} calls, {frames} frames\n\
         jitter     rfc3550 {} ms\n\
         playout    {} stutters a minute, longest gap {} ms, effective loss {} %",
        number(heard.rfc3550_jitter_ms),
        number(heard.stutter_per_minute),
        number(heard.longest_gap_ms),
        number(heard.effective_loss_percent)
    )
}
