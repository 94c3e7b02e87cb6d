//! `din report`: from run directories to something people read, from the record alone.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reports::charts;
use reports::plot::{Plot, write_png};
use reports::run_files::{RunFiles, RunFilesError};
use reports::{junit, markdown, page};

/// The report of a run, in its directory.
pub const PAGE: &str = reports::study::PAGE;
/// The summary of a run, in its directory.
pub const SUMMARY: &str = "report.md";
/// Plots and their numbers, in a directory of their own.
const PLOTS: &str = "plots";
/// The most runs that can be told apart in one plot.
pub const MOST_RUNS: usize = 4;

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `report.html`: everything, in one file.
    Html,
    /// `report.md`: a screenful, for pull requests.
    Markdown,
    /// `plots/NAME.png`.
    Png,
    /// `junit.xml`: each threshold is a test case.
    Junit,
    /// `plots/NAME.csv`: the numbers behind each plot.
    Csv,
}

/// A report that was not written.
#[derive(Debug)]
pub enum ReportError {
    /// A run cannot be read.
    Run(RunFilesError),
    /// There are more runs than can be told apart.
    TooMany(usize),
    /// There is nothing to show it with.
    Open(PathBuf, String),
    /// A file was not written.
    Write(PathBuf, String),
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(error) => write!(f, "{error}"),
            Self::TooMany(runs) => write!(
                f,
                "{runs} runs: at most {MOST_RUNS} can be laid over each other; name fewer directories"
            ),
            Self::Open(path, why) => write!(
                f,
                "{} is written and cannot be shown here ({why}); open it in a browser yourself",
                path.display()
            ),
            Self::Write(path, why) => write!(f, "cannot write {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for ReportError {}

/// Reads runs, to be laid over each other if there are several.
///
/// # Errors
/// [`ReportError`] names the first that cannot be read.
pub fn read(directories: &[PathBuf]) -> Result<Vec<RunFiles>, ReportError> {
    if directories.len() > MOST_RUNS {
        return Err(ReportError::TooMany(directories.len()));
    }
    let runs = directories.iter().map(|directory| RunFiles::read(directory));
    runs.collect::<Result<_, _>>().map_err(ReportError::Run)
}

/// Writes `runs` in these formats into `out`, and returns the files; JUnit and Markdown have a file
/// for each run.
///
/// # Errors
/// [`ReportError::Write`] names the first file that was not written.
pub fn write(
    runs: &[RunFiles],
    formats: &[Format],
    out: &Path,
) -> Result<Vec<PathBuf>, ReportError> {
    let mut written = Vec::new();
    let mut file = |path: PathBuf, write: &dyn Fn(&Path) -> Result<(), String>| {
        write(&path).map_err(|why| ReportError::Write(path.clone(), why))?;
        written.push(path);
        Ok(())
    };
    let text = |contents: String| {
        move |path: &Path| {
            std::fs::write(path, &contents).map_err(|error: io::Error| error.to_string())
        }
    };
    let directory = |path: &Path| {
        std::fs::create_dir_all(path)
            .map_err(|error| ReportError::Write(path.to_owned(), error.to_string()))
    };
    directory(out)?;
    for format in formats {
        match format {
            Format::Html => file(out.join(PAGE), &text(page::page(runs)))?,
            Format::Markdown | Format::Junit => {
                for (index, run) in runs.iter().enumerate() {
                    let (name, contents) = match format {
                        Format::Junit => {
                            ("junit.xml", junit::document(&run.record, &run.directory))
                        }
                        _ => (SUMMARY, markdown::summary(&run.record)),
                    };
                    file(out.join(lettered(runs, index, name)), &text(contents))?;
                }
            }
            Format::Png | Format::Csv => {
                let plots = out.join(PLOTS);
                directory(&plots)?;
                for plot in all_plots(runs) {
                    let path = |ending: &str| plots.join(format!("{}.{ending}", plot.id));
                    if *format == Format::Png {
                        file(path("png"), &|path| write_png(&plot, path))?;
                    } else {
                        file(path("csv"), &text(plot.table().to_csv()))?;
                    }
                }
            }
        }
    }
    Ok(written)
}

/// Shows a page in the browser of this desktop.
///
/// # Errors
/// [`ReportError::Open`] where there is no such thing.
pub fn open(page: &Path) -> Result<(), ReportError> {
    let opened = Command::new("xdg-open").arg(page).stdin(Stdio::null()).status();
    match opened {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ReportError::Open(page.to_owned(), format!("xdg-open: {status}"))),
        Err(error) => Err(ReportError::Open(page.to_owned(), format!("xdg-open: {error}"))),
    }
}

/// `report.md`, or `report-a.md` of the first of several.
fn lettered(runs: &[RunFiles], index: usize, name: &str) -> String {
    match name.split_once('.') {
        Some((stem, ending)) if runs.len() > 1 => {
            format!("{stem}-{}.{ending}", charts::letter(index).to_lowercase())
        }
        _ => name.to_owned(),
    }
}

/// Every plot of a report that has something to show.
fn all_plots(runs: &[RunFiles]) -> Vec<Plot> {
    let heats = (0..runs.len()).map(|index| charts::heat(runs, index));
    let single = [charts::spectrum(runs), charts::decomposition(runs)];
    let worst = (0..runs.len()).map(|index| charts::worst_device(runs, index));
    let replay = runs.iter().filter(|_| runs.len() == 1).flat_map(charts::replay);
    let plots =
        charts::over_time(runs).into_iter().chain(replay).chain(single).chain(heats).chain(worst);
    plots.chain(charts::devices(runs)).filter(|plot| !plot.is_empty()).collect()
}
