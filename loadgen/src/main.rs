//! `din`: the command line.

mod cli;
mod study_commands;

use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use loadgen::ci_outputs::CiOutputs;
use loadgen::doctor::text::text;
use loadgen::doctor::{DoctorError, examine};
use loadgen::library::Library;
use loadgen::plan::{self, FrameCost, Host};
use loadgen::replay::Replay;
use loadgen::report_command::{self, Format};
use loadgen::run::{RunDone, RunError, RunRequest, run};
use loadgen::run_directory;
use loadgen::scenario::{Scenario, Setting, json_schema, suggestion};
use loadgen::voice::Voices;
use loadgen::{colour, fit, import, network_text, replay, starter, watch_page};
use measure::heard::HeardRecord;
use reports::improvement;
use reports::run_files::RunFiles;
use reports::terminal::{self, Style};
use simnet::Preset;

use cli::{
    CheckArgs, Cli, Command, DoctorArgs, How, Import, ImportRunArgs, ListArgs, LogArgs,
    MahimahiArgs, NetworkArgs, NewArgs, PcapArgs, ReplayArgs, ReportArgs, RunArgs, Say, WatchArgs,
};

const BAD_INPUT: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check(args) => check(&args),
        Command::List(args) => list(&args),
        Command::New(args) => new(&args),
        Command::Schema => {
            print(&json_schema());
            Ok(0)
        }
        Command::Run(args) => run_args(&args),
        Command::Replay(args) => replay(&args),
        Command::Search(args) => study_commands::search(&args),
        Command::Plan(args) => study_commands::plan(&args),
        Command::Baseline(command) => study_commands::baselines(&command),
        Command::History(args) => study_commands::history(&args),
        Command::Compare(args) => study_commands::compare(&args),
        Command::Watch(args) => watch(&args),
        Command::Report(args) => report(&args),
        Command::Network(args) => network(&args),
        Command::Import(import) => import_args(&import),
        Command::Fit(args) => {
            fit::fit_file(&args.trace, Duration::from_millis(args.frame)).map(|fitted| {
                print(&fit::text(&fitted));
                0
            })
        }
        Command::Doctor(args) => doctor(&args),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let coloured = colour::wanted(stderr().is_terminal());
            let label = if coloured { "\x1b[1;31merror\x1b[0m" } else { "error" };
            // Nobody to tell when standard error is closed.
            let _ = writeln!(stderr(), "{label}: {error:#}");
            let interrupted = matches!(error.downcast_ref(), Some(RunError::Interrupted))
                || matches!(error.downcast_ref(), Some(DoctorError::Interrupted));
            ExitCode::from(if interrupted { INTERRUPTED } else { BAD_INPUT })
        }
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let mut host = None;
    for path in &args.scenarios {
        let scenario = Scenario::load(path, &args.overrides.all())?;
        let voices = Voices::load(&scenario.devices.groups)?;
        let host = host.get_or_insert_with(Host::measure);
        let codec = FrameCost::measure(&scenario, &voices);
        print(&plan::describe(&scenario, &voices, host, &codec));
    }
    Ok(0)
}

fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let directory = args.directory.display();
    let library = Library::read(&args.directory).with_context(|| {
        format!(
            "cannot list {directory}; `din list DIR` takes a directory, `din new` makes {}",
            starter::SCENARIOS
        )
    })?;
    if library.is_empty() {
        anyhow::bail!(
            "there is no .toml file in {directory}; `din new` writes one into {}",
            starter::SCENARIOS
        );
    }
    print(&if args.markdown { library.markdown() } else { library.table() });
    match library.broken() {
        0 => Ok(0),
        broken => {
            anyhow::bail!("{broken} of {} files in {directory} cannot be run", library.len())
        }
    }
}

fn new(args: &NewArgs) -> anyhow::Result<u8> {
    let path = starter::write(Path::new(""), &args.name)?;
    let path = path.display();
    print(&format!(
        "wrote {path}\n\n  din check {path}   what it will do\n  din run {path}     do it\n"
    ));
    Ok(0)
}

fn run_args(args: &RunArgs) -> anyhow::Result<u8> {
    if args.both {
        return run_both(args);
    }
    let How { out, overrides, say, .. } = &args.how;
    let setting = if args.before { Setting::Before } else { Setting::AsWritten };
    let mut outputs = CiOutputs::open(say.junit.as_deref(), say.github)?;
    let scenario = Scenario::load_as(&args.scenario, &overrides.all(), setting)?;
    let told = run_one(Asked {
        baseline: args.baseline.clone(),
        target: args.target.clone(),
        ..Asked::of(scenario, out.clone(), &args.how)
    })?;
    tell(say, &told, &mut outputs)?;
    Ok(told.done.record.exit_code)
}

/// What was before, then what is.
fn run_both(args: &RunArgs) -> anyhow::Result<u8> {
    // Both are read before either runs.
    let [was, is] = [Setting::Before, Setting::AsWritten]
        .map(|setting| Scenario::load_as(&args.scenario, &args.how.overrides.all(), setting));
    let (was, is) = (was?, is?);
    let say = &args.how.say;
    let mut outputs = CiOutputs::open(say.junit.as_deref(), say.github)?;
    let out = match &args.how.out {
        Some(out) => out.clone(),
        None => run_directory::for_now(&args.scenario),
    };
    let asked = |scenario, name| Asked {
        target: args.target.clone(),
        ..Asked::of(scenario, Some(out.join(name)), &args.how)
    };
    let before = run_one(asked(was, "before"))?;
    print(&format!("before  {}\n", terminal::one_line(&before.done.record)));
    let mut code = before.done.record.exit_code;
    if code != INTERRUPTED {
        let after = run_one(asked(is, "after"))?;
        if say.quiet {
            print("after   ");
        } else {
            print("\n");
        }
        tell(say, &after, &mut outputs)?;
        let told = improvement::line(&before.files.record, &after.files.record);
        print(&format!("{}{told}\n", if say.quiet { "" } else { "\n" }));
        let exits = (before.files.record.exit_code, after.files.record.exit_code);
        code = improvement::exit_code(exits.0, exits.1);
        let both = [before.files, after.files];
        let written = report_command::write(&both, &[Format::Html], &out)?;
        if !say.quiet {
            print(&format!("  both           {}\n", written[0].display()));
        }
    }
    Ok(code)
}

/// What was recorded, again.
fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let How { out, overrides, say, .. } = &args.how;
    let mut outputs = CiOutputs::open(say.junit.as_deref(), say.github)?;
    let Replay { original, scenario, out } =
        replay::prepare(&args.what, &overrides.all(), out.as_deref())?;
    let told = run_one(Asked {
        target: args.against.clone(),
        original: Some(original.clone()),
        ..Asked::of(scenario, out, &args.how)
    })?;
    tell(say, &told, &mut outputs)?;
    if !say.json {
        let reproduced = reports::replay::heard_in(&told.files);
        print(&format!("\n{}", reports::replay::text(&original, &reproduced)));
    }
    Ok(told.done.record.exit_code)
}

/// A run that is asked for.
struct Asked<'a> {
    scenario: Scenario,
    target: Option<String>,
    out: Option<PathBuf>,
    baseline: Option<PathBuf>,
    /// What it plays again.
    original: Option<HeardRecord>,
    how: &'a How,
}

impl<'a> Asked<'a> {
    fn of(scenario: Scenario, out: Option<PathBuf>, how: &'a How) -> Self {
        Self { scenario, target: None, out, baseline: None, original: None, how }
    }
}

/// A run that was done, and what is kept of it.
struct Told {
    done: RunDone,
    files: RunFiles,
}

fn run_one(asked: Asked<'_>) -> anyhow::Result<Told> {
    let Asked { scenario, target, out, baseline, original, how } = asked;
    let done = run(&RunRequest {
        scenario,
        target,
        out,
        baseline,
        gateway_binary: how.means.gateway_binary.clone(),
        priority: how.means.priority.into(),
        quiet: how.say.quiet || how.say.json,
    })?;
    // The run is done: what cannot be made of its files takes nothing from it.
    if let Some(Err(error)) = original.map(|original| replay::keep(&original, &done.directory)) {
        warn(&format!("the original is not in the report: {error:#}"));
    }
    let files = RunFiles::read(&done.directory).unwrap_or_else(|error| {
        warn(&format!("the files of the run cannot be read back: {error}"));
        RunFiles::of_record(done.record.clone())
    });
    let formats = [Format::Html, Format::Markdown];
    if let Err(error) =
        report_command::write(std::slice::from_ref(&files), &formats, &done.directory)
    {
        warn(&format!("there is no report: {error}"));
    }
    Ok(Told { done, files })
}

/// Prints what a run came to, and writes it for CI.
fn tell(say: &Say, told: &Told, outputs: &mut CiOutputs) -> anyhow::Result<()> {
    let Told { done, files } = told;
    let RunDone { record, directory } = done;
    if say.json {
        let json = serde_json::to_string_pretty(record).context("cannot write the record")?;
        print(&(json + "\n"));
    } else if say.quiet {
        print(&(terminal::one_line(record) + "\n"));
    } else if !outputs.summary_is_printed() {
        let style = Style { colour: colour::wanted(stdout().is_terminal()) };
        let seconds = files.timeline.numbers("response_latency_p99_ms");
        print(&terminal::summary(record, &seconds, style));
        print(&format!("\n  run directory  {}\n", directory.display()));
        print(&format!("  report         {}\n", directory.join(report_command::PAGE).display()));
    }
    let for_ci = outputs
        .write(done)
        .with_context(|| format!("the run is done and kept in {}", directory.display()))?;
    print(&for_ci);
    Ok(())
}

fn watch(args: &WatchArgs) -> anyhow::Result<u8> {
    let directory = match &args.run {
        Some(run) => run.clone(),
        None => watch_page::newest()?,
    };
    watch_page::serve(&directory, (args.address, args.port).into(), |address| {
        print(&format!("watching {} at http://{address}\n", directory.display()));
    })?;
    Ok(0)
}

fn report(args: &ReportArgs) -> anyhow::Result<u8> {
    let runs = report_command::read(&args.runs)?;
    let out = match (&args.out, &runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.directory.clone(),
        (None, _) => run_directory::for_reports(),
    };
    let mut formats: Vec<Format> = args.format.iter().map(|format| (*format).into()).collect();
    if args.open && !formats.contains(&Format::Html) {
        formats.push(Format::Html);
    }
    let written = report_command::write(&runs, &formats, &out)?;
    for path in &written {
        print(&format!("wrote {}\n", path.display()));
    }
    if args.open {
        report_command::open(&out.join(report_command::PAGE))?;
    }
    Ok(0)
}

fn network(args: &NetworkArgs) -> anyhow::Result<u8> {
    let Some(name) = &args.preset else {
        print(&network_text::list());
        return Ok(0);
    };
    let Some(preset) = Preset::by_name(name) else {
        let all = Preset::all();
        let names: Vec<&str> = all.iter().map(|preset| preset.name).collect();
        anyhow::bail!("there is no network `{name}`: {}", suggestion(name, &names));
    };
    print(&network_text::describe(&preset));
    Ok(0)
}

fn import_args(import: &Import) -> anyhow::Result<u8> {
    // Beside what is imported, under its name.
    let beside = |out: &Option<PathBuf>, recorded: &Path| match out {
        Some(out) => Ok(out.clone()),
        None if recorded.extension().is_some() => Ok(recorded.with_extension("")),
        None => Err(anyhow::anyhow!(
            "{} has no ending to leave out: name a directory with --out",
            recorded.display()
        )),
    };
    print(&match import {
        Import::Pcap(PcapArgs { capture, gateway, out }) => {
            let out = beside(out, capture)?;
            import::pcap::text(&import::pcap::import_capture(capture, *gateway, &out)?)
        }
        Import::Mahimahi(MahimahiArgs { uplink, downlink, out }) => {
            let out = beside(out, uplink)?;
            let imported = import::mahimahi::import_link(uplink, downlink.as_deref(), &out)?;
            import::mahimahi::text(&imported)
        }
        Import::Log(LogArgs { log, pattern, out }) => {
            let out = beside(out, log)?;
            import::log::text(&import::log::import_log(log, pattern.as_deref(), &out)?)
        }
        Import::Run(ImportRunArgs { run, out }) => {
            import::run::text(&import::run::import_run(run, out)?)
        }
    });
    Ok(0)
}

fn doctor(args: &DoctorArgs) -> anyhow::Result<u8> {
    if stderr().is_terminal() {
        let _ =
            writeln!(stderr(), "measuring for {} s; best while nothing else runs", args.seconds);
    }
    let report = examine(Duration::from_secs(args.seconds))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).context("cannot write the report")?;
        print(&(json + "\n"));
    } else {
        print(&text(&report, stdout().is_terminal()));
    }
    Ok(0)
}

fn warn(text: &str) {
    // Nobody to tell when standard error is closed.
    let _ = writeln!(stderr(), "warning: {text}");
}

fn print(text: &str) {
    // A reader that has gone away, such as `head`, is no error of ours.
    let _ = stdout().write_all(text.as_bytes());
}
