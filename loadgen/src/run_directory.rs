//! The directory that holds one run: created empty, never overwritten.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use reports::date::Utc;

/// Where runs are kept unless `--out` says otherwise.
pub(crate) const RUNS: &str = "target/runs";
/// Where reports of several runs are kept.
const REPORTS: &str = "target/reports";
/// The file that makes a directory a run.
pub(crate) const RECORD: &str = "run.json";

/// Where runs of the scenario in this file are kept that begin now, named by time and scenario.
pub fn for_now(scenario: &Path) -> PathBuf {
    let name = scenario.file_stem().unwrap_or_default().to_string_lossy();
    unused(&Path::new(RUNS).join(format!("{}-{name}", timestamp(SystemTime::now()))))
}

/// Where a report is kept that is made now of several runs.
pub fn for_reports() -> PathBuf {
    unused(&Path::new(REPORTS).join(timestamp(SystemTime::now())))
}

/// The directory of one run.
pub struct RunDirectory(PathBuf);

/// A directory that cannot be used.
#[derive(Debug)]
pub struct DirectoryError {
    /// Which one.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl RunDirectory {
    /// Creates `out`, or a directory named by time and scenario.
    ///
    /// # Errors
    /// [`DirectoryError`] when it cannot be created or holds a run already.
    pub fn create(
        out: Option<&Path>,
        scenario: &str,
        started: SystemTime,
    ) -> Result<Self, DirectoryError> {
        let path = match out {
            Some(out) => out.to_owned(),
            None => unused(&Path::new(RUNS).join(format!("{}-{scenario}", timestamp(started)))),
        };
        let failed = |source| DirectoryError { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(failed)?;
        if path.join(RECORD).exists() {
            let already = "it holds a run already; name another directory or remove it";
            return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, already)));
        }
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes one of its files, at once: what was there before is there until it is replaced.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write(&self, name: &str, contents: &str) -> io::Result<()> {
        let partial = self.0.join(format!("{name}.partial"));
        std::fs::write(&partial, contents)?;
        std::fs::rename(partial, self.0.join(name))
    }

    /// Creates one of its files, to be written while the run goes on.
    ///
    /// # Errors
    /// What the file system said.
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        File::create(self.0.join(name))
    }

    /// Writes the run record, last, so that a directory with a record is complete.
    ///
    /// # Errors
    /// What the file system said.
    pub fn write_record(&self, contents: &str) -> io::Result<()> {
        self.write(RECORD, contents)
    }
}

/// `path`, or with a number behind it where there is something already.
pub(crate) fn unused(path: &Path) -> PathBuf {
    let numbered = |n: u32| PathBuf::from(format!("{}-{n}", path.display()));
    let mut candidates = std::iter::once(path.to_owned()).chain((2..).map(numbered));
    candidates.find(|path| !path.exists()).expect("there are more numbers than runs")
}

/// `20261122-173000`, UTC.
fn timestamp(at: SystemTime) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Utc::at_unix_s(seconds).compact()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/run");
        let run = RunDirectory::create(Some(&out), "x", UNIX_EPOCH).unwrap();
        assert!(
            RunDirectory::create(Some(&out), "x", UNIX_EPOCH).is_ok(),
            "still without a record"
        );
        run.write_record("{}").unwrap();
        let error = RunDirectory::create(Some(&out), "x", UNIX_EPOCH).err().unwrap();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
    }
}
