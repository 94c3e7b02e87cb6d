//! What the program that started the gateway may tell it on standard input: JSON, a line each.
//!
//! ```text
//! {"command":"faults","faults":{"dropped_replies":"5%"}}    → {"event":"faults"}
//! anything else                                             → {"event":"refused","error":"…"}
//! ```
//! Each line has its answer on standard output, in order. The end of standard input stops the gateway.

use std::io::{self, BufRead, Read};

use gateway::{FaultSettings, FaultSwitch};
use serde::Deserialize;

/// The longest line; more than this is no command.
const LONGEST: u64 = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
enum Command {
    /// These faults are on from now on, and no others.
    Faults { faults: FaultSettings },
}

/// Follows commands until `input` ends, and hands each answer on: `Err` says why not.
pub(crate) fn follow(
    mut input: impl BufRead,
    switch: &FaultSwitch,
    mut answer: impl FnMut(Result<(), String>),
) {
    loop {
        let mut line = Vec::new();
        match read_line(&mut input, &mut line) {
            // Whatever ends it, an error too, there is nobody left who could close it.
            Ok(Line::End) | Err(_) => return,
            Ok(Line::TooLong) => {
                answer(Err(format!("a line of more than {LONGEST} bytes is no command")));
            }
            Ok(Line::Whole) if line.trim_ascii().is_empty() => {}
            Ok(Line::Whole) => answer(obey(&line, switch)),
        }
    }
}

enum Line {
    Whole,
    TooLong,
    End,
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    if input.by_ref().take(LONGEST).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
        skip_line(input)?;
        return Ok(Line::TooLong);
    }
    Ok(Line::Whole)
}

/// Reads to the end of the line, a buffer at a time.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|&byte| byte == b'\n');
        let (used, over) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if over {
            return Ok(());
        }
    }
}

fn obey(line: &[u8], switch: &FaultSwitch) -> Result<(), String> {
    let command = serde_json::from_slice(line).map_err(|error| format!("no command: {error}"))?;
    let Command::Faults { faults } = command;
    switch.set(faults).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> Vec<Result<(), String>> {
        let switch = FaultSwitch::new(FaultSettings::default());
        let mut answers = Vec::new();
        follow(input, &switch, |answer| answers.push(answer));
        answers
    }

    #[test]
    fn every_line_has_its_answer_and_none_is_fatal() {
        let good = "{\"command\":\"faults\",\"faults\":{\"dropped_replies\":\"5%\"}}\n";
        let long = "x".repeat(200_000);
        let input = format!(
            "{good}\n[\n{{\"command\":\"stop\"}}\n{{\"command\":\"faults\",\"faults\":{{\"dropped\":1}}}}\n{long}\n{good}{good}"
        );
        let answers = answers(input.as_bytes());
        let said: Vec<_> = answers
            .iter()
            .map(|answer| match answer {
                Ok(()) => "done",
                Err(error) => error.as_str(),
            })
            .collect();
        assert_eq!(said.len(), 7, "{said:?}");
        for (at, part) in [
            (0, "done"),
            (1, "no command: EOF"),
            (2, "unknown variant `stop`, expected `faults`"),
            (3, "unknown field `dropped`, expected one of"),
            (4, "more than 65536 bytes"),
            (5, "done"),
            (6, "done"),
        ] {
            assert!(said[at].contains(part), "{at}: {}", said[at]);
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_a_last_line_without_an_end_are_answered() {
        let answers = answers(&[0xff, 0xfe, b'\n', b'{', b'}']);
        assert_eq!(answers.len(), 2);
        assert!(answers.iter().all(Result::is_err));
    }
}
