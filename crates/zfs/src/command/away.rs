//! Where calls run that are for another machine: in sessions that take one call after the other. How a call becomes lines for one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::Arc;

use super::limits::Limits;
use super::session::{Session, Stdin};
use super::turns::{Few, Kind, Lane, Lost, Probed, Turn, Turns};

/// One of these that is in none of the arguments of a call stands between them.
const SEPARATORS: [u8; 4] = [0x1f, 0x1e, 0x1d, 0x1c];

/// Opens sessions on another machine by a command of this one.
#[derive(Debug, Clone)]
pub struct Away {
    /// What opens a session, e.g. ssh over a connection that there is.
    program: OsString,
    args: Vec<OsString>,
    /// The words for `zfs` there. `zpool` is called by its own name, from where the last one is: pools are only asked. What needs rights,
    /// as their history does, can't be read so.
    zfs: Vec<String>,
    turns: Arc<Turns>,
    lost: Lost,
}

/// Whether calls for another machine are built in. A helper makes none, and is smaller without: what asks this is left out there.
pub(crate) const BUILT_IN: bool = cfg!(any(test, feature = "away"));

impl Away {
    /// `zfs` is what stands for `zfs` there, word by word; `lost` is told of a session that was lost or could not be opened, before
    /// whoever waits for the call is. There is none where calls for another machine aren't built in: they would run on this one.
    #[cfg(any(test, feature = "away"))]
    pub fn new(
        (program, args): (OsString, Vec<OsString>),
        zfs: Vec<String>,
        turns: Arc<Turns>,
        lost: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { program, args, zfs, turns, lost: Lost(Arc::new(lost)) }
    }

    /// Waits within these limits for a session; one that is there, or is opened.
    pub(crate) fn turn(&self, kind: Kind, limits: &Limits) -> io::Result<Turn> {
        let mut turn = self.turns.take(kind, &self.lost, limits)?;
        self.session(&mut turn)?;
        Ok(turn)
    }

    /// The session of a turn, which is opened if there is none.
    fn session<'a>(&self, turn: &'a mut Turn) -> io::Result<&'a mut Session> {
        turn.session_or(|| {
            let mut command = Command::new(&self.program);
            command.args(&self.args);
            Session::open(command)
        })
    }

    /// A place on the connection for one more stream at a time; `granted` gives a session to what nobody needs, and tells what became of
    /// it.
    pub(crate) fn lane(&self, granted: impl Fn(Turn) -> Probed) -> Result<Lane, Few> {
        self.turns.lane(&self.lost, |mut turn| match self.session(&mut turn) {
            Ok(_) => granted(turn),
            Err(_) => Probed::Unknown,
        })
    }

    /// The lines that stand for a call: what its stdin is, the number of its arguments, what stands between them, and all of them.
    /// Whoever reads them drops an empty one at the end, so none may be empty; and none may have a line end in it.
    pub(crate) fn lines(&self, call: &Command, stdin: Stdin) -> io::Result<Vec<u8>> {
        let cant = |words| Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        let words = self.program_words(call.get_program());
        let args: Vec<&[u8]> =
            words.iter().map(String::as_bytes).chain(call.get_args().map(OsStrExt::as_bytes)).collect();
        if args.iter().any(|arg| arg.is_empty()) {
            return cant("an argument is empty");
        }
        if args.iter().any(|arg| arg.contains(&b'\n')) {
            return cant("an argument has a line end in it");
        }
        let is_free = |byte: &&u8| !args.iter().any(|arg| arg.contains(*byte));
        let Some(separator) = SEPARATORS.iter().find(is_free) else {
            return cant("its arguments have too many different control characters in them");
        };
        let mut lines = format!("{} {}\n{}\n", stdin.word(), args.len(), char::from(*separator)).into_bytes();
        lines.extend_from_slice(&args.join(separator));
        lines.push(b'\n');
        Ok(lines)
    }

    /// `zfs` stands for the user's words; whatever else is called stands for itself.
    fn program_words(&self, called: &OsStr) -> Vec<String> {
        match called.to_string_lossy() {
            name if name == "zfs" => self.zfs.clone(),
            name if name == "zpool" => {
                let dir = self.zfs.last().and_then(|last| last.rsplit_once('/'));
                vec![dir.map_or_else(|| "zpool".into(), |(dir, _)| format!("{dir}/zpool"))]
            }
            name => vec![name.into_owned()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(zfs: &[&str], program: &str, args: &[&str]) -> String {
        let zfs = zfs.iter().map(ToString::to_string).collect();
        let away = Away::new(("ssh".into(), Vec::new()), zfs, Arc::default(), || {});
        let mut call = Command::new(program);
        call.args(args);
        String::from_utf8(away.lines(&call, Stdin::Null).unwrap()).unwrap()
    }

    #[test]
    fn arguments_travel_as_they_are() {
        let of = |zfs: &[&str], program: &str, args: &[&str]| lines(zfs, program, args).replace('\x1f', "|");
        assert_eq!(of(&["zfs"], "zfs", &["list", "p/a b", "p/$(x)"]), "null 4\n|\nzfs|list|p/a b|p/$(x)\n");
        assert_eq!(of(&["sudo", "-n", "/sbin/zfs"], "zfs", &["get"]), "null 4\n|\nsudo|-n|/sbin/zfs|get\n");
        assert_eq!(of(&["sudo", "-n", "/sbin/zfs"], "zpool", &["get"]), "null 2\n|\n/sbin/zpool|get\n");
        assert_eq!(of(&["doas", "zfs"], "zpool", &[]), "null 1\n|\nzpool\n");
        assert_eq!(of(&["doas", "zfs"], "sh", &["-c"]), "null 2\n|\nsh|-c\n");
        // A property may have in it what stands between the others.
        assert_eq!(lines(&["zfs"], "zfs", &["set", "a:b=\x1f"]), "null 3\n\x1e\nzfs\x1eset\x1ea:b=\x1f\n");
    }

    #[test]
    fn what_would_arrive_as_something_else_is_not_sent() {
        let away = Away::new(("ssh".into(), Vec::new()), vec!["zfs".into()], Arc::default(), || {});
        for arg in ["a\nb", "\n", "", "\x1f\x1e\x1d\x1c"] {
            let mut call = Command::new("zfs");
            call.args(["list", arg]);
            assert_eq!(away.lines(&call, Stdin::Null).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{arg:?}");
        }
    }
}
