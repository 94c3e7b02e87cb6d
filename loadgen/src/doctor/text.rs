//! The report of `din doctor` for people: a line for each subject, read in ten seconds.

use std::fmt::Write;

use super::Report;
use super::judge::{Finding, Grade};

/// The whole report, ending in a line break; `colour` for terminals (ANSI).
pub fn text(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut out, report, colour);
    out
}

fn write(out: &mut String, report: &Report, colour: bool) -> std::fmt::Result {
    let worst = report.findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Ok);
    let sentence = match worst {
        Grade::Ok => "this host is fit to measure on",
        Grade::Note => "this host is fit to measure on, within the limits noted",
        Grade::Warn => "runs on this host may be SUSPECT or INVALID",
    };
    let (name, kernel) = match report.facts.processors.known() {
        Some(host) => (&host.hostname[..], &host.kernel[..]),
        None => ("this host", "?"),
    };
    writeln!(
        out,
        "{}  {name}, Linux {kernel}; din {}, measured for {:.1} s",
        painted(sentence, worst, colour),
        report.din_version,
        report.facts.seconds
    )?;
    writeln!(out)?;
    let width = widest(&report.findings, |finding| &finding.subject);
    let seen_width = widest(
        &report.findings.iter().filter(|one| one.samples.is_some()).cloned().collect::<Vec<_>>(),
        |finding| &finding.seen,
    );
    for Finding { subject, grade, seen, samples, advice } in &report.findings {
        let mark = match grade {
            Grade::Ok => "ok  ",
            Grade::Note => "note",
            Grade::Warn => "WARN",
        };
        write!(out, "  {}  {subject:<width$}  ", painted(mark, *grade, colour))?;
        match samples {
            Some(samples) => writeln!(out, "{seen:<seen_width$}  n = {samples}")?,
            None => writeln!(out, "{seen}")?,
        }
        if let Some(advice) = advice {
            writeln!(out, "        {:width$}  → {advice}", "")?;
        }
    }
    writeln!(out)?;
    writeln!(
        out,
        "  devices of 60 ms frames, estimated from the cost of a frame; handshakes, memory and a real\n  network are not in it. A run says by itself whether it may be believed."
    )
}

fn widest(findings: &[Finding], of: fn(&Finding) -> &str) -> usize {
    findings.iter().map(|finding| of(finding).chars().count()).max().unwrap_or(0)
}

fn painted(text: &str, grade: Grade, colour: bool) -> String {
    let code = match grade {
        Grade::Ok => "1;32",
        Grade::Note => "1;33",
        Grade::Warn => "1;31",
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
