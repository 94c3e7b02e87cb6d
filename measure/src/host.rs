//! Whether two records are of the same host: its fingerprint.

use std::collections::BTreeMap;

use serde_json::Value;

/// A host as [`RunRecord::host`](crate::record::RunRecord::host) describes it.
pub type Host = BTreeMap<String, Value>;

/// What must be the same for times to be compared. Names of hosts are not among it: CI gives each job
/// another one.
const FINGERPRINT: [(&str, &str); 4] = [
    ("cpu_model", "CPU"),
    ("cores", "cores"),
    ("memory_mib", "MiB of memory"),
    ("kernel", "kernel"),
];
/// Memory that the kernel keeps for itself differs from start to start.
const MEMORY_SHARE: f64 = 0.05;

/// How two hosts differ, one sentence a difference; empty when their fingerprints match.
pub fn differences(ours: &Host, theirs: &Host) -> Vec<String> {
    let differs = |&(key, name): &(&str, &str)| {
        let (a, b) = (ours.get(key), theirs.get(key));
        let same = match (a.and_then(Value::as_f64), b.and_then(Value::as_f64)) {
            (Some(a), Some(b)) if key == "memory_mib" => (a - b).abs() <= a.max(b) * MEMORY_SHARE,
            _ => a == b,
        };
        let shown = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "unknown".to_owned(),
        };
        (!same).then(|| format!("{name} {}, not {}", shown(a), shown(b)))
    };
    FINGERPRINT.iter().filter_map(differs).collect()
}

/// A host in a line.
pub fn words(host: &Host) -> String {
    let of = |key: &str| match host.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "unknown".to_owned(),
    };
    format!(
        "{} cores of {}, {} MiB, Linux {}",
        of("cores"),
        of("cpu_model"),
        of("memory_mib"),
        of("kernel")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn host(cores: u32, memory_mib: u32, hostname: &str) -> Host {
        let host = json!({"cores": cores, "memory_mib": memory_mib, "hostname": hostname,
                          "cpu_model": "Model", "kernel": "6.1"});
        serde_json::from_value(host).unwrap()
    }

    #[test]
    fn a_fingerprint_is_of_the_machine_and_not_of_its_name() {
        assert_eq!(differences(&host(2, 8000, "a"), &host(2, 8100, "b")), [""; 0]);
        assert_eq!(
            differences(&host(2, 8000, "a"), &host(4, 16_000, "a")),
            ["cores 2, not 4", "MiB of memory 8000, not 16000"]
        );
        let unknown = differences(&host(2, 8000, "a"), &Host::new());
        assert_eq!(unknown.len(), 4, "{unknown:?}");
        assert_eq!(words(&host(2, 8000, "a")), "2 cores of Model, 8000 MiB, Linux 6.1");
    }
}
