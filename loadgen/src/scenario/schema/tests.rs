//! The schema against the scenarios that there are, and against what the parser takes.

use std::collections::BTreeSet;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};

use super::*;
use crate::scenario::Scenario;

fn schema() -> Value {
    serde_json::from_str(&json_schema()).unwrap()
}

/// Whether the schema takes a file; otherwise what it says.
struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("scenario.json", schema()).unwrap();
        let index = compiler.compile("scenario.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn takes(&self, text: &str) -> Result<(), String> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let value = serde_json::to_value(table).unwrap();
        self.schemas.validate(&value, self.index).map_err(|error| error.to_string())
    }
}

#[test]
fn every_scenario_that_comes_with_din_is_valid() {
    let validator = Validator::new();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut seen = 0;
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            validator.takes(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} scenarios");
    validator.takes(include_str!("../../starter.toml")).unwrap();
}

#[test]
fn what_a_schema_can_refuse_it_refuses() {
    let validator = Validator::new();
    let with = |line: &str| format!("{line}\n[[phase]]\ndevices = 1\nhold = \"1s\"\n");
    assert_eq!(validator.takes(&with("seed = 3")), Ok(()));
    for line in [
        "sede = 3",
        "seed = -1",
        "drain = 2",
        "drain = \"2 parsecs\"",
        "[gateway]\nbackend = \"eco\"",
        "[gateway]\nworkers = 0",
        "[gateway]\nburn = { kind = \"wait\", tim = \"1ms\" }",
        "[gateway.faults]\ndropped_replies = 0.5",
        "[devices]\nframe = \"30ms\"",
        "[devices]\ntalk = { lisen = \"2s\" }",
        "[[group]]\nname = \"a\"",
        "[[action]]\nat = \"1s\"\ndo = \"gateway.explode\"",
        "[thresholds]\n\"respons_latency.p99\" = \"< 40ms\"",
        "[thresholds]\n\"response_latency\" = \"< 40ms\"",
        "[thresholds]\n\"frames_lost\" = \"0\"",
        "[thresholds]\n\"frames_lost\" = { limt = \"= 0\" }",
    ] {
        assert!(validator.takes(&with(line)).is_err(), "{line}");
    }
    for line in [
        "[thresholds]\n\"within 5s of burst.response_latency.p999\" = \"< 2x calm\"",
        "[thresholds]\n\"calm.frames_lost\" = { limit = \"= 0\", warn = true }",
        "[thresholds]\n\"effective_loss.worst_1pct\" = \"< 1%\"",
    ] {
        assert_eq!(validator.takes(&with(line)), Ok(()), "{line}");
    }
    assert!(validator.takes("seed = 1").is_err(), "a scenario has phases");
}

/// Each table that the schema describes: its name, and its keys.
fn tables() -> Vec<(String, Value)> {
    let schema = schema();
    let mut tables = vec![("Scenario".to_owned(), schema.clone())];
    for (name, table) in schema["$defs"].as_object().unwrap() {
        if table["properties"].is_object() {
            tables.push((name.clone(), table.clone()));
        }
    }
    tables
}

#[test]
fn every_key_and_every_table_is_described() {
    let tables = tables();
    assert!(tables.len() >= 14, "{}", tables.len());
    for (name, table) in tables {
        assert!(table["description"].is_string(), "{name} is not described");
        assert_eq!(table["additionalProperties"], false, "{name}");
        for (key, value) in table["properties"].as_object().unwrap() {
            assert!(value["description"].is_string(), "{name}.{key} is not described");
        }
    }
}

/// Where each table may stand, and a line that makes it one.
const PLACES: [(&str, &str); 19] = [
    ("Scenario", "NONSENSE"),
    ("Gateway", "[gateway]\nNONSENSE"),
    ("Assistant", "[gateway]\nassistant = { NONSENSE }"),
    ("Autoscale", "[gateway]\nautoscaler = { NONSENSE }"),
    ("Burn", "[gateway]\nburn = { NONSENSE }"),
    ("Faults", "[gateway.faults]\nNONSENSE"),
    ("WorkerStall", "[gateway.faults]\nworker_stall = { NONSENSE }"),
    ("GatewayStall", "[gateway.faults]\ngateway_stall = { NONSENSE }"),
    ("Devices", "[devices]\nNONSENSE"),
    ("Turns", "[devices]\ntalk = { NONSENSE }"),
    ("Group", "[[group]]\nNONSENSE"),
    ("Network", "[devices]\nnetwork = { NONSENSE }"),
    ("Impairment", "[devices]\nnetwork = { uplink = { NONSENSE } }"),
    ("Stall", "[devices]\nnetwork = { uplink = { stall = { NONSENSE } } }"),
    ("Outage", "[devices]\nnetwork = { uplink = { outage = { NONSENSE } } }"),
    ("Generator", "[generator]\nNONSENSE"),
    ("Action", "[[action]]\nNONSENSE"),
    ("Search", "[search]\nvary = \"seed\"\nfrom = 1\nNONSENSE"),
    ("Threshold", "[thresholds]\n\"frames_lost\" = { NONSENSE }"),
];

const PHASE_PLACES: [(&str, &str); 4] = [
    ("Phase", "NONSENSE"),
    ("Wave", "wave = { NONSENSE }"),
    ("Arrivals", "arrivals = { NONSENSE }"),
    ("Churn", "churn = { NONSENSE }"),
];

/// The keys that the parser allows where an unknown one stands.
fn allowed(text: &str) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    let error = Scenario::load(&path, &[]).unwrap_err().to_string();
    let (_, listed) =
        error.split_once("allowed here: ").unwrap_or_else(|| panic!("{text}\n{error}"));
    listed.split(", ").map(|key| key.trim().to_owned()).collect()
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    let tables = tables();
    let phase = "[[phase]]\ndevices = 1\nhold = \"1s\"\n";
    let placed = PLACES.iter().map(|&(name, line)| {
        let line = line.replace("NONSENSE", "nonsense = 1");
        // What stands at the top must come first.
        (
            name,
            if name == "Scenario" {
                format!("{line}\n{phase}")
            } else {
                format!("{phase}{line}\n")
            },
        )
    });
    let in_phase = PHASE_PLACES.iter().map(|&(name, line)| {
        (name, format!("{phase}{}\n", line.replace("NONSENSE", "nonsense = 1")))
    });
    let mut seen = BTreeSet::new();
    for (name, text) in placed.chain(in_phase) {
        let (_, table) =
            tables.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("{name}"));
        let keys: BTreeSet<String> =
            table["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, allowed(&text), "{name}");
        seen.insert(name);
    }
    let all: BTreeSet<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(seen, all, "a table without a place in this test");
}

#[test]
fn the_schema_that_is_kept_is_the_one_that_is_printed() {
    let kept = include_str!("../../../../docs/scenario.schema.json");
    assert!(
        kept == json_schema(),
        "docs/scenario.schema.json is old: write it anew with `just index`"
    );
}
