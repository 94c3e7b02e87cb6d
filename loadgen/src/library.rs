//! `din list`: the scenarios of a directory, each with its question.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use crate::scenario::{Scenario, ScenarioError, shown_duration};

/// The scenarios of a directory, by name.
pub struct Library {
    directory: PathBuf,
    entries: Vec<Entry>,
}

struct Entry {
    /// The file's name without its extension.
    name: String,
    scenario: Result<Scenario, ScenarioError>,
}

impl Library {
    /// Reads every `.toml` file in `directory`, without those below it.
    ///
    /// # Errors
    /// What the file system said of the directory. A file that is no scenario is an entry.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        for file in std::fs::read_dir(directory)? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let entry = |path: &PathBuf| Entry {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            scenario: Scenario::load(path, &[]),
        };
        Ok(Self { directory: directory.to_owned(), entries: paths.iter().map(entry).collect() })
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of the files cannot be run.
    pub fn broken(&self) -> usize {
        self.entries.iter().filter(|entry| entry.scenario.is_err()).count()
    }

    /// For a terminal: name, devices, length and question, aligned; what is wrong with a file
    /// stands below its name.
    pub fn table(&self) -> String {
        let width = |cell: fn(&Entry) -> String| {
            self.entries.iter().map(|entry| cell(entry).chars().count()).max().unwrap_or(0)
        };
        let (names, devices, lengths) =
            (width(|entry| entry.name.clone()), width(Entry::devices), width(Entry::length));
        let mut text = String::new();
        for entry in &self.entries {
            let name = &entry.name;
            // Writing to a String does not fail.
            let _ = match &entry.scenario {
                Ok(scenario) => writeln!(
                    text,
                    "{name:names$}  {:>devices$}  {:>lengths$}  {}",
                    entry.devices(),
                    entry.length(),
                    question(scenario)
                ),
                Err(error) => {
                    let error = error.to_string().replace('\n', "\n    ");
                    writeln!(text, "{name:names$}  BROKEN\n    {error}")
                }
            };
        }
        text
    }

    /// The index of the directory, as its `README.md`.
    pub fn markdown(&self) -> String {
        let mut text =
            "# Scenarios\n\nWritten from the files by `just index`, and checked by a test. \
                        `din check FILE` says what a scenario\nwill do, `din run FILE` does it.\n\n\
                        | scenario | its question | devices | length |\n|---|---|--:|--:|\n"
                .to_owned();
        for entry in &self.entries {
            let name = &entry.name;
            let said = match &entry.scenario {
                Ok(scenario) => reports::markdown::escaped(question(scenario)),
                Err(_) => format!("**broken**: see `din list {}`", self.directory.display()),
            };
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "| [`{name}`]({name}.toml) | {said} | {} | {} |",
                entry.devices(),
                entry.length()
            );
        }
        text
    }
}

impl Entry {
    /// At most so many devices, with the word.
    fn devices(&self) -> String {
        self.scenario.as_ref().map_or_else(
            |_| String::new(),
            |scenario| match scenario.most_devices() {
                1 => "1 device".to_owned(),
                devices => format!("{devices} devices"),
            },
        )
    }

    /// From the start to the end of the last phase.
    fn length(&self) -> String {
        let scenario = self.scenario.as_ref();
        scenario.map_or_else(|_| String::new(), |scenario| shown_duration(scenario.length()))
    }
}

/// The question, or the title of a scenario that asks none.
fn question(scenario: &Scenario) -> &str {
    if scenario.question.is_empty() { &scenario.title } else { &scenario.question }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASE: &str = "[[phase]]\ndevices = 1\nhold = \"20s\"\n";

    fn library(files: &[(&str, &str)]) -> (tempfile::TempDir, Library) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let library = Library::read(directory.path()).unwrap();
        (directory, library)
    }

    #[test]
    fn questions_are_aligned_by_name() {
        let asking = format!("question = \"Is it | quick?\"\n{PHASE}");
        let (_files, library) = library(&[
            ("zebra.toml", &asking),
            ("ant.toml", &format!("title = \"Ant\"\n{}", PHASE.replace("= 1", "= 500"))),
            ("notes.md", "not a scenario"),
        ]);
        assert_eq!((library.len(), library.broken()), (2, 0));
        assert_eq!(
            library.table(),
            "ant    500 devices  20s  Ant\nzebra     1 device  20s  Is it | quick?\n"
        );
        let markdown = library.markdown();
        let row = r"| [`zebra`](zebra.toml) | Is it \| quick? | 1 device | 20s |";
        assert!(markdown.contains(row), "{markdown}");
    }

    #[test]
    fn a_broken_file_stands_among_the_others_with_its_error() {
        let (files, library) =
            library(&[("bad.toml", "seed = -1\n"), ("good.toml", PHASE), ("half.toml", "[")]);
        assert_eq!((library.len(), library.broken()), (3, 2));
        let table = library.table().replace(&files.path().display().to_string(), "DIR");
        insta::assert_snapshot!(table);
        assert!(library.markdown().contains("| **broken**: see `din list "));
    }
}
