//! What the reader of TOML says, in the words of somebody who writes a scenario.

/// A message, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// `said` in plain words.
pub(super) fn plain(said: &str) -> Plain {
    let said = said.trim().replace('\n', ", ");
    let with = |message: String, help: &str| Plain { message, help: Some(help.to_owned()) };
    if let Some((seen, expected)) = mistaken(&said) {
        return Plain {
            message: format!("{seen} stands where {expected} is expected"),
            help: None,
        };
    }
    if let Some(field) = said.strip_prefix("missing field ") {
        if field == "`phase`" {
            let example =
                "add a phase, for example: [[phase]] with devices = 10 and hold = \"10s\"";
            return with("there is no phase: nothing would run".to_owned(), example);
        }
        let help = "write it beside the others; `din schema` describes every key";
        return with(format!("{field} is missing"), help);
    }
    for (part, message, help) in [
        ("duplicate key", "it stands twice", "leave one of them out"),
        (
            "max recursion depth",
            "lists or tables within each other, too deep to be read",
            "a scenario needs three levels at most",
        ),
        (
            "basic string",
            "a text that is not closed, or has a character in it that cannot be seen",
            "write texts in double quotes, each on one line: title = \"First call\"",
        ),
        ("key with no value", "a key without a value", "write key = value, for example seed = 1"),
    ] {
        if said.contains(part) {
            return with(message.to_owned(), help);
        }
    }
    Plain { message: said, help: None }
}

/// "invalid type: integer `10`, expected a boolean", taken apart and reworded.
fn mistaken(said: &str) -> Option<(String, String)> {
    let rest = said.strip_prefix("invalid type: ").or(said.strip_prefix("invalid value: "))?;
    let (seen, expected) = rest.split_once(", expected ")?;
    let quoted = seen.split('`').nth(1);
    let seen = match seen.split_whitespace().next()? {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "string" => format!("the text {}", seen.trim_start_matches("string ")),
        "integer" | "floating" => format!("the number {}", quoted?),
        "boolean" => quoted?.to_owned(),
        _ => seen.to_owned(),
    };
    let expected = match expected {
        "i64" | "u64" | "u32" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => {
            "a list of tables, each under a heading in double brackets such as [[phase]],"
        }
        "a map" => "a table",
        table if table.starts_with("struct ") => "a table, with keys of its own,",
        other => other,
    };
    Some((seen, expected.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_what_people_call_them() {
        for (said, message) in [
            (
                "invalid type: integer `10`, expected a string",
                "the number 10 stands where a text in quotes is expected",
            ),
            (
                "invalid type: floating point `1.5`, expected i64",
                "the number 1.5 stands where a whole number is expected",
            ),
            (
                "invalid type: string \"ten\", expected i64",
                "the text \"ten\" stands where a whole number is expected",
            ),
            (
                "invalid type: sequence, expected a boolean",
                "a list stands where true or false is expected",
            ),
            (
                "invalid type: string \"x\", expected struct GatewayTable",
                "the text \"x\" stands where a table, with keys of its own, is expected",
            ),
            (
                "invalid type: boolean `true`, expected a duration, for example \"1s\"",
                "true stands where a duration, for example \"1s\" is expected",
            ),
            ("missing field `share`", "`share` is missing"),
            ("duplicate key", "it stands twice"),
            ("share `5`: write a percent sign", "share `5`: write a percent sign"),
        ] {
            assert_eq!(plain(said).message, message);
        }
        assert!(plain("missing field `phase`").help.unwrap().contains("[[phase]]"));
    }
}
