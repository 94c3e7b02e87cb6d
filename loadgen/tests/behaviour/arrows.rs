//! The dependency arrows of ARCHITECTURE.md, kept by a test: who may depend on whom, and who must
//! stay free of an executor.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// `crate → crates of ours it may depend on` in a normal build.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("measure", &[]),
    ("platform", &["protocol"]),
    ("codec", &["protocol"]),
    ("simnet", &["protocol"]),
    ("reports", &["measure"]),
    ("gateway", &["protocol", "platform", "codec", "measure"]),
    ("loadgen", &["protocol", "platform", "codec", "simnet", "measure", "reports"]),
    (
        "benches",
        &["protocol", "platform", "codec", "simnet", "measure", "reports", "gateway", "loadgen"],
    ),
];

/// More arrows that development (tests, examples) may have.
const DEVELOPMENT_ARROWS: &[(&str, &[&str])] =
    &[("gateway", &["simnet"]), ("loadgen", &["gateway"]), ("simnet", &["measure"])];

/// Pure crates: no executor.
const WITHOUT_TOKIO: &[&str] = &["protocol", "measure", "simnet"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("packages are a list").clone()
}

/// Names of dependencies of `package`, normal (and build) or for development.
fn dependencies(package: &Value, development: bool) -> BTreeSet<String> {
    let of_kind = |dependency: &&Value| (dependency["kind"] == "dev") == development;
    let list = package["dependencies"].as_array().expect("dependencies are a list");
    list.iter().filter(of_kind).map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_dependency_follows_an_arrow() {
    let packages = packages();
    let ours: BTreeSet<&str> =
        packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let normal: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let development: BTreeMap<_, _> = DEVELOPMENT_ARROWS.iter().copied().collect();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        let allowed = normal.get(name).unwrap_or_else(|| panic!("{name} has no arrows here"));
        let more = development.get(name).copied().unwrap_or(&[]);
        for (of_development, allowed) in
            [(false, allowed.to_vec()), (true, [allowed, more].concat())]
        {
            for dependency in dependencies(package, of_development) {
                if ours.contains(dependency.as_str()) {
                    assert!(
                        allowed.contains(&dependency.as_str()),
                        "{name} must not depend on {dependency} (development: {of_development})"
                    );
                }
            }
        }
    }
}

#[test]
fn pure_crates_know_no_executor() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if WITHOUT_TOKIO.contains(&name) {
            for development in [false, true] {
                let dependencies = dependencies(&package, development);
                assert!(!dependencies.contains("tokio"), "{name} must not depend on tokio");
            }
        }
    }
}
