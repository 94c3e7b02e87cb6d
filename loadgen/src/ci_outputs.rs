//! What CI systems read of a run: JUnit XML in a file, a summary and annotations for GitHub.
//!
//! Files are opened before the run, so that a place that cannot be written is known before the time
//! is spent, and so that no result of an earlier run is taken for this one's: when nothing could be
//! run, the JUnit file is left empty.

use std::env;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::run::RunDone;

/// Where GitHub Actions wants the summary of a step, in Markdown.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// What was asked for, opened.
#[derive(Debug)]
pub struct CiOutputs {
    junit: Option<Output>,
    github: Option<Github>,
}

#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: File,
}

#[derive(Debug)]
struct Github {
    /// The step's summary; `None` outside of GitHub Actions.
    summary: Option<Output>,
}

/// Where GitHub's summary goes.
enum Summary {
    /// To standard output: this is no step of a workflow.
    Printed,
    /// Behind those of the steps before this one, which are in the same file.
    Appended(PathBuf),
}

/// A file that could not be opened or written.
#[derive(Debug)]
pub struct OutputError {
    /// What asked for it.
    wanted_by: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted_by, path, source } = self;
        write!(f, "{wanted_by}: cannot write {}: {source}", path.display())?;
        f.write_str("; name a file in a directory that this user may write to")
    }
}

impl std::error::Error for OutputError {}

impl CiOutputs {
    /// Opens what is asked for: a JUnit file, with its directories, emptied; and what GitHub reads.
    ///
    /// # Errors
    /// [`OutputError`] names the file that cannot be written.
    pub fn open(junit: Option<&Path>, github: bool) -> Result<Self, OutputError> {
        let step = || env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()).map(PathBuf::from);
        let summary = github.then(|| step().map_or(Summary::Printed, Summary::Appended));
        Self::open_for(junit, summary)
    }

    fn open_for(junit: Option<&Path>, summary: Option<Summary>) -> Result<Self, OutputError> {
        let junit = junit.map(|path| {
            let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            let opened = parent.and_then(|()| File::create(path));
            Output::of("--junit", path, opened)
        });
        let github = summary.map(|summary| {
            let Summary::Appended(path) = summary else { return Ok(Github { summary: None }) };
            let opened = OpenOptions::new().create(true).append(true).open(&path);
            let output = Output::of("--github, by GITHUB_STEP_SUMMARY", &path, opened)?;
            Ok(Github { summary: Some(output) })
        });
        Ok(Self { junit: junit.transpose()?, github: github.transpose()? })
    }

    /// Whether the Markdown summary belongs on standard output, for want of a better place.
    pub fn summary_is_printed(&self) -> bool {
        self.github.as_ref().is_some_and(|github| github.summary.is_none())
    }

    /// Writes the files; returns what belongs on standard output: annotations for GitHub, after the
    /// summary where [`summary_is_printed`](Self::summary_is_printed).
    ///
    /// # Errors
    /// [`OutputError`] names the file that could not be written.
    pub fn write(&mut self, done: &RunDone) -> Result<String, OutputError> {
        let RunDone { record, directory } = done;
        if let Some(junit) = &mut self.junit {
            junit.write(&reports::junit::document(record, directory), "--junit")?;
        }
        let Some(github) = &mut self.github else { return Ok(String::new()) };
        let markdown = reports::markdown::summary(record);
        let annotations = reports::github::annotations(record);
        match &mut github.summary {
            Some(summary) => {
                // A blank line between this summary and the next.
                summary.write(&(markdown + "\n"), "--github, by GITHUB_STEP_SUMMARY")?;
                Ok(annotations)
            }
            None => Ok(markdown + "\n" + &annotations),
        }
    }
}

impl Output {
    fn of(
        wanted_by: &'static str,
        path: &Path,
        opened: io::Result<File>,
    ) -> Result<Self, OutputError> {
        let path = path.to_owned();
        match opened {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(OutputError { wanted_by, path, source }),
        }
    }

    fn write(&mut self, text: &str, wanted_by: &'static str) -> Result<(), OutputError> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| OutputError { wanted_by, path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_result_is_gone_before_the_run_and_directories_come_about() {
        let dir = tempfile::tempdir().unwrap();
        let junit = dir.path().join("deep/junit.xml");
        CiOutputs::open_for(Some(&junit), None).unwrap();
        std::fs::write(&junit, "<testsuites/>").unwrap();
        CiOutputs::open_for(Some(&junit), None).unwrap();
        assert_eq!(std::fs::read_to_string(&junit).unwrap(), "");
    }

    #[test]
    fn a_steps_summary_keeps_what_earlier_runs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let summary = dir.path().join("summary.md");
        std::fs::write(&summary, "earlier\n").unwrap();
        let outputs = CiOutputs::open_for(None, Some(Summary::Appended(summary.clone()))).unwrap();
        assert!(!outputs.summary_is_printed());
        assert_eq!(std::fs::read_to_string(&summary).unwrap(), "earlier\n");
        let printed = CiOutputs::open_for(None, Some(Summary::Printed)).unwrap();
        assert!(printed.summary_is_printed());
        assert!(!CiOutputs::open_for(None, None).unwrap().summary_is_printed());
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_with_who_wanted_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let junit = CiOutputs::open_for(Some(path), None).unwrap_err().to_string();
        assert!(
            junit.starts_with("--junit: cannot write ") && junit.contains("directory"),
            "{junit}"
        );
        let summary = CiOutputs::open_for(None, Some(Summary::Appended(path.to_owned())))
            .unwrap_err()
            .to_string();
        assert!(summary.contains("GITHUB_STEP_SUMMARY: cannot write "), "{summary}");
    }
}
