//! `din new`: a commented scenario to begin with.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where scenarios live, for `din new` and `din list`.
pub const SCENARIOS: &str = "scenarios";
/// The name of a scenario that was given none.
pub const DEFAULT_NAME: &str = "first";
/// The starter, with `@NAME@` and `@FILE@` to fill in.
const STARTER: &str = include_str!("starter.toml");

/// A starter that was not written.
#[derive(Debug)]
pub enum StarterError {
    /// The name cannot be that of a scenario.
    Name {
        /// What was given.
        seen: String,
    },
    /// There is a file of this name.
    Exists {
        /// Which one.
        path: PathBuf,
    },
    /// The file could not be written.
    Unwritable {
        /// Which one.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl fmt::Display for StarterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { seen } => write!(
                f,
                "`{seen}` is no name for a scenario: allowed are letters, digits, `-` and `_`, for example `din new evening-peak`, or the path of a .toml file"
            ),
            Self::Exists { path } => write!(
                f,
                "{} is there already and is not overwritten; give another name: `din new NAME`",
                path.display()
            ),
            Self::Unwritable { path, source } => {
                write!(f, "cannot write {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for StarterError {}

/// Writes a starter as `scenarios/NAME.toml` below `base`, or where `name` says when it is the path
/// of a `.toml` file; returns the path as it was given. Directories come about as needed.
///
/// # Errors
/// [`StarterError`] when the name is none, the file is there already, or it cannot be written.
pub fn write(base: &Path, name: &str) -> Result<PathBuf, StarterError> {
    let is_path = Path::new(name).extension().is_some_and(|extension| extension == "toml");
    let path = if is_path {
        PathBuf::from(name)
    } else {
        Path::new(SCENARIOS).join(format!("{name}.toml"))
    };
    let stem = if is_path {
        path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    } else {
        name.to_owned()
    };
    let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if stem.is_empty() || stem.starts_with('-') || !stem.chars().all(usable) {
        return Err(StarterError::Name { seen: name.to_owned() });
    }
    let unwritable = |source| StarterError::Unwritable { path: path.clone(), source };
    let target = base.join(&path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(unwritable)?;
    }
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&target) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(StarterError::Exists { path });
        }
        Err(error) => return Err(unwritable(error)),
    };
    let shown = path.display().to_string();
    let text = STARTER.replace("@NAME@", &stem).replace("@FILE@", &shown);
    file.write_all(text.as_bytes()).map_err(unwritable)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::scenario::Scenario;
    use crate::voice::Voices;

    #[test]
    fn what_is_written_is_a_scenario_that_can_be_planned() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "evening-peak").unwrap();
        assert_eq!(path, Path::new("scenarios/evening-peak.toml"));
        let scenario = Scenario::load(&dir.path().join(path), &[]).unwrap();
        assert_eq!(
            (scenario.name.as_str(), scenario.title.as_str()),
            ("evening-peak", "evening-peak")
        );
        assert!(!scenario.text.contains('@'), "everything is filled in");
        assert!(scenario.text.contains("din run scenarios/evening-peak.toml"));
        let voices = Voices::load(&scenario.devices.groups).unwrap();
        let codec = plan::FrameCost::measure(&scenario, &voices);
        let plan = plan::describe(&scenario, &voices, &plan::Host::measure(), &codec);
        assert!(plan.contains("talk") && plan.contains("response_latency.p99 < 40ms"), "{plan}");
        assert!(!plan.contains("warning"), "{plan}");
    }

    /// What is commented out in the starter is right as well.
    #[test]
    fn the_second_phase_of_the_comment_is_a_phase() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("two.toml");
        let (before, rest) = STARTER.split_once("# [[phase]]").unwrap();
        let (block, after) = rest.split_once("\n\n").unwrap();
        let uncommented = format!("{before}[[phase]]{}\n\n{after}", block.replace("\n# ", "\n"));
        std::fs::write(&path, uncommented).unwrap();
        let scenario = Scenario::load(&path, &[]).unwrap();
        assert_eq!(scenario.phases.len(), 2);
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "mine.toml").unwrap();
        std::fs::write(dir.path().join("mine.toml"), "mine").unwrap();
        let error = write(dir.path(), "mine.toml").unwrap_err().to_string();
        assert!(error.starts_with("mine.toml is there already and is not overwritten"), "{error}");
        assert_eq!(std::fs::read_to_string(dir.path().join("mine.toml")).unwrap(), "mine");
    }

    #[test]
    fn names_that_make_no_file_or_no_run_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["", "a b", "../up", "x/y", "-x", ".toml", "a\n", "x/a b.toml"] {
            let error = write(dir.path(), name).unwrap_err();
            assert!(matches!(error, StarterError::Name { .. }), "`{name}`: {error}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let path = write(dir.path(), "deep/down/x.toml").unwrap();
        assert!(dir.path().join(path).is_file());
    }
}
