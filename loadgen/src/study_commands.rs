//! Commands about more than one run: `din search`, `din plan`, `din compare`, `din baseline` and `din history`.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use loadgen::baseline;
use loadgen::capacity_search::{self, Outcome, Quantity};
use loadgen::compare::{self, Plan, Side, Trial};
use loadgen::history;
use loadgen::judged;
use loadgen::planner;
use loadgen::run::{RunRequest, run};
use loadgen::run_directory;
use loadgen::scenario::{MAX_DEVICES, Scenario, Setting};
use measure::search::Goal;
use reports::study::{PAGE, Study};

use crate::cli::{BaselineCommand, CompareArgs, HistoryArgs, PlanArgs, SearchArgs};
use crate::print;

/// How long a trial of devices is, in s.
const TRIAL_S: u32 = 10;
/// The shortest time in which devices arrive before it.
const SHORTEST_RAMP: Duration = Duration::from_secs(2);
/// How many arrive in a second at most: what is searched is a load that lasts, not a storm of handshakes.
const MOST_ARRIVALS_PER_S: u32 = 500;

/// How long so many devices arrive.
fn ramp(devices: u32) -> Duration {
    (Duration::from_secs(devices.into()) / MOST_ARRIVALS_PER_S).max(SHORTEST_RAMP)
}

/// The most devices that meet the limits, or what else the scenario has searched.
pub(crate) fn search(args: &SearchArgs) -> anyhow::Result<u8> {
    let overrides = args.overrides.all();
    let scenario = Scenario::load(&args.scenario, &overrides)?;
    let sought = scenario.search.as_ref();
    let (mut quantity, estimate) = match (sought, &scenario.phases[..]) {
        (Some(sought), _) => (Quantity::from(sought), sought.from),
        (None, [phase]) => (Quantity::devices(MAX_DEVICES), phase.devices),
        (None, phases) => anyhow::bail!(
            "{} has {} phases: a search of devices needs a scenario of one; or say in its [search] what is \
             varied, for example vary = \"phase.{}.devices\"",
            args.scenario.display(),
            phases.len(),
            phases.last().map_or("0", |phase| &phase.name)
        ),
    };
    quantity.range.1 = args.most.unwrap_or(quantity.range.1);
    anyhow::ensure!(
        quantity.range.0 < quantity.range.1,
        "between {} and {} there is nothing to search: raise --most",
        quantity.range.0,
        quantity.range.1
    );
    let trial = match (sought, args.trial) {
        (Some(_), Some(seconds)) => anyhow::bail!(
            "--trial {seconds}: a scenario with a [search] is run as it stands, each trial {} s",
            scenario.length().as_secs_f64()
        ),
        (Some(_), None) => scenario.length().max(Duration::from_secs(1)),
        (None, trial) => Duration::from_secs(trial.unwrap_or(TRIAL_S).into()),
    };
    let goal = Goal {
        sum_s: match args.sum {
            Some(seconds) => seconds.into(),
            None => trial.as_secs_f64() * if args.quick { 3.0 } else { 7.0 },
        },
        exceed: args.exceed / 100.0,
        // Where less is harder, shares of what is mirrored mean nothing: to the last one.
        width: match args.width {
            _ if quantity.fewest => 0.0,
            Some(width) => width / 100.0,
            None if args.quick => 0.05,
            None => 0.02,
        },
        range: quantity.range,
    };
    let out = args.out.clone().unwrap_or_else(|| run_directory::for_now(&args.scenario));
    // Trials of another gateway must not be mixed with these.
    let gateway = match (&args.target, &args.means.gateway_binary) {
        (Some(url), _) => url.clone(),
        (None, Some(binary)) => binary.display().to_string(),
        (None, None) => String::new(),
    };
    let plan = capacity_search::Plan {
        scenario: args.scenario.display().to_string(),
        text: format!("{}\n{}\n{}", scenario.text, scenario.overrides.join("\n"), gateway),
        goal,
        estimate: estimate.clamp(quantity.range.0, quantity.range.1),
        quantity,
        trial,
        seed: scenario.seed,
        budget: Duration::from_secs(u64::from(args.budget) * 60),
        command: command_line(),
        out: out.clone(),
    };
    let run_trial = |value: u32, seed: u64, out: &Path| {
        let tried = match sought {
            Some(sought) => vec![sought.set(value)],
            None => vec![
                format!("phase.0.devices={value}"),
                format!("phase.0.ramp={}ms", ramp(value).as_millis()),
                format!("phase.0.hold={}s", trial.as_secs()),
            ],
        };
        let seed = [format!("seed={seed}")];
        let changes: Vec<String> = overrides.iter().cloned().chain(tried).chain(seed).collect();
        let done = run(&RunRequest {
            scenario: Scenario::load(&args.scenario, &changes)?,
            target: args.target.clone(),
            out: Some(out.to_owned()),
            baseline: None,
            gateway_binary: args.means.gateway_binary.clone(),
            priority: args.means.priority.into(),
            quiet: true,
        })?;
        // While they come, half of them are there on average.
        let full_s = sought.is_none().then(|| (trial + ramp(value) / 2).as_secs_f64());
        Ok(Outcome::of(value, full_s, &done.record, &done.directory))
    };
    let ended = capacity_search::search(&plan, run_trial, |line| print(&format!("{line}\n")))?;
    print(&format!("\n{}\n", ended.text()));
    leave_page(&capacity_search::study(&ended), &out)?;
    print(&format!("  search         {}\n", out.join(capacity_search::FILE).display()));
    Ok(ended.exit_code())
}

/// Writes a page and says where it is.
fn leave_page(study: &Study, out: &Path) -> anyhow::Result<()> {
    write_page(study, out)?;
    print(&format!("  page           {}\n", out.join(PAGE).display()));
    Ok(())
}

fn write_page(study: &Study, out: &Path) -> anyhow::Result<()> {
    let path = out.join(PAGE);
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    std::fs::write(&path, study.page()).with_context(|| format!("cannot write {}", path.display()))
}

/// How this process was called, for a shell.
fn command_line() -> String {
    let quoted = |word: String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%+@".contains(c);
        if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let words = std::env::args().skip(1).map(quoted);
    std::iter::once("din".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Two sides, in pairs.
pub(crate) fn compare(args: &CompareArgs) -> anyhow::Result<u8> {
    let overrides = args.overrides.all();
    let load = |side, seed: Option<u64>| {
        let (own, setting) = match side {
            Side::A if args.before => (&args.a, Setting::Before),
            Side::A => (&args.a, Setting::AsWritten),
            Side::B => (&args.b, Setting::AsWritten),
        };
        let seed = seed.map(|seed| format!("seed={seed}"));
        let changes: Vec<String> = overrides.iter().chain(own).cloned().chain(seed).collect();
        Scenario::load_as(&args.scenario, &changes, setting)
    };
    let gateway = |side| match side {
        Side::A => (args.a_target.clone(), args.gateway_binary_a.clone()),
        Side::B => (args.b_target.clone(), args.gateway_binary_b.clone()),
    };
    let seeds = args.a.iter().chain(&args.b).find(|change| change.trim().starts_with("seed"));
    if let Some(change) = seeds {
        anyhow::bail!(
            "`{change}`: both sides of a pair have one seed; --seed N says the first pair's"
        );
    }
    // Both are read before either runs.
    let [a, b] = [Side::A, Side::B].map(|side| load(side, None));
    let (a, b) = (a?, b?);
    let said = |side, scenario: &Scenario| {
        let (target, binary) = gateway(side);
        let binary = binary.map(|binary| binary.display().to_string());
        let all = scenario.overrides.iter().cloned().chain(target).chain(binary);
        let all = all.collect::<Vec<_>>().join(", ");
        if all.is_empty() { "as the scenario says".to_owned() } else { all }
    };
    let sides = [said(Side::A, &a), said(Side::B, &b)];
    anyhow::ensure!(
        sides[0] != sides[1] || args.before,
        "A and B are the same: say what is different, for example --b gateway.workers=4, or --before"
    );
    let out = args.out.clone().unwrap_or_else(|| run_directory::for_now(&args.scenario));
    let names = judged::names();
    let decides = args.metric.as_deref().unwrap_or(names[0]);
    let plan = Plan {
        pairs: args.pairs as usize,
        margin: args.margin / 100.0,
        decides: names.into_iter().find(|name| *name == decides).expect("clap has checked it"),
        seed: a.seed,
        out: out.clone(),
    };
    let run_side = |side, seed, out: &Path| -> anyhow::Result<Trial> {
        let (target, gateway_binary) = gateway(side);
        let done = run(&RunRequest {
            scenario: load(side, Some(seed))?,
            target,
            out: Some(out.to_owned()),
            baseline: None,
            gateway_binary,
            priority: args.priority.into(),
            quiet: true,
        })?;
        Ok(done.record.into())
    };
    let told = |line: &str| {
        if !args.json {
            print(&format!("{line}\n"));
        }
    };
    let comparison = compare::compare(&plan, sides, &args.scenario, run_side, told)?;
    let json = serde_json::to_string_pretty(&comparison).context("cannot write the comparison")?;
    let file = out.join(compare::FILE);
    std::fs::write(&file, format!("{json}\n"))
        .with_context(|| format!("cannot write {}", file.display()))?;
    let page = compare::study(&comparison, command_line());
    if args.json {
        print(&(json + "\n"));
        write_page(&page, &out)?;
    } else {
        print(&format!("\n{}\n", comparison.text()));
        leave_page(&page, &out)?;
        print(&format!("  comparison     {}\n", file.display()));
    }
    Ok(comparison.exit_code())
}

/// How many workers so many devices need.
pub(crate) fn plan(args: &PlanArgs) -> anyhow::Result<u8> {
    let plan = planner::plan(&args.searches, &args.devices)?;
    let json = serde_json::to_string_pretty(&plan).context("cannot write the plan")? + "\n";
    if args.json {
        print(&json);
    } else {
        print(&plan.text());
    }
    if let Some(out) = &args.out {
        let file = out.join(planner::FILE);
        std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        std::fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
        write_page(&planner::study(&plan, command_line()), out)?;
        if !args.json {
            print(&format!("\n  page           {}\n", out.join(PAGE).display()));
        }
    }
    Ok(0)
}

/// Runs that are kept to compare with.
pub(crate) fn baselines(command: &BaselineCommand) -> anyhow::Result<u8> {
    match command {
        BaselineCommand::Save { run, name, commit, kept, replace } => {
            let commit = commit.clone();
            let path = baseline::save(run, name.as_deref(), commit, &kept.directory, *replace)?;
            print(&format!("{}\n", path.display()));
        }
        BaselineCommand::List { kept } => print(&baseline::list(&kept.directory)?),
        BaselineCommand::Show { name, kept } => {
            print(&baseline::show(name, &kept.directory)?);
        }
    }
    Ok(0)
}

/// Where the numbers of a scenario changed.
pub(crate) fn history(args: &HistoryArgs) -> anyhow::Result<u8> {
    let history = history::read(&args.directory, args.scenario.as_deref())?;
    print(&history.text());
    if let Some(out) = &args.out {
        leave_page(&history::study(&history, command_line()), out)?;
    }
    Ok(0)
}
