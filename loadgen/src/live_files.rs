//! What others can read of a run while it goes on: `timeline.csv`, row by row, and `progress.json`,
//! replaced each second. `din watch` shows them; a run that is killed leaves its rows.
//!
//! Both are for looking at. What cannot be written is not written again, and takes nothing from the
//! run: the whole timeline is written once more at its end, where a failure is told.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use measure::progress_record::{self, ProgressRecord};

use crate::run_directory::RunDirectory;
use crate::timeline::{self, Row};

/// The files of one run.
pub struct LiveFiles {
    timeline: Option<File>,
    progress: PathBuf,
}

impl LiveFiles {
    /// In `directory`, before the first second.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(directory: &RunDirectory) -> io::Result<Self> {
        let mut timeline = directory.create_file(timeline::FILE)?;
        timeline.write_all(timeline::HEADER.as_bytes())?;
        let progress = directory.path().join(progress_record::FILE);
        Ok(Self { timeline: Some(timeline), progress })
    }

    /// A second is over.
    pub fn second(&mut self, row: &Row, progress: &ProgressRecord) {
        if let Some(file) = &mut self.timeline
            && file.write_all(row.to_csv().as_bytes()).is_err()
        {
            self.timeline = None;
        }
        // Tried again with the next second.
        let _ = replace(&self.progress, progress);
    }
}

/// At once, so that nobody reads half of it.
fn replace(path: &Path, progress: &ProgressRecord) -> io::Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, serde_json::to_vec(progress)?)?;
    std::fs::rename(partial, path)
}

impl Drop for LiveFiles {
    /// The run is over: there is no progress any more.
    fn drop(&mut self) {
        // It is not there when no second was over.
        let _ = std::fs::remove_file(&self.progress);
    }
}
