//! Whether a user who isn't root may put something in the place of what a resolution takes away. The kernel checks that when it comes to
//! it (`zfs_secpolicy_recv` in `module/zfs/zfs_ioctl.c`: on the dataset above), and then the copy is gone already; what is delegated on
//! the copy itself goes with it.

use zfs::name::DatasetName;
use zfs::{Failure, Granted, Refusal, Resolution, Rights, permission};

/// Nothing comes into being without these on the dataset above, and no increment follows without them on what has come into being.
const TO_CREATE: [&str; 3] = ["receive", "create", "mount"];
/// What makes a clone of its own.
const CLONES: [&str; 2] = ["clone", "promote"];

/// What a resolution needs of the dataset above the one that it takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// What is taken away.
    pub dataset: DatasetName,
    /// Where something takes its place.
    pub above: DatasetName,
    /// Whether it stays if anything lies below it, and only its snapshots go.
    pub may_stay: bool,
    /// What it takes to take it away.
    takes: Vec<&'static str>,
    /// Whether snapshots of it are destroyed: what is allowed on the dataset alone doesn't reach them (tried with OpenZFS 2.3.9).
    loses: bool,
    makes: Makes,
    raw: bool,
}

/// What comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Makes {
    /// Nothing: the dataset itself stays.
    Nothing,
    /// A dataset that a stream brings.
    New,
    /// A clone of what was taken away.
    Clone,
}

impl Needs {
    /// Those of a resolution; `None` for a pool's root dataset, above which there is none. `raw`: what comes is raw.
    #[must_use]
    pub fn of(resolution: &Resolution, raw: bool) -> Option<Self> {
        let dataset = resolution.dataset().clone();
        let above = dataset.parent()?;
        let plain = Self { dataset, above, may_stay: false, takes: vec![], loses: false, makes: Makes::New, raw };
        Some(match resolution {
            Resolution::Rollback { loses, .. } => {
                let takes = if loses.is_empty() { vec!["rollback"] } else { vec!["rollback", "destroy", "mount"] };
                Self { takes, loses: !loses.is_empty(), makes: Makes::Nothing, ..plain }
            }
            Resolution::SetAside { restore, .. } if restore.is_empty() => {
                Self { takes: vec!["rename", "mount"], ..plain }
            }
            Resolution::SetAside { .. } => {
                Self { takes: vec!["rename", "mount", "clone", "promote"], makes: Makes::Clone, ..plain }
            }
            Resolution::Replace { whole, loses, .. } => {
                Self { takes: vec!["destroy", "mount"], loses: !loses.is_empty(), may_stay: !whole, ..plain }
            }
        })
    }

    /// Whether these rights on the dataset above leave nothing to ask for, or nothing that could be known.
    #[must_use]
    pub fn are_met_by(&self, above: &Rights) -> bool {
        let needed = TO_CREATE.iter().filter(|_| self.makes != Makes::Nothing).chain(&self.takes);
        above.lacking(&needed.copied().collect::<Vec<_>>().join(",")).is_none_or(|lacking| lacking.is_empty())
    }

    /// Why it isn't begun, with the one command that is enough. `own`: the rights on what is taken away. `stays`: it does, so that nothing
    /// comes into being.
    #[must_use]
    pub fn refusal(&self, user: &str, own: &Rights, above: &Rights, stays: bool) -> Option<Failure> {
        // Either the copy is another's, and refuses to be taken away; or these rights come from elsewhere, such as CAP_SYS_ADMIN, which ZFS
        // asks for first (`secpolicy_zfs`), or `zfs allow` calls the account by another name. What is so is known once it is tried.
        if matches!(own, Rights::Granted(Granted { here, below }) if here.is_empty() && below.is_empty()) {
            return None;
        }
        let promote = ["promote"].into_iter().filter(|_| self.makes == Makes::Clone);
        let essential = TO_CREATE.into_iter().chain(promote).collect::<Vec<_>>().join(",");
        let lacking = if stays || self.makes == Makes::Nothing { Vec::new() } else { above.lacking(&essential)? };
        let lacks = |one: &&str| allowed(own, one, self.loses && *one == "destroy") == Some(false);
        let own: Vec<&str> = self.takes.iter().copied().filter(lacks).collect();
        let (place, what, grant) = match (lacking.is_empty(), own.is_empty()) {
            (true, true) => return None,
            (true, false) => (&self.dataset, own.join(","), own),
            (false, _) => (&self.above, lacking.join(","), self.enough(&own, above)),
        };
        let why = if place == &self.dataset { "" } else { ", and so could not create what takes its place" };
        let grant = match above {
            Rights::DelegationOff => format!("zpool set delegation=on '{}'", place.pool()),
            _ => permission::allow(user, &grant.join(","), place),
        };
        let words =
            format!("{user} lacks {what} on '{place}'{why}\nroot on the target's host{}{grant}", permission::GRANT);
        Some(Failure { refusal: Refusal::Permission, words })
    }

    /// What is to be granted above, `own` with it.
    fn enough<'a>(&self, own: &[&'a str], above: &Rights) -> Vec<&'a str> {
        let all = permission::RECEIVE.split(',').chain(CLONES.into_iter().filter(|_| self.makes == Makes::Clone));
        let mut all: Vec<&'a str> = all.chain(Some(permission::READ).filter(|_| self.raw)).collect();
        let others = own.iter().filter(|one| !all.contains(one)).copied().collect::<Vec<_>>();
        all.extend(others);
        let is_lacking = |one: &&str| above.lacking(one).is_none_or(|lacking| !lacking.is_empty());
        all.into_iter().filter(is_lacking).collect()
    }
}

/// Whether this may be done with the dataset itself, and (`below`) with its snapshots; `None` where nobody can tell.
fn allowed(rights: &Rights, permission: &str, below: bool) -> Option<bool> {
    match rights {
        Rights::Unknown => None,
        Rights::All => Some(true),
        Rights::DelegationOff => Some(false),
        Rights::Granted(granted) => {
            let has = |all: &[String]| all.iter().any(|one| one == permission);
            Some(has(&granted.here) && (!below || has(&granted.below)))
        }
    }
}

/// Whether these words are such a refusal, as nothing could come into being in the place of this dataset: whatever takes it away.
pub(super) fn could_not_create(words: &str, dataset: &DatasetName) -> bool {
    let lacking =
        dataset.parent().and_then(|above| Some(words.split_once(&format!(" on '{above}'"))?.0.rsplit_once(' ')?.1));
    lacking.is_some_and(|lacking| lacking.split(',').any(|one| TO_CREATE.contains(&one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::Restore;
    use zfs::name::Guid;

    fn granted(here: &str, below: &str) -> Rights {
        let of = |words: &str| words.split_terminator(',').map(ToOwned::to_owned).collect();
        Rights::Granted(Granted { here: of(here), below: of(below) })
    }

    fn both(permissions: &str) -> Rights {
        granted(permissions, permissions)
    }

    fn name(name: &str) -> DatasetName {
        name.parse().unwrap()
    }

    fn replace(whole: bool) -> Needs {
        Needs::of(&Resolution::Replace { dataset: name("b/t/a"), loses: vec![], whole }, false).unwrap()
    }

    fn set_aside(comes_back: bool) -> Needs {
        let one = || Restore { dataset: name("b/t/a"), snapshot: "s".parse().unwrap(), guid: Guid(1) };
        let restore = comes_back.then(one).into_iter().collect();
        let (dataset, aside) = (name("b/t/a"), name("b/t/a.old"));
        Needs::of(&Resolution::SetAside { dataset, aside, restore, top: false }, false).unwrap()
    }

    fn told(needs: &Needs, own: &Rights, above: &Rights) -> Option<String> {
        let failure = needs.refusal("repl", own, above, false)?;
        assert_eq!(failure.refusal, Refusal::Permission);
        Some(failure.words)
    }

    const MAY_RECEIVE: &str = "receive,create,mount,canmount,readonly,volmode,userprop";

    #[test]
    fn what_is_allowed_on_the_copy_alone_is_not_enough() {
        let own = both(&format!("{MAY_RECEIVE},destroy,rename,clone,promote"));
        let grant = |more: &str| {
            format!("root on the target's host can delegate the permission: zfs allow repl {MAY_RECEIVE}{more} 'b/t'")
        };
        let lacks = |what: &str| format!("repl lacks {what} on 'b/t', and so could not create what takes its place\n");
        for (needs, what, more) in [
            (replace(false), "receive,create,mount", ""),
            (replace(true), "receive,create,mount", ""),
            (set_aside(false), "receive,create,mount", ""),
            (set_aside(true), "receive,create,mount,promote", ",clone,promote"),
        ] {
            assert!(!needs.are_met_by(&both("")));
            assert_eq!(told(&needs, &own, &both("")), Some(lacks(what) + &grant(more)));
        }
        // What must be had below is not there by being allowed on the dataset alone.
        let words = told(&replace(false), &own, &granted(MAY_RECEIVE, "create,mount")).unwrap();
        assert!(words.ends_with("zfs allow repl receive,canmount,readonly,volmode,userprop 'b/t'"), "{words}");
        let stays = replace(false).refusal("repl", &own, &both(""), true);
        assert_eq!(stays, None);
    }

    #[test]
    fn one_command_is_enough() {
        let words = told(&replace(false), &both("hold"), &both("")).unwrap();
        assert!(words.ends_with(&format!("zfs allow repl {MAY_RECEIVE},destroy 'b/t'")), "{words}");
        let words = told(&set_aside(true), &both("clone"), &both("userprop,create")).unwrap();
        let rest = "receive,mount,canmount,readonly,volmode,clone,promote,rename";
        assert!(words.ends_with(&format!("zfs allow repl {rest} 'b/t'")), "{words}");
        let raw = Resolution::Replace { dataset: name("b/t/a"), loses: vec![], whole: true };
        let words = told(&Needs::of(&raw, true).unwrap(), &both("destroy,mount"), &both("")).unwrap();
        assert!(words.ends_with(&format!("zfs allow repl {MAY_RECEIVE},send 'b/t'")), "{words}");
        // With it, nothing is said any more.
        let all = both(&format!("{MAY_RECEIVE},clone,promote,destroy,rename"));
        for needs in [replace(false), replace(true), set_aside(false), set_aside(true)] {
            assert!(needs.are_met_by(&all));
            assert_eq!(told(&needs, &all, &all), None);
        }
    }

    #[test]
    fn what_the_copy_itself_lacks_is_granted_there() {
        let own = both(MAY_RECEIVE);
        let words = "repl lacks destroy on 'b/t/a'\nroot on the target's host can delegate the permission: zfs allow repl destroy 'b/t/a'";
        assert!(!replace(false).are_met_by(&own));
        assert_eq!(told(&replace(false), &own, &own).as_deref(), Some(words));
        // Allowed on the dataset alone is enough for that.
        assert_eq!(told(&replace(false), &granted("destroy,mount", ""), &own), None);
        let words = told(&set_aside(true), &both("rename,mount"), &both(&format!("{MAY_RECEIVE},promote"))).unwrap();
        assert!(words.ends_with("zfs allow repl clone,promote 'b/t/a'"), "{words}");
        assert_eq!(told(&set_aside(false), &both("rename,mount"), &own), None);
    }

    #[test]
    fn snapshots_are_destroyed_where_that_is_allowed_below_too() {
        let destroys = || Needs { loses: true, ..replace(true) };
        let above = both(MAY_RECEIVE);
        let words = told(&destroys(), &granted("destroy,mount", ""), &above).unwrap();
        assert!(words.ends_with("zfs allow repl destroy 'b/t/a'"), "{words}");
        assert_eq!(told(&destroys(), &both("destroy,mount"), &above), None);
        assert_eq!(told(&replace(true), &granted("destroy,mount", ""), &above), None);
    }

    #[test]
    fn a_rollback_needs_nothing_above() {
        let rollback = |loses: &[Guid]| {
            let loses = loses.to_vec();
            let (dataset, to) = (name("b/t/a"), "s".parse().unwrap());
            Needs::of(&Resolution::Rollback { dataset, to, to_guid: Guid(1), loses }, false).unwrap()
        };
        for (loses, own, lacks) in [
            (&[][..], "rollback", None),
            (&[], "destroy,mount", Some("rollback")),
            (&[Guid(2)], "rollback,destroy,mount", None),
            (&[Guid(2)], "receive", Some("rollback,destroy,mount")),
        ] {
            let needs = rollback(loses);
            assert!(needs.are_met_by(&both("rollback,destroy,mount")));
            assert!(!needs.are_met_by(&both("receive")));
            let words = lacks.map(|lacks| {
                format!("repl lacks {lacks} on 'b/t/a'\nroot on the target's host can delegate the permission: zfs allow repl {lacks} 'b/t/a'")
            });
            assert_eq!(told(&needs, &both(own), &both("receive")), words);
        }
    }

    #[test]
    fn who_has_nothing_on_the_copy_has_it_from_elsewhere_or_fails() {
        assert_eq!(told(&replace(true), &both(""), &both("")), None);
        assert_eq!(told(&set_aside(true), &both(""), &both("create")), None);
    }

    #[test]
    fn what_nobody_can_tell_is_tried() {
        for needs in [replace(false), set_aside(true)] {
            for rights in [Rights::Unknown, Rights::All] {
                assert!(needs.are_met_by(&rights));
            }
            assert_eq!(told(&needs, &Rights::Unknown, &Rights::Unknown), None);
            let off = told(&needs, &Rights::DelegationOff, &Rights::DelegationOff).unwrap();
            assert!(off.ends_with("zpool set delegation=on 'b'"), "{off}");
        }
        let root = Resolution::Replace { dataset: name("b"), loses: vec![], whole: false };
        assert_eq!(Needs::of(&root, false), None);
    }
}
