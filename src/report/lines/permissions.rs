//! Which permissions a run lacked is told once, at its end: each dataset would repeat the same command under its own name.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use zfs::name::DatasetName;
use zfs::permission::{self, GRANT};

use crate::format::count;
use crate::report::{DatasetEnd, Event, Reporter};

/// Passes events on, without the commands that grant permissions; these come before the end.
pub(in crate::report) struct GrantsOnce<R: Reporter> {
    to: R,
    grants: Grants,
    /// Whether notices are shown: a command whose reason nobody sees is left out with it.
    has_notices: bool,
}

impl<R: Reporter> GrantsOnce<R> {
    pub fn new(to: R) -> Self {
        Self { to, grants: Grants::default(), has_notices: true }
    }

    /// For who is shown failures only.
    pub fn of_failures(to: R) -> Self {
        Self { to, grants: Grants::default(), has_notices: false }
    }

    fn tell(&mut self) {
        if let Some(text) = std::mem::take(&mut self.grants).text() {
            self.to.event(&Event::Problem { text });
        }
    }
}

/// A run that is given up has no last event.
impl<R: Reporter> Drop for GrantsOnce<R> {
    fn drop(&mut self) {
        self.tell();
    }
}

impl<R: Reporter> Reporter for GrantsOnce<R> {
    fn event(&mut self, event: &Event) {
        if let Event::DatasetFailed { dataset, target, kind, error } = event
            && let Some(error) = self.grants.take_from(error)
        {
            let (dataset, target, kind) = (dataset.clone(), target.clone(), kind.clone());
            return self.to.event(&Event::DatasetFailed { dataset, target, kind, error });
        }
        if let Event::Notice { dataset, text } = event
            && self.has_notices
            && let Some(text) = self.grants.take_from(text)
        {
            return self.to.event(&Event::Notice { dataset: dataset.clone(), text });
        }
        if let Event::Cleared { failed, .. } = event
            && failed.iter().any(|(_, why)| why.contains(GRANT))
        {
            return self.to.event(&self.grants.cleared(event));
        }
        if matches!(event, Event::Finished(_)) {
            self.tell();
        }
        self.to.event(event);
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        self.to.ended(end);
    }
}

/// The commands so far.
#[derive(Default)]
pub(in crate::report) struct Grants {
    /// By what stands before the dataset and its pool, for the dataset that all of them are within; by the dataset itself, where the
    /// permission is to destroy. Where no dataset ends the line, it stands here whole.
    lines: BTreeMap<(String, Option<String>), Option<DatasetName>>,
    /// For how many datasets.
    datasets: usize,
}

impl Grants {
    /// The error without its command; `None` if it has none.
    pub fn take_from(&mut self, error: &str) -> Option<String> {
        let (grants, rest): (Vec<_>, Vec<_>) = error.lines().partition(|line| line.contains(GRANT));
        if grants.is_empty() {
            return None;
        }
        self.datasets += 1;
        for line in grants {
            self.add(line);
        }
        Some(rest.join("\n"))
    }

    fn cleared(&mut self, event: &Event) -> Event {
        let mut event = event.clone();
        if let Event::Cleared { failed, .. } = &mut event {
            for (_, why) in failed {
                if let Some(rest) = self.take_from(why) {
                    *why = rest;
                }
            }
        }
        event
    }

    /// What a host has said stays marked as its words.
    fn add(&mut self, line: &str) {
        let line = line.trim();
        let named = line.strip_suffix('\'').and_then(|line| line.rsplit_once('\''));
        let parsed = named.and_then(|(head, name)| Some((head, name.parse::<DatasetName>().ok()?)));
        let Some((head, dataset)) = parsed else {
            self.lines.entry((line.to_owned(), None)).or_default();
            return;
        };
        let within = if destroys(head) { dataset.as_str() } else { dataset.pool() };
        let known = self.lines.entry((head.to_owned(), Some(within.to_owned()))).or_default();
        *known = match known.take() {
            Some(known) => common(&known, &dataset),
            None => Some(dataset),
        };
    }

    /// What there is to say of them at the end.
    pub fn text(self) -> Option<String> {
        if self.lines.is_empty() {
            return None;
        }
        let mut text = format!("permissions are missing for {}:", count(self.datasets, "dataset"));
        let mut granted: HashMap<&DatasetName, Vec<&str>> = HashMap::new();
        for ((head, _), on) in &self.lines {
            if let Some(on) = on {
                granted.entry(on).or_default().push(head);
            }
        }
        for ((head, _), dataset) in &self.lines {
            // What is delegated on a dataset counts for those below it.
            let covers = |dataset: &DatasetName| {
                let grants = |on: &DatasetName| {
                    let is_more = |other: &str| (on != dataset || other.len() > head.len()) && includes(other, head);
                    granted.get(on).is_some_and(|heads| heads.iter().any(|other| is_more(other)))
                };
                std::iter::successors(Some(dataset.clone()), DatasetName::parent).any(|on| grants(&on))
            };
            if dataset.as_ref().is_some_and(covers) {
                continue;
            }
            text.push('\n');
            text.push_str(head);
            if let Some(dataset) = dataset {
                let _ = write!(text, "'{dataset}'");
            }
        }
        Some(text)
    }
}

/// Whether a command grants all that another one does, to the same user on the same host.
fn includes(more: &str, less: &str) -> bool {
    let parted = |head: &str| head.trim_end().rsplit_once(' ').map(|(whom, what)| (whom.to_owned(), what.to_owned()));
    let (Some((one, more)), Some((other, less))) = (parted(more), parted(less)) else { return false };
    let more: Vec<&str> = more.split(',').collect();
    one == other && less.split(',').all(|permission| more.contains(&permission))
}

/// Whether the command grants to destroy, which nobody needs for more than what is named.
fn destroys(head: &str) -> bool {
    // What a source has to allow to send from it names these two as well.
    head.contains(permission::DESTROY) && !head.contains(permission::SEND)
}

/// The dataset that is both, or above both.
fn common(one: &DatasetName, other: &DatasetName) -> Option<DatasetName> {
    std::iter::successors(Some(one.clone()), DatasetName::parent).find(|above| other.is_within(above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Summary;
    use crate::report::fake::{FakeClock, Page};
    use crate::report::lines::{Plain, Quiet};

    fn told(errors: &[&str]) -> String {
        let page = Page::default();
        let mut reporter = GrantsOnce::new(Quiet::new(Box::new(page.clone())));
        for error in errors {
            let (dataset, target, kind) = ("s".to_owned(), "t".to_owned(), "failed".into());
            reporter.event(&Event::DatasetFailed { dataset, target, kind, error: (*error).to_owned() });
        }
        reporter.event(&Event::Finished(Summary::default()));
        page.take()
    }

    fn notices(mut reporter: impl Reporter) {
        for name in ["p/d/a", "p/d/b"] {
            reporter.event(&Event::Notice { dataset: Some(name.into()), text: denied(name) });
        }
        reporter.event(&Event::Finished(Summary { datasets: 2, ..Summary::default() }));
    }

    fn denied(dataset: &str) -> String {
        format!(
            "permission denied\n  | root on the target's host can delegate the permission: zfs allow u p '{dataset}'\nmore"
        )
    }

    #[test]
    fn one_command_for_all_datasets() {
        let errors = ["p/d/a", "p/d/b/c", "p/d/b", "q/a b"].map(denied);
        let errors: Vec<&str> = errors.iter().map(String::as_str).collect();
        let each = "s -> t: failed: permission denied\n  more\n";
        assert_eq!(
            told(&errors),
            format!(
                "{}permissions are missing for 4 datasets:\n\
                 \x20 | root on the target's host can delegate the permission: zfs allow u p 'p/d'\n\
                 \x20 | root on the target's host can delegate the permission: zfs allow u p 'q/a b'\n",
                each.repeat(4)
            )
        );
    }

    #[test]
    fn what_arrived_without_a_property_counts_too() {
        let page = Page::default();
        let plain = Plain::new(Box::new(page.clone()), Box::new(FakeClock::new()), 0);
        notices(GrantsOnce::new(plain));
        let told = page.take();
        let once = "permissions are missing for 2 datasets:\n\
                    \x20 | root on the target's host can delegate the permission: zfs allow u p 'p/d'\n";
        assert!(told.contains(once) && told.matches("zfs allow").count() == 1, "{told}");
        // A command without its reason helps nobody.
        notices(GrantsOnce::of_failures(Quiet::new(Box::new(page.clone()))));
        assert_eq!(page.take(), "");
    }

    #[test]
    fn to_destroy_is_granted_where_it_is_needed_only() {
        for (permissions, on) in [
            (permission::DESTROY, vec!["p/d/a", "p/d/b"]),
            (permission::DESTROY_DATASETS, vec!["p/d/a", "p/d/b"]),
            (permission::SEND, vec!["p/d"]),
        ] {
            let errors = ["p/d/a", "p/d/b", "p/d/b/c"]
                .map(|dataset| denied(dataset).replace(" u p ", &format!(" u {permissions} ")));
            let text = told(&errors.each_ref().map(String::as_str));
            let commands: Vec<_> = text.lines().filter_map(|line| Some(line.split_once("zfs allow ")?.1)).collect();
            assert_eq!(commands, on.iter().map(|on| format!("u {permissions} '{on}'")).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_another_command_grants_is_not_told() {
        let [bookmarks, send] =
            [permission::CLEAR, permission::SEND].map(|what| denied("p/a").replace(" u p ", &format!(" u {what} ")));
        let commands = |errors: &[&str]| -> Vec<String> {
            let text = told(errors);
            text.lines().filter_map(|line| Some(line.split_once("zfs allow ")?.1.to_owned())).collect()
        };
        let grant = format!("u {} 'p/a'", permission::SEND);
        assert_eq!(commands(&[&bookmarks, &bookmarks.replace("p/a", "p/a/x"), &send]), [grant]);
        // Another user, or another place.
        let others = [bookmarks.replace(" u ", " v "), bookmarks.replace("p/a", "p/b")];
        assert_eq!(commands(&[&others[0], &others[1], &send]).len(), 3);
    }

    #[test]
    fn a_run_that_is_given_up_tells_the_commands_too() {
        let page = Page::default();
        let mut reporter = GrantsOnce::new(Quiet::new(Box::new(page.clone())));
        let (dataset, target, kind) = ("s".to_owned(), "t".to_owned(), "failed".into());
        reporter.event(&Event::DatasetFailed { dataset, target, kind, error: denied("p/a") });
        drop(reporter);
        assert!(page.take().ends_with("zfs allow u p 'p/a'\n"));
    }

    #[test]
    fn other_commands_stand_once_as_they_are() {
        let off = "off\nroot on the target's host can delegate the permission: zpool set delegation=on 'p'";
        let both = denied("p/a");
        let text = told(&[off, off, "no space", &both]);
        assert_eq!(
            text,
            "s -> t: failed: off\ns -> t: failed: off\ns -> t: failed: no space\ns -> t: failed: permission denied\n  more\n\
             permissions are missing for 3 datasets:\n\
             \x20 root on the target's host can delegate the permission: zpool set delegation=on 'p'\n\
             \x20 | root on the target's host can delegate the permission: zfs allow u p 'p/a'\n"
        );
        assert_eq!(told(&["no space"]), "s -> t: failed: no space\n");
    }
}
