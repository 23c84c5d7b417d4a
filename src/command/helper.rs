//! `zfsync helper`.

use std::fmt::Write as _;

use super::Outcome;
use super::outcome::Care;
use crate::cli;
use crate::config::KeepJob;
use crate::error::{Exit, StartError};
use crate::exec::{self, Kept};
use crate::format::count;
use crate::remote::keep::Removed;

/// Installs a helper on another host, or removes what runs have left there.
pub async fn helper(args: &cli::Helper) -> Result<Outcome, StartError> {
    let job = KeepJob::new(args)?;
    let host = job.host.to_string();
    let care = Care::UnlessClosed("can't print what was done");
    Ok(match exec::keep(&job).await? {
        Kept::Removed(what) => match not_removed(&host, &what) {
            None => Outcome::default().text(removed(&host, &what.files), care),
            Some(words) if what.files.is_empty() => Outcome::new(Exit::Failed).complain(&words),
            Some(words) => Outcome::new(Exit::Failed).text(removed(&host, &what.files), care).complain(&words),
        },
        Kept::Current(file) => Outcome::default().text(format!("{host}: {file} is already this helper\n"), care),
        Kept::Installed(kept) => Outcome::default().text(installed(&host, &kept.file, &kept.found), care),
        Kept::Other { file, why } => {
            Outcome::new(Exit::Failed).complain(&format!("{file} on {host} was not replaced: {why}"))
        }
    })
}

fn removed(host: &str, files: &[String]) -> String {
    if files.is_empty() {
        return format!("{host}: there is no helper in the cache\n");
    }
    let mut text = format!("{host}: removed {}\n", count(files.len(), "helper"));
    for file in files {
        let _ = writeln!(text, "  {file}");
    }
    text
}

/// What is still there, or may be.
fn not_removed(host: &str, what: &Removed) -> Option<String> {
    if what.kept.is_empty() && what.refused.is_empty() {
        return None;
    }
    let mut words = format!("not all helpers on {host} could be removed:");
    for kept in &what.kept {
        let _ = write!(words, "\n  {kept}");
    }
    for refused in &what.refused {
        let _ = write!(
            words,
            "\n  {refused} was skipped: it must be a directory that belongs to the user and that nobody else can write to"
        );
    }
    Some(words)
}

fn installed(host: &str, file: &str, found: &str) -> String {
    let mut text = format!("{host}: installed the helper as {file}\n");
    let word = shell_words::quote(file);
    let command = if found == file { "zfsync" } else { &word };
    if found != file {
        let finds = if found.is_empty() { "don't find zfsync".to_owned() } else { format!("find {found}") };
        // Twice: a shell reads it here, and the option is split into words.
        let option = shell_words::quote(&word);
        let _ = writeln!(text, "Commands over ssh {finds} in their PATH there: use --remote-zfsync {option}");
    }
    let command = command.replace('"', "\\\"");
    let _ = write!(
        text,
        "For a key that may only receive below one dataset, add this line to ~/.ssh/authorized_keys there:\n  \
         restrict,command=\"{command} recv --stdio --root POOL/DATASET\" KEY\n\
         With 'send' instead of 'recv', the key can only read.\n"
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
        assert!(text.contains("don't find zfsync in their PATH there: use --remote-zfsync /home/me/"), "{text}");
        assert!(text.contains("command=\"/home/me/.local/bin/zfsync recv --stdio"), "{text}");
    }

    #[test]
    fn no_shell_finds_anything_but_a_name_in_a_place() {
        for file in ["/home/$(id) a/zfsync", "/home/\"x/zfsync", "/home/it's/zfsync"] {
            let text = installed("beta", file, "");
            let option = text.lines().find_map(|line| line.split_once("--remote-zfsync ")).unwrap().1;
            let typed = shell_words::split(option).unwrap();
            assert_eq!(shell_words::split(&typed[0]).unwrap(), [file], "{text}");
            // As sshd reads its option.
            let command = text.split_once("command=\"").unwrap().1.split_once("\" KEY").unwrap().0;
            assert_eq!(shell_words::split(&command.replace("\\\"", "\"")).unwrap()[0], file, "{text}");
        }
    }

    #[test]
    fn what_was_removed() {
        assert_eq!(removed("beta", &[]), "beta: there is no helper in the cache\n");
        assert_eq!(removed("beta", &["/x/helper-a".into()]), "beta: removed 1 helper\n  /x/helper-a\n");
        let mut what = Removed::default();
        assert_eq!(not_removed("beta", &what), None);
        what.kept.push("rm: cannot remove '/x/helper-a'".into());
        what.refused.push("/y".into());
        let words = not_removed("beta", &what).unwrap();
        assert!(words.contains("\n  rm: cannot remove '/x/helper-a'\n  /y was skipped: "), "{words}");
    }
}
