//! `zfsync helper`.

use std::fmt::Write as _;

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::KeepJob;
use crate::error::{Exit, StartError};
use crate::exec::{self, Kept};
use crate::format::count;
use zfs::text::on_one_line;

/// Installs a helper on another host, or removes what runs have left there.
pub async fn helper(args: &cli::Helper) -> Result<Outcome, StartError> {
    let job = KeepJob::new(args)?;
    let host = job.host.to_string();
    let care = Care::UnlessClosed("can't print what was done");
    Ok(match exec::keep(&job).await? {
        Kept::Removed(files) => Outcome::default().text(removed(&host, &files), care),
        Kept::Current(file) => {
            Outcome::default().text(format!("{host}: {} is this helper already\n", on_one_line(&file)), care)
        }
        Kept::Installed(kept) => Outcome::default().text(installed(&host, &kept.file, &kept.found), care),
        Kept::Other { file, why } => {
            Outcome::new(Exit::Failed).complain(&format!("{file} on {host} was not replaced: {why}"))
        }
    })
}

/// `files` are the other host's words, as the rest is that is told of it.
fn removed(host: &str, files: &[String]) -> String {
    if files.is_empty() {
        return format!("{host}: no helper is in the cache\n");
    }
    let mut text = format!("{host}: removed {}\n", count(files.len(), "helper"));
    for file in files {
        let _ = writeln!(text, "  {}", on_one_line(file));
    }
    text
}

fn installed(host: &str, file: &str, found: &str) -> String {
    let (file, found) = (&*on_one_line(file), &*on_one_line(found));
    let mut text = format!("{host}: installed the helper as {file}\n");
    let command = if found == file { "zfsync" } else { file };
    if found != file {
        let finds = if found.is_empty() { "no zfsync".to_owned() } else { found.to_owned() };
        let _ = writeln!(text, "A command over ssh finds {finds} in its PATH there: use --remote-zfsync {file}");
    }
    let _ = write!(
        text,
        "For a key that may only receive below one dataset, put this line into ~/.ssh/authorized_keys there:\n  \
         restrict,command=\"{command} recv --stdio --root POOL/DATASET\" KEY\n\
         With 'send' instead of 'recv' it is a key that may only read.\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_path_is_told_with_its_place() {
        let text = installed("beta", "/usr/local/bin/zfsync", "/usr/local/bin/zfsync");
        assert!(!text.contains("--remote-zfsync") && text.contains("command=\"zfsync recv --stdio"), "{text}");
        let text = installed("beta", "/home/me/.local/bin/zfsync", "");
        assert!(text.contains("finds no zfsync in its PATH there: use --remote-zfsync /home/me/"), "{text}");
        assert!(text.contains("command=\"/home/me/.local/bin/zfsync recv --stdio"), "{text}");
    }

    #[test]
    fn what_was_removed() {
        assert_eq!(removed("beta", &[]), "beta: no helper is in the cache\n");
        assert_eq!(removed("beta", &["/x/\u{1b}[2J\n".into()]).matches(['\u{1b}', '\n']).collect::<String>(), "\n\n");
        assert_eq!(removed("beta", &["/x/helper-a".into()]), "beta: removed 1 helper\n  /x/helper-a\n");
    }
}
