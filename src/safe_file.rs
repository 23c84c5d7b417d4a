//! Files of our own, opened in such a way that no other user can have us write elsewhere, or wait for ever: a symbolic link that isn't ours
//! nor root's is not followed, and a FIFO is no file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file as `options` say.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if is_ours_already(path) {
        return options.open(path);
    }
    let at_once = |more| options.clone().custom_flags(flags(OFlags::NONBLOCK | more)).open(path);
    let opened = match at_once(OFlags::NOFOLLOW) {
        // With O_NOFOLLOW it means a link at the very end; who may change it is checked, and what it leads to.
        Err(error) if is_loop(&error) => {
            check(path)?;
            at_once(OFlags::empty())
                .and_then(|file| if ours(file.metadata()?.uid()) { Ok(file) } else { Err(foreign(path)) })
        }
        opened => opened,
    };
    match opened {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Err(fifo(path)),
        Ok(file) if file.metadata()?.file_type().is_fifo() => Err(fifo(path)),
        Ok(file) => {
            let own = rustix::fs::fcntl_getfl(&file)?;
            rustix::fs::fcntl_setfl(&file, own - OFlags::NONBLOCK)?;
            Ok(file)
        }
        failed => failed,
    }
}

/// What this process has open already may be a pipe: `/dev/stderr`, or what a shell makes of `>(COMMAND)`.
fn is_ours_already(path: &Path) -> bool {
    let parents = ["/dev/fd", "/proc/self/fd"].map(Path::new);
    [Path::new("/dev/stdout"), Path::new("/dev/stderr")].contains(&path)
        || path.parent().is_some_and(|dir| parents.contains(&dir))
}

/// The largest file that is read, in bytes. The largest that zfsync writes to read it again has the names of datasets that are not in sync, and
/// of those that were not looked at: there is room for 100,000 of the longest in each of the two.
const LARGEST: u64 = 64 << 20;

/// All that is in a regular file of a sensible size: a device, or a link to one, may have no end.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(OpenOptions::new().read(true), path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is no regular file", path.display())));
    }
    let mut content = Vec::new();
    // It may grow meanwhile.
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        let words = format!("{} is larger than {} MiB", path.display(), LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
    }
    Ok(content)
}

/// Fails where a symbolic link of another user stands.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() && !ours(found.uid()) => Err(foreign(path)),
        _ => Ok(()),
    }
}

/// Of this user, or of root.
fn ours(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

fn foreign(path: &Path) -> io::Error {
    let words = format!("{} is a symbolic link of another user, or leads to another user's file", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, words)
}

fn fifo(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} is a FIFO, not a file", path.display()))
}

fn is_loop(error: &io::Error) -> bool {
    [rustix::io::Errno::LOOP, rustix::io::Errno::MLINK]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for path in [&fifo, &link] {
            let error = open(OpenOptions::new().append(true).create(true), path).unwrap_err();
            assert!(error.to_string().contains("is a FIFO"), "{error}");
            assert!(read(path).unwrap_err().to_string().contains("is a FIFO"));
        }
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), b"text");
        // A pipe of our own is none of them.
        let (mut output, input) = io::pipe().unwrap();
        let name = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&input));
        let written = open(OpenOptions::new().append(true).create(true), Path::new(&name));
        io::Write::write_all(&mut written.unwrap(), b"line").unwrap();
        drop(input);
        assert_eq!(io::read_to_string(&mut output).unwrap(), "line");
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (link, large) = (dir.path().join("link"), dir.path().join("large"));
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(read(&link).unwrap_err().to_string().ends_with("link is no regular file"));
        assert!(read(dir.path()).unwrap_err().to_string().ends_with(" is no regular file"));
        let file = File::create(&large).unwrap();
        file.set_len(LARGEST).unwrap();
        assert_eq!(read(&large).unwrap().len() as u64, LARGEST);
        file.set_len(20 << 30).unwrap();
        let error = read(&large).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().ends_with("large is larger than 64 MiB"), "{error}");
    }

    #[test]
    fn links_of_others_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // Our own are.
        assert!(open(&mut options, &link).is_ok() && file.exists());
        assert!(open(&mut options, &file).is_ok());
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let other = rustix::process::Uid::from_raw(65_534);
        let change = |path: &Path| {
            rustix::fs::chownat(rustix::fs::CWD, path, Some(other), None, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .unwrap();
        };
        change(&link);
        assert_eq!(open(&mut options, &link).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(check(&link).is_err() && check(&file).is_ok());
        let second = dir.path().join("second");
        std::os::unix::fs::symlink(&file, &second).unwrap();
        change(&file);
        assert_eq!(open(&mut options, &second).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
