//! What a run directory holds, read back: `run.json`, and beside it whatever is there of
//! `timeline.csv`, `devices.csv` and `histograms.hlog`. What is missing or broken is told and not made
//! up.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use measure::heard::{self, HeardRecord};
use measure::interval_log::{self, Interval};
use measure::record::{FORMAT, RunRecord};
use serde_json::Value;

use crate::csv::Csv;

/// The largest file that is read: a run of a day with 20,000 devices has less.
const LARGEST: u64 = 1 << 30;

/// One run, as it is kept.
#[derive(Debug)]
pub struct RunFiles {
    /// The record.
    pub record: RunRecord,
    /// Its directory, as it was given.
    pub directory: PathBuf,
    /// The name of its directory.
    pub name: String,
    /// `timeline.csv`.
    pub timeline: Csv,
    /// `devices.csv`.
    pub devices: Csv,
    /// `worst_device.csv`; empty where no device's every answer is known, and in older runs.
    pub worst_device: Csv,
    /// `original.json`, of a run that plays something again: what was heard then.
    pub original: Option<HeardRecord>,
    /// `histograms.hlog`.
    pub intervals: Vec<Interval>,
    /// What is missing, for people.
    pub missing: Vec<String>,
}

/// A directory that holds no run that can be read.
#[derive(Debug)]
pub enum RunFilesError {
    /// There is no record.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// The record is none.
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for RunFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(
                    f,
                    "{}: {error}; a run directory, or its run.json, is needed",
                    path.display()
                )
            }
            Self::Foreign { path, why } => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl std::error::Error for RunFilesError {}

/// Reads the record in a run directory, or the file itself.
///
/// # Errors
/// [`RunFilesError`] says what is wrong with it.
pub fn read_record(path: &Path) -> Result<RunRecord, RunFilesError> {
    let path = if path.is_dir() { path.join("run.json") } else { path.to_owned() };
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) => return Err(RunFilesError::Unreadable { path, error }),
    };
    record(&text).map_err(|why| RunFilesError::Foreign { path, why })
}

fn record(text: &str) -> Result<RunRecord, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let cut = if error.is_eof() {
            "it ends in the middle: it was cut, or the run was killed while it was written; "
        } else {
            ""
        };
        format!("no run record: {cut}{error}")
    })?;
    match value["format"].as_u64() {
        None => return Err("no run record: it has no `format`".to_owned()),
        Some(seen) if seen > FORMAT.into() => {
            return Err(format!(
                "its format is {seen} and this Din reads up to {FORMAT}; use a newer Din"
            ));
        }
        Some(_) => {}
    }
    serde_json::from_value(value).map_err(|error| format!("no run record: {error}"))
}

impl RunFiles {
    /// Reads a run directory; a `run.json` stands for its directory.
    ///
    /// # Errors
    /// [`RunFilesError`] when there is no record; anything else is told in `missing`.
    pub fn read(path: &Path) -> Result<Self, RunFilesError> {
        let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let record = read_record(path)?;
        let mut missing = Vec::new();
        let mut text = |file: &str| match read_text(&directory.join(file)) {
            Ok(text) => text,
            Err(error) => {
                missing.push(format!("{file}: {error}"));
                String::new()
            }
        };
        let (timeline, devices) = (text("timeline.csv"), text("devices.csv"));
        let log = text("histograms.hlog");
        // Not every run has one.
        let worst = read_text(&directory.join("worst_device.csv")).unwrap_or_default();
        let original = match read_original(directory) {
            Ok(original) => original,
            Err(why) => {
                missing.push(why);
                None
            }
        };
        let files =
            [("timeline.csv", timeline), ("devices.csv", devices), ("worst_device.csv", worst)];
        let [timeline, devices, worst_device] = files.map(|(file, text)| {
            let (csv, broken) = Csv::parse(&text);
            missing.extend(broken.map(|why| format!("{file}: {why}")));
            csv
        });
        let mut intervals = Coalesced::new(record.duration_ms / 1e3);
        for interval in interval_log::read(&log) {
            match interval {
                Ok(interval) => intervals.add(interval),
                Err(broken) => missing.push(format!(
                    "histograms.hlog: line {} and what follows: {}",
                    broken.line, broken.why
                )),
            }
        }
        let intervals = intervals.all;
        let path = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        let directory = directory.to_owned();
        Ok(Self {
            record,
            directory,
            name,
            timeline,
            devices,
            worst_device,
            original,
            intervals,
            missing,
        })
    }

    /// Only a record, without the files beside it.
    pub fn of_record(record: RunRecord) -> Self {
        let missing = vec!["timeline.csv, devices.csv, histograms.hlog: not at hand".to_owned()];
        let name = record.scenario.name.clone();
        Self {
            record,
            directory: PathBuf::new(),
            name,
            timeline: Csv::default(),
            devices: Csv::default(),
            worst_device: Csv::default(),
            original: None,
            intervals: Vec::new(),
            missing,
        }
    }
}

/// What was heard in the original, where a directory has it.
pub const ORIGINAL: &str = "original.json";

/// Reads [`ORIGINAL`] of a directory; `None` where there is none.
///
/// # Errors
/// When it cannot be read, or is of a newer Din.
pub fn read_original(directory: &Path) -> Result<Option<HeardRecord>, String> {
    let path = directory.join(ORIGINAL);
    let wrong = |why: String| format!("{}: {why}", path.display());
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    let heard: HeardRecord =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if heard.format > heard::FORMAT {
        let (seen, read) = (heard.format, heard::FORMAT);
        return Err(wrong(format!("its format is {seen} and this Din reads up to {read}")));
    }
    Ok(Some(heard))
}

/// The most intervals of a metric that are kept apart: more than a page can show.
const MOST_INTERVALS: f64 = 1200.0;

/// Intervals put together where there would be too many, and where one is no whole second: what is
/// left of a second at the end of a run holds the few last answers, and would look like an event.
struct Coalesced {
    /// How long one may become.
    longest_s: f64,
    all: Vec<Interval>,
}

impl Coalesced {
    fn new(duration_s: f64) -> Self {
        let seconds = (duration_s / MOST_INTERVALS).ceil().max(1.0);
        Self { longest_s: seconds + 0.5, all: Vec::new() }
    }

    fn add(&mut self, interval: Interval) {
        let end = interval.start_s + interval.length_s;
        let before = self.all.iter_mut().rev().find(|one| one.metric == interval.metric);
        match before.filter(|before| end - before.start_s <= self.longest_s) {
            Some(before) => {
                before.times.merge(&interval.times);
                before.length_s = end - before.start_s;
            }
            None => self.all.push(interval),
        }
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let length = std::fs::metadata(path)?.len();
    if length > LARGEST {
        let why = format!("it has {length} bytes, and at most {LARGEST} are read");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    let bytes = std::fs::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("no text: byte {at} is not UTF-8"))
    })
}
