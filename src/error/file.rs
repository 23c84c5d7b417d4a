//! Errors in configuration files, with the place.

use std::fmt;
use std::path::PathBuf;

use crate::format::sanitise;
use zfs::text::on_one_line;

/// Something wrong in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub line: Option<usize>,
    /// In which job.
    pub job: Option<String>,
    /// What is wrong.
    pub words: String,
    /// The place itself.
    pub excerpt: Option<Excerpt>,
}

/// A line of a configuration file, and which part of it is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, up to the part.
    pub before: String,
    /// The part; it may be empty, where something is missing.
    pub part: String,
    /// The rest of the line.
    pub after: String,
}

impl Excerpt {
    /// The line and a mark below it, as compilers show it. `line` is its number.
    fn lines(&self, line: usize) -> String {
        let [before, part, after] = [&self.before, &self.part, &self.after].map(|text| on_one_line(text).into_owned());
        let number = line.to_string();
        let (margin, indent) = (" ".repeat(number.len()), " ".repeat(before.chars().count()));
        let mark = "^".repeat(part.chars().count().max(1));
        format!("{margin} |\n{number} | {before}{part}{after}\n{margin} | {indent}{mark}")
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(job) = &self.job {
            write!(f, ": job {job}")?;
        }
        write!(f, ": {}", sanitise(&self.words))?;
        match (self.line, &self.excerpt) {
            (Some(line), Some(excerpt)) => write!(f, "\n{}", excerpt.lines(line)),
            _ => Ok(()),
        }
    }
}
