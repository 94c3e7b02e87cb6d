//! The form of a scenario file as a JSON Schema, with its documentation: what editors complete and
//! check by. `din schema` prints it.
//!
//! Tables are derived where they stand. Here are the values whose form is a text: durations, shares,
//! rates and the like. The parser is stricter: what values are to each other no schema says.

use std::borrow::Cow;

use measure::Metric;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value, json};
use simnet::Preset;

use super::devices::{BitrateText, Count, Frame, Level, Rate as Hertz};
use super::duration::{Span, shown};
use super::file::File;
use super::gateway::burn::{BurnTable, Burns};
use super::gateway::delay::Delays;
use super::gateway::pool::{AutoscalerValue, MAX_WORKERS, WorkersValue};
use super::gateway::{Autoscale, AutoscalePolicy};
use super::network::{
    DistributionName, LossText, NetworkTable, NetworkValue, PresetName, RateText, WayTable,
    WayValue,
};
use super::phase::Rate;
use super::quantiles::Quantiles;
use super::talk::{TalkValue, TurnsTable};
use super::threshold::Written;
use super::time_distribution::TimeDistribution;
use super::values::{Memory, PartsPerMillion, Seed, Share, Whole, Within};

const TIME: &str = r"^\s*[0-9.eE+-]+\s*(us|ms|s|m|h)\s*$";
const SHARE: &str = r"^\s*[0-9.eE+-]+\s*%$";

/// The schema, as JSON that ends in a line break.
pub fn json_schema() -> String {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut schema = generator.into_root_schema_for::<File>();
    schema.insert("title".to_owned(), "Scenario of Din".into());
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text + "\n"
}

/// A value that is written as a text or a number, and described wherever it stands.
macro_rules! values {
    ($($name:ty: $schema:expr;)*) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let make: fn(&mut SchemaGenerator) -> Schema = $schema;
                make(generator)
            }
        })*
    };
}

values! {
    Span: |_| json_schema!({ "type": "string", "pattern": TIME, "examples": ["500ms", "10s", "5m"] });
    Share: |_| json_schema!({ "type": "string", "pattern": SHARE, "examples": ["5%"] });
    Memory: |_| json_schema!({
        "type": "string", "pattern": r"^[0-9]+\s*(B|KiB|MiB)$", "examples": ["4KiB"]
    });
    Seed: |_| json_schema!({ "type": "integer", "minimum": 0, "maximum": i64::MAX });
    Count: |_| json_schema!({ "type": "integer", "minimum": 0, "maximum": super::MAX_DEVICES });
    Level: |_| json_schema!({ "type": "integer", "minimum": 0, "maximum": 10 });
    Frame: |_| json_schema!({ "enum": ["20ms", "40ms", "60ms"] });
    Hertz: |_| json_schema!({ "enum": [8000, 12000, 16000, 24000, 48000] });
    BitrateText: |_| json_schema!({
        "type": "string", "pattern": r"^(auto|[0-9.]+\s*kbps)$", "examples": ["auto", "24kbps"]
    });
    Rate: |_| json_schema!({
        "type": "string", "pattern": r"^\s*[0-9.eE+-]+\s*/\s*[smh]\s*$", "examples": ["5/s", "30/m"]
    });
    TimeDistribution: |_| json_schema!({
        "type": "string",
        "pattern": r"^\s*([0-9.]+\s*(us|ms|s|m)(\s*\.\.\s*[0-9.]+\s*(us|ms|s|m))?|(normal|exponential|lognormal)\s*\(.*\))\s*$",
        "examples": ["2s", "1s..3s", "normal(2s, 300ms)", "exponential(2s)", "lognormal(2s, 0.5)"]
    });
    PartsPerMillion: |_| json_schema!({
        "type": "string",
        "pattern": r"^\s*[0-9.]+\s*ppm$",
        "examples": ["50ppm"]
    });
    Quantiles: |_| json_schema!({
        "type": "string",
        "examples": ["0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms"]
    });
    TalkValue: |generator| json_schema!({ "anyOf": [
        { "enum": ["full-duplex", "half-duplex", "silent"] },
        generator.subschema_for::<TurnsTable>(),
    ]});
    NetworkValue: |generator| json_schema!({ "anyOf": [
        { "enum": Preset::all().iter().map(|preset| preset.name).collect::<Vec<_>>() },
        generator.subschema_for::<NetworkTable>(),
    ]});
    WayValue: |generator| json_schema!({ "anyOf": [
        { "enum": Preset::all().iter().map(|preset| preset.name).collect::<Vec<_>>() },
        generator.subschema_for::<WayTable>(),
    ]});
    PresetName: |_| json_schema!({
        "enum": Preset::all().iter().map(|preset| preset.name).collect::<Vec<_>>()
    });
    DistributionName: |_| json_schema!({
        "enum": ["uniform", "normal", "pareto", "paretonormal"]
    });
    LossText: |_| json_schema!({
        "type": "string",
        "examples": ["1%", "gilbert-elliott(0.01, 0.3)", "pattern(...x)"]
    });
    RateText: |_| json_schema!({
        "type": "string",
        "pattern": r"^\s*[0-9.eE+-]+\s*(kbps|Mbps)$"
    });
    WorkersValue: |_| {
        let count = json!({ "type": "integer", "minimum": 1, "maximum": MAX_WORKERS });
        let bound = |which: &str| {
            let mut bound = count.clone();
            bound["description"] = format!("The {which} workers, 1 to {MAX_WORKERS}.").into();
            bound
        };
        json_schema!({ "anyOf": [
            count,
            {
                "type": "object",
                "properties": { "min": bound("fewest"), "max": bound("most") },
                "additionalProperties": false,
            },
        ]})
    };
    AutoscalerValue: |generator| json_schema!({ "anyOf": [
        generator.subschema_for::<AutoscalePolicy>(),
        generator.subschema_for::<Autoscale>(),
    ]});
    Burns: |generator| {
        let rule = generator.subschema_for::<BurnTable>();
        json_schema!({ "anyOf": [rule, { "type": "array", "items": rule }] })
    };
    Delays: |_| {
        let time = json!({ "type": "string", "pattern": TIME });
        json_schema!({ "anyOf": [time, { "type": "array", "items": time, "maxItems": 16 }] })
    };
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Within<LEAST, MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("time_of_{LEAST}_to_{MOST}_us").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let bounds = [LEAST, MOST].map(|micros| shown(std::time::Duration::from_micros(micros)));
        json_schema!({ "type": "string", "pattern": TIME, "examples": bounds })
    }
}

impl<const LEAST: u32, const MOST: u32> JsonSchema for Whole<LEAST, MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("whole_of_{LEAST}_to_{MOST}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// The table of thresholds: a property for each metric, and patterns for those with a scope.
pub(super) fn thresholds(generator: &mut SchemaGenerator) -> Schema {
    let written = generator.subschema_for::<Written>();
    let limit = |description: &str| {
        json!({
            "description": description,
            "anyOf": [{ "type": "string", "pattern": r"^\s*(<|<=|=|>=|>)" }, written],
        })
    };
    let (mut properties, mut patterns) = (Map::new(), Map::new());
    for metric in Metric::ALL {
        let (name, unit) = (metric.name(), metric.quantity().unit());
        let unit = if unit.is_empty() { String::new() } else { format!(" In {unit}.") };
        let described = limit(&format!("{}{unit}", metric.meaning()));
        let escaped = name.replace('.', r"\.");
        let statistics = match (metric.is_distribution(), metric.is_per_device()) {
            (true, _) => r"\.(min|mean|max|p[0-9]+)",
            (_, true) => r"(\.(min|mean|max|p[0-9]+|worst|worst_1pct))?",
            _ => "",
        };
        if statistics.is_empty() {
            properties.insert(name.to_owned(), described.clone());
        } else {
            properties.insert(format!("{name}.{}", example(*metric)), described.clone());
        }
        let scope = if metric.is_whole_run_only() {
            ""
        } else {
            r"(within .+ of [\p{L}\p{N}_-]+\.|[\p{L}\p{N}_-]+\.)?"
        };
        patterns.insert(format!("^{scope}{escaped}{statistics}$"), described);
    }
    let object: Value = json!({
        "type": "object",
        "description": "What must hold: \"[scope.]metric[.statistic]\" = \"limit\", or a table with more to say.",
        "properties": properties,
        "patternProperties": patterns,
        "additionalProperties": false,
    });
    Schema::try_from(object).expect("an object is a schema")
}

/// A statistic for editors to offer.
fn example(metric: Metric) -> &'static str {
    if metric.is_per_device() { "worst" } else { "p99" }
}

#[cfg(test)]
mod tests;
