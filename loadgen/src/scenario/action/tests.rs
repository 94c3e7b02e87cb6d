use super::*;
use crate::scenario::Scenario;

/// A calm of 10 s and a burst of 10 s, with these actions.
fn read(actions: &str) -> Result<Vec<Action>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.toml");
    let phases = "[[phase]]\nname = \"calm\"\ndevices = 4\nhold = \"10s\"\n\
                  [[phase]]\nname = \"burst\"\ndevices = 9\nhold = \"10s\"\n";
    std::fs::write(&path, format!("{phases}{actions}")).unwrap();
    let scenario = Scenario::load(&path, &[]).map_err(|error| error.to_string())?;
    Ok(scenario.actions)
}

fn action(rest: &str) -> String {
    format!("[[action]]\n{rest}\n")
}

#[test]
fn actions_are_read_in_their_order_with_their_defaults() {
    let seconds = Duration::from_secs;
    let text = [
        action("at = \"burst + 2s\"\ndo = \"gateway.restart\"\nname = \"restart\"\ndown = \"3s\""),
        action("at = \"1s\"\ndo = \"devices.drop\"\nshare = \"50%\"\nspread = \"2s\""),
        action(
            "at = \"burst\"\ndo = \"gateway.fault\"\nfaults = { hello_limit = 3 }\nfor = \"1s\"",
        ),
    ];
    let actions = read(&text.concat()).unwrap();
    let shown: Vec<_> = actions.iter().map(|one| (one.at, one.what.to_string())).collect();
    let expected = [
        (1, "50 % of the devices lose their connections, for 1s and up to 2s more"),
        (10, "faults for 1s: hello_limit 3"),
        (12, "the gateway is stopped and started again 3s later; devices are away for 4s"),
    ];
    assert_eq!(shown, expected.map(|(at, what)| (seconds(at), what.to_owned())));
    assert_eq!(actions[2].name.as_deref(), Some("restart"));
}

#[test]
fn other_actions_are_refused_where_they_stand() {
    for (rest, said, help) in [
        (
            "at = \"1s\"\ndo = \"gateway.stop\"",
            "unknown value `gateway.stop`",
            "allowed here: devices.drop",
        ),
        ("at = \"1s\"\ndo = \"devices.drop\"", "`share` is missing", "share = \"50%\""),
        ("at = \"1s\"\ndo = \"gateway.fault\"", "`faults` is missing", "dropped_replies"),
        ("at = \"1s\"\ndo = \"gateway.fault\"\nfaults = {}", "names no fault", "dropped_replies"),
        (
            "at = \"1s\"\ndo = \"gateway.fault\"\nfaults = { shared_codec = true }",
            "`shared_codec` can be on from the start only",
            "[gateway.faults]",
        ),
        (
            "at = \"19s\"\ndo = \"gateway.fault\"\nfaults = { hello_limit = 1 }\nfor = \"2s\"",
            "lasts 2s, and the run ends at 20s",
            "until the end",
        ),
        (
            "at = \"1s\"\ndo = \"devices.drop\"\nshare = \"5%\"\ndown = \"1s\"",
            "`down` means nothing to `devices.drop`",
            "share, away, spread",
        ),
        ("at = \"20s\"\ndo = \"gateway.restart\"", "the run ends at 20s", "before the end"),
        (
            "at = \"brst\"\ndo = \"gateway.restart\"",
            "there is no phase `brst`",
            "did you mean `burst`?",
        ),
        (
            "at = \"1s\"\ndo = \"gateway.restart\"\nname = \"calm\"",
            "is that of a phase",
            "choose another",
        ),
        ("at = \"1s\"\ndo = \"gateway.restart\"\nname = \"a b\"", "allowed are letters", "restart"),
        (
            "at = \"1s\"\ndo = \"gateway.restart\"\nhow = \"crash\"",
            "unknown value `crash`",
            "stop, kill",
        ),
    ] {
        let error = read(&action(rest)).unwrap_err();
        assert!(error.contains(said) && error.contains(help), "{rest}\n{error}");
        assert!(error.contains("test.toml:"), "{error}");
    }
}

#[test]
fn nothing_can_be_done_to_a_gateway_that_is_down() {
    let restart = |at| action(&format!("at = \"{at}\"\ndo = \"gateway.restart\"\ndown = \"2s\""));
    let fault = |at| {
        action(&format!("at = \"{at}\"\ndo = \"gateway.fault\"\nfaults = {{ hello_limit = 1 }}"))
    };
    for (first, second) in [(restart("5s"), restart("6s")), (restart("5s"), fault("6999ms"))] {
        let error = read(&(first + &second)).unwrap_err();
        assert!(error.contains("the gateway is down until 7s"), "{error}");
    }
    assert_eq!(read(&(restart("5s") + &restart("7s") + &fault("9s"))).unwrap().len(), 3);
    let named = |at| action(&format!("at = \"{at}\"\nname = \"r\"\ndo = \"gateway.restart\""));
    let error = read(&(named("1s") + &named("9s"))).unwrap_err();
    assert!(error.contains("action name `r` is used twice"), "{error}");
}
