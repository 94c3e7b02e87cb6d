//! `extends = "base.toml"`: a scenario that says only what is different.
//!
//! Tables are put together key by key, and what the nearer file says counts; lists, such as the
//! phases, are taken from the nearest file that has them. Paths are relative to the file that names
//! them.

use std::path::{Path, PathBuf};

use toml::{Spanned, Table, Value};

use super::ScenarioError;

/// The longest chain of files.
const MOST_FILES: usize = 8;

/// A file of the chain.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) text: String,
}

/// The scenario's file, and those that it extends, nearest first.
pub(super) fn read(path: &Path) -> Result<Vec<Source>, ScenarioError> {
    let mut sources = vec![read_one(path)?];
    while let Some((name, span)) = extended(sources.last().expect("there is one"))? {
        let from = sources.last().expect("there is one");
        let wrong = |message: String, help: &str| {
            ScenarioError::at(&from.path, &from.text, span.clone(), message)
                .with_help(help.to_owned())
        };
        let base = from.path.parent().unwrap_or(Path::new(".")).join(&name);
        if !base.is_file() {
            let message = format!("`extends` names `{name}`, which does not exist");
            let help = format!("looked for {}; paths are relative to the file", base.display());
            return Err(wrong(message, &help));
        }
        if let Some(again) = sources.iter().position(|source| same_file(&source.path, &base)) {
            let names = sources[again..].iter().map(|source| source.path.display().to_string());
            let round: Vec<String> = names.chain([base.display().to_string()]).collect();
            let message = format!("files extend each other in a circle: {}", round.join(" -> "));
            return Err(wrong(message, "leave `extends` out of one of them"));
        }
        if sources.len() == MOST_FILES {
            let message = format!("a chain of more than {MOST_FILES} files");
            return Err(wrong(message, "put some of them together"));
        }
        sources.push(read_one(&base)?);
    }
    Ok(sources)
}

fn read_one(path: &Path) -> Result<Source, ScenarioError> {
    let bytes = std::fs::read(path).map_err(|error| ScenarioError::unreadable(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| ScenarioError::not_utf8(path, &error))?;
    Ok(Source { path: path.to_owned(), text })
}

fn same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// What the file extends, and where it says so.
fn extended(source: &Source) -> Result<Option<(String, std::ops::Range<usize>)>, ScenarioError> {
    #[derive(serde::Deserialize)]
    struct Extends {
        extends: Option<Spanned<String>>,
    }
    let read: Extends = toml::from_str(&source.text)
        .map_err(|error| ScenarioError::from_toml(&source.path, &source.text, &error))?;
    Ok(read.extends.map(|name| (name.get_ref().clone(), name.span())))
}

/// All of them put together, as one file without `extends`.
pub(super) fn merged(sources: &[Source]) -> Result<String, ScenarioError> {
    let mut whole = Table::new();
    for source in sources.iter().rev() {
        let table: Table = source
            .text
            .parse()
            .map_err(|error| ScenarioError::from_toml(&source.path, &source.text, &error))?;
        add(&mut whole, table);
    }
    whole.remove("extends");
    Ok(toml::to_string(&whole).expect("a table that was read can be written"))
}

/// Lays `nearer` over `whole`: key by key, lists as a whole.
pub(super) fn add(whole: &mut Table, nearer: Table) {
    for (key, value) in nearer {
        match (whole.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => add(inner, more),
            (_, value) => {
                whole.insert(key, value);
            }
        }
    }
}
