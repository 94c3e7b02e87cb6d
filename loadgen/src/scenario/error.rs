//! What a wrong scenario is told: where, what was seen, what is allowed, what to try.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::extends::Source;
use super::toml_words::{Plain, plain};

/// A scenario that cannot be run.
#[derive(Debug)]
pub struct ScenarioError {
    file: PathBuf,
    place: Option<Box<Place>>,
    message: String,
    help: Option<String>,
}

#[derive(Debug)]
struct Place {
    /// In bytes of the whole text.
    start: usize,
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// Characters to underline.
    width: usize,
    /// The line's text.
    text: String,
}

impl ScenarioError {
    /// Something wrong with the bytes `span` of `text`.
    pub(super) fn at(path: &Path, text: &str, span: Range<usize>, message: String) -> Self {
        let place = Some(Box::new(Place::of(text, span)));
        Self { file: path.to_owned(), place, message, help: None }
    }

    /// Something wrong with the file as a whole.
    pub(super) fn whole(path: &Path, message: String) -> Self {
        Self { file: path.to_owned(), place: None, message, help: None }
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let help =
            "`din run` takes the path of a scenario file, for example scenarios/first-call.toml";
        Self::whole(path, format!("cannot be read: {error}")).with_help(help.to_owned())
    }

    pub(super) fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Self {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].split(|&byte| byte == b'\n').count();
        Self::whole(path, format!("line {line} is not UTF-8 text (byte {at} of the file)"))
            .with_help("save the file as UTF-8".to_owned())
    }

    pub(super) fn with_help(mut self, help: String) -> Self {
        self.help = Some(help);
        self
    }

    /// What is wrong in `merged`, shown where it stands in the files that were put together: the
    /// nearest that has the key.
    pub(super) fn found_in(mut self, merged: &str, sources: &[Source]) -> Self {
        let Some(place) = self.place.take() else { return self };
        let steps = steps_to(merged, place.start);
        let found = sources.iter().find_map(|source| {
            let span = span_of(&source.text, &steps)?;
            Some((source.path.clone(), Box::new(Place::of(&source.text, span))))
        });
        if let Some((file, place)) = found {
            self.file = file;
            self.place = Some(place);
        }
        self
    }

    /// The file alone was right: whatever is wrong came from the command line, and the line
    /// numbers are those of no file.
    pub(super) fn caused_by_overrides(mut self, overrides: &[String]) -> Self {
        self.place = None;
        self.message = format!("after --set {}: {}", overrides.join(" --set "), self.message);
        self
    }

    /// The file is right, and what it was before is not.
    pub(super) fn caused_by_before(self, path: &Path, text: &str, span: Range<usize>) -> Self {
        let message = format!("with `before` laid over the rest: {}", self.message);
        Self { help: self.help, ..Self::at(path, text, span, message) }
    }

    /// The file is right, and what a search would make of it is not.
    pub(super) fn caused_by_search(
        self,
        path: &Path,
        text: &str,
        span: Range<usize>,
        set: &str,
    ) -> Self {
        let message = format!("the search tries {set}: {}", self.message);
        let help = self.help.unwrap_or_else(|| "see its vary, least, most and unit".to_owned());
        Self::at(path, text, span, message).with_help(help)
    }

    /// Somebody asked for what there was before.
    pub(super) fn no_before(path: &Path) -> Self {
        let help = "write what was different then, for example [before] with \
                    gateway.dispatch = \"round-robin\"; or run it without --before and --both";
        Self::whole(path, "it has no [before]: there is no incident to show".to_owned())
            .with_help(help.to_owned())
    }

    /// An error of the TOML reader, with the nearest name where a name is unknown.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or(0..0);
        let said = error.message();
        // An error about a whole file has an empty span, which lies in nothing.
        let key = if span.is_empty() { String::new() } else { key_path(text, span.start) };
        if let Some(unknown) = Unknown::read(said) {
            // An unknown table is not within itself.
            let outside = key.is_empty() || key == unknown.seen;
            let within = if outside { String::new() } else { format!(" in `{key}`") };
            let message = format!("unknown {} `{}`{within}", unknown.what, unknown.seen);
            return Self::at(path, text, span, message).with_help(unknown.help());
        }
        let Plain { message, help } = plain(said);
        let message = if key.is_empty() { message } else { format!("`{key}`: {message}") };
        Self { help, ..Self::at(path, text, span, message) }
    }
}

impl Place {
    fn of(text: &str, span: Range<usize>) -> Self {
        let start = floor_char(text, span.start);
        let end = floor_char(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let on_line = &text[start..end.min(line_start + line_text.len()).max(start)];
        Self {
            start,
            line: line_of(text, start),
            column: text[line_start..start].chars().count() + 1,
            width: on_line.chars().count().max(1),
            text: line_text.to_owned(),
        }
    }
}

/// The longest line that is shown whole, in characters.
const LONGEST_LINE: usize = 160;

/// A line as it is shown.
struct Shown {
    text: String,
    /// Characters before those that are underlined.
    before: usize,
    /// Characters that are underlined.
    width: usize,
}

impl Place {
    /// The line, or what is around the mistake of one that is too long.
    fn shown(&self) -> Shown {
        let (before, width) = (self.column - 1, self.width);
        if self.text.chars().count() <= LONGEST_LINE {
            return Shown { text: self.text.clone(), before, width };
        }
        let from = before.saturating_sub(LONGEST_LINE / 2);
        let part: String = self.text.chars().skip(from).take(LONGEST_LINE).collect();
        let (open, skipped) = if from > 0 { ("…", from - 1) } else { ("", 0) };
        let before = before - skipped;
        Shown {
            text: format!("{open}{part}…"),
            before,
            width: width.min(LONGEST_LINE + 1 - before),
        }
    }
}

/// The line of the byte `at`, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..floor_char(text, at)].matches('\n').count() + 1
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.place.as_deref() {
            None => write!(f, "{file}: {}", self.message)?,
            Some(place @ Place { line, column, .. }) => {
                let Shown { text, before, width } = place.shown();
                let margin = " ".repeat(line.to_string().len());
                writeln!(f, "{file}:{line}:{column}: {}", self.message)?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{line} | {text}")?;
                write!(f, "{margin} | {}{}", " ".repeat(before), "^".repeat(width))?;
            }
        }
        match &self.help {
            Some(help) => write!(f, "\n  = {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ScenarioError {}

/// "unknown field `a`, expected one of `b`, `c`", taken apart.
struct Unknown<'a> {
    what: &'static str,
    seen: &'a str,
    allowed: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    fn read(said: &'a str) -> Option<Self> {
        let what = match said.split_once('`')?.0.trim_end() {
            "unknown field" => "key",
            "unknown variant" => "value",
            _ => return None,
        };
        // Every second piece stands between backticks.
        let mut quoted = said.split('`').skip(1).step_by(2);
        Some(Self { what, seen: quoted.next()?, allowed: quoted.collect() })
    }

    fn help(&self) -> String {
        suggestion(self.seen, &self.allowed)
    }
}

/// The nearest of the allowed names, and all of them.
pub fn suggestion(seen: &str, allowed: &[&str]) -> String {
    let nearest =
        nearest(seen, allowed).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    format!("{nearest}allowed here: {}", allowed.join(", "))
}

/// The name with the fewest edits from `seen`, if it is near at all.
pub(super) fn nearest<'a>(seen: &str, allowed: &[&'a str]) -> Option<&'a str> {
    allowed
        .iter()
        .map(|&name| (strsim::damerau_levenshtein(seen, name), name))
        .filter(|&(edits, name)| edits * 2 <= name.len().max(seen.len()))
        .min()
        .map(|(_, name)| name)
}

/// One step into a document.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Item(usize),
}

/// The dotted path of the innermost table or value that holds the byte `at`: `phase[1].ramp`; of a
/// key, that of the table that has it.
fn key_path(text: &str, at: usize) -> String {
    let (mut steps, on_key) = steps_to(text, at);
    if on_key {
        steps.pop();
    }
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path = key,
            Step::Key(key) => path = format!("{path}.{key}"),
            Step::Item(index) => path = format!("{path}[{index}]"),
        }
    }
    path
}

/// The way to the byte `at`, and whether it stands in a key rather than in a value.
fn steps_to(text: &str, at: usize) -> (Vec<Step>, bool) {
    let Ok(document) = DeTable::parse(text) else { return (Vec::new(), false) };
    steps_in_table(document.get_ref(), at).unwrap_or_default()
}

/// The way below `table`; `None` when `at` lies outside. The span of a table is that of its
/// header, so its keys are looked at whatever it says.
fn steps_in_table(table: &DeTable<'_>, at: usize) -> Option<(Vec<Step>, bool)> {
    table.iter().find_map(|(key, value)| {
        let name = Step::Key(key.get_ref().to_string());
        match steps_in_value(value, at) {
            Some((deeper, on_key)) => Some(([vec![name], deeper].concat(), on_key)),
            None => key.span().contains(&at).then(|| (vec![name], true)),
        }
    })
}

fn steps_in_value(value: &Spanned<DeValue<'_>>, at: usize) -> Option<(Vec<Step>, bool)> {
    let deeper = match value.get_ref() {
        DeValue::Table(table) => steps_in_table(table, at),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            let (deeper, on_key) = steps_in_value(item, at)?;
            Some(([vec![Step::Item(index)], deeper].concat(), on_key))
        }),
        _ => None,
    };
    deeper.or_else(|| value.span().contains(&at).then(|| (Vec::new(), false)))
}

/// Where that stands in another text to which `steps` lead.
fn span_of(text: &str, (steps, on_key): &(Vec<Step>, bool)) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let (Step::Key(first), rest) = steps.split_first()? else { return None };
    let (mut key, mut value) = entry(document.get_ref(), first)?;
    for step in rest {
        match (step, value.get_ref()) {
            (Step::Key(name), DeValue::Table(table)) => (key, value) = entry(table, name)?,
            (Step::Item(index), DeValue::Array(items)) => value = items.get(*index)?,
            _ => return None,
        }
    }
    Some(if *on_key { key } else { value.span() })
}

/// Where the key stands, and its value.
fn entry<'a, 'text>(
    table: &'a DeTable<'text>,
    name: &str,
) -> Option<(Range<usize>, &'a Spanned<DeValue<'text>>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span(), value))
}
