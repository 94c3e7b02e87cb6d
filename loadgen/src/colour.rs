//! When to colour: on a terminal, unless the environment says otherwise.

use std::env;
use std::ffi::OsString;

/// Whether text on a stream is coloured, by the customs of `no-color.org` and
/// `bixense.com/clicolors`. The first that applies decides:
///
/// 1. `NO_COLOR` set and not empty: no.
/// 2. `CLICOLOR_FORCE` set, not empty and not `0`: yes, on a terminal or not, as in a CI log.
/// 3. `CLICOLOR=0`, or `TERM=dumb`: no.
/// 4. Whether the stream is a terminal.
pub fn wanted(is_terminal: bool) -> bool {
    by_environment(|name| env::var_os(name), is_terminal)
}

fn by_environment(variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let plain = set("CLICOLOR").is_some_and(|value| value == "0")
        || set("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_before_the_terminal() {
        // Environment, then: coloured on a terminal, coloured elsewhere.
        for (environment, on_terminal, elsewhere) in [
            (&[][..], true, false),
            (&[("NO_COLOR", "1")][..], false, false),
            (&[("NO_COLOR", "")], true, false),
            (&[("CLICOLOR_FORCE", "1")], true, true),
            (&[("CLICOLOR_FORCE", "0")], true, false),
            (&[("CLICOLOR_FORCE", "")], true, false),
            (&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false, false),
            (&[("CLICOLOR", "0")], false, false),
            (&[("CLICOLOR", "1")], true, false),
            (&[("CLICOLOR", "0"), ("CLICOLOR_FORCE", "1")], true, true),
            (&[("TERM", "dumb")], false, false),
            (&[("TERM", "xterm")], true, false),
        ] {
            let variable = |name: &str| {
                let found = environment.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let coloured = [true, false].map(|terminal| by_environment(variable, terminal));
            assert_eq!(coloured, [on_terminal, elsewhere], "{environment:?}");
        }
    }
}
