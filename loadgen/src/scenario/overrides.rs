//! `--set key.path=value`: changes a scenario from the command line.
//!
//! A path leads through tables by key and through `phase` by its name or its number from 0:
//! `gateway.backend=relay`, `phase.burst.devices=200`, `phase.0.hold=20s`. The value is read as
//! TOML where it is TOML, and as text otherwise, so that durations need no quotes.

use std::path::Path;

use toml::{Table, Value};

use super::ScenarioError;

/// The scenario's text with every override applied.
pub(super) fn apply(
    path: &Path,
    text: &str,
    overrides: &[String],
) -> Result<String, ScenarioError> {
    let mut document: Table =
        text.parse().map_err(|error| ScenarioError::from_toml(path, text, &error))?;
    for set in overrides {
        apply_one(&mut document, set).map_err(|message| {
            ScenarioError::whole(path, format!("--set {set}: {message}"))
                .with_help("write --set key.path=value, for example --set gateway.backend=relay or --set phase.0.devices=100".to_owned())
        })?;
    }
    Ok(toml::to_string(&document).expect("a table that was read can be written"))
}

fn apply_one(document: &mut Table, set: &str) -> Result<(), String> {
    let (path, value) = set.split_once('=').ok_or("there is no `=`")?;
    let keys = split_path(path.trim())?;
    let (last, through) = keys.split_last().ok_or("the key is empty")?;
    let mut table = document;
    let mut walked = String::new();
    let mut keys = through.iter();
    while let Some(key) = keys.next() {
        walked = if walked.is_empty() { key.clone() } else { format!("{walked}.{key}") };
        let entry = table.entry(key.as_str()).or_insert_with(|| Value::Table(Table::new()));
        table = match entry {
            Value::Table(inner) => inner,
            Value::Array(items) => {
                let item =
                    keys.next().ok_or(format!("`{walked}` is a list: name one of its items"))?;
                walked = format!("{walked}.{item}");
                find_item(items, item).ok_or(format!("there is no `{walked}`"))?
            }
            _ => return Err(format!("`{walked}` is a value, not a table")),
        };
    }
    if matches!(table.get(last), Some(Value::Array(items)) if items.iter().any(Value::is_table)) {
        return Err(format!("`{path}` is a list of tables: name one of its items and a key"));
    }
    table.insert(last.clone(), read_value(value.trim()));
    Ok(())
}

/// Dots separate keys, but not between double quotes: `thresholds."send_lag.p99"`.
fn split_path(path: &str) -> Result<Vec<String>, String> {
    let mut keys = vec![String::new()];
    let mut quoted = false;
    for c in path.chars() {
        match c {
            '"' => quoted = !quoted,
            '.' if !quoted => keys.push(String::new()),
            c => keys.last_mut().expect("there is always a key").push(c),
        }
    }
    // Names of metrics have dots of their own.
    if let Some((first, rest)) = keys.split_first()
        && first == "thresholds"
        && rest.len() > 1
    {
        keys = vec![first.clone(), rest.join(".")];
    }
    if quoted || keys.iter().any(String::is_empty) {
        return Err("a key in the path is empty or a quote is not closed".to_owned());
    }
    Ok(keys)
}

/// The item of this number or `name`.
fn find_item<'a>(items: &'a mut [Value], item: &str) -> Option<&'a mut Table> {
    let by_name =
        items.iter().position(|value| value.get("name").and_then(Value::as_str) == Some(item));
    let index = by_name.or_else(|| item.parse().ok())?;
    items.get_mut(index)?.as_table_mut()
}

fn read_value(text: &str) -> Value {
    let as_toml: Option<Table> = format!("value = {text}").parse().ok();
    as_toml
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "seed = 1\n[[phase]]\nname = \"calm\"\nhold = \"1s\"\n[[phase]]\nhold = \"2s\"\n";

    fn applied(set: &str) -> Result<Table, String> {
        let mut document: Table = TEXT.parse().unwrap();
        apply_one(&mut document, set).map(|()| document)
    }

    #[test]
    fn paths_lead_through_tables_and_phases() {
        assert_eq!(applied("seed=7").unwrap()["seed"], Value::Integer(7));
        assert_eq!(
            applied("gateway.backend=relay").unwrap()["gateway"]["backend"].as_str(),
            Some("relay")
        );
        assert_eq!(
            applied("phase.calm.hold=20s").unwrap()["phase"][0]["hold"].as_str(),
            Some("20s")
        );
        assert_eq!(applied("phase.1.hold=20s").unwrap()["phase"][1]["hold"].as_str(), Some("20s"));
        assert_eq!(
            applied("thresholds.send_lag.p99=< 1ms").unwrap()["thresholds"]["send_lag.p99"]
                .as_str(),
            Some("< 1ms")
        );
    }

    #[test]
    fn paths_that_lead_nowhere_say_so() {
        for (set, reason) in [
            ("seed", "no `=`"),
            ("=1", "empty"),
            ("seed.deep=1", "`seed` is a value"),
            ("phase.storm.hold=1s", "no `phase.storm`"),
            ("phase.9.hold=1s", "no `phase.9`"),
            ("phase=3", "list of tables"),
            ("a..b=1", "empty"),
        ] {
            let error = applied(set).unwrap_err();
            assert!(error.contains(reason), "{set}: {error}");
        }
    }
}
