"""What can be wrong with the command line and on the way to the helper: each has its message, its exit status, and changes nothing."""

from harness import case
from hosts import PATIENCE
from tools import helper, sshd


def refused(c, status, runs):
    """Each run (options of push, words on stderr) ends with the status and changes nothing."""
    with c.unchanged():
        for options, words in runs:
            options = dict(options)
            c.push(*options.pop("args", ()), status=status, says=words, **options)
    c.check(not c.exists(c.beta, c.target), "the target was made")


@case("BAD")
def unknown_dataset(c):
    """A source that doesn't exist is named. What may have been meant costs a question with a limit: tests/push.rs has that."""
    c.tree({"": "s1"})
    refused(c, 3, [
        ({"source": f"{c.source}/nosuch"}, (f"{c.source}/nosuch", "does not exist", "'zfs list' shows the datasets of this machine")),
        ({"source": f"{c.source}x"}, (f"{c.source}x", "does not exist")),
        ({"source": f"apoll/{c.name}"}, ("does not exist",)),
    ])


@case("BAD")
def snapshot_for_dataset(c):
    """A snapshot or bookmark where a dataset belongs, on either side."""
    c.tree({"": "s1"})
    refused(c, 2, [
        ({"source": f"{c.source}@s1"}, (f"{c.source}@s1", "is a snapshot")),
        ({"source": f"{c.source}#s1"}, (f"{c.source}#s1", "is a bookmark")),
        ({"target": f"beta:{c.target}@s1"}, (f"{c.target}@s1", "is a snapshot")),
    ])


@case("BAD")
def empty_names(c):
    """Empty names and empty components."""
    c.tree({"": "s1"})
    refused(c, 2, [
        ({"source": ""}, "empty"),
        ({"target": ""}, "empty"),
        ({"target": "beta:"}, "has no dataset after the ':'"),
        ({"source": f"{c.source}//a"}, "empty"),
        ({"source": f"{c.source}/"}, "empty"),
        ({"source": f"/{c.source}"}, f"is a path, not a dataset name; did you mean \"{c.source}\""),
        ({"target": f"beta:/{c.target}"}, f"has a path after the ':', not a dataset name; did you mean \"beta:{c.target}\"?"),
        ({"target": f"root@beta/{c.target}"}, "has no ':' after the host"),
        ({"target": f"beta:{c.target}/"}, "empty"),
    ])


@case("BAD")
def long_names(c):
    """Names of 256 bytes are refused; a child whose name gets too long on the target stops itself alone."""
    c.tree({"": "s1", "kid-with-a-name": "s1"})
    refused(c, 2, [
        ({"source": f"{c.source}/{'x' * (255 - len(c.source))}"}, "256"),
        ({"target": f"beta:{c.target}/{'x' * (255 - len(c.target))}"}, "256"),
    ])
    long = f"{c.target}/{'x' * (245 - len(c.target))}"
    c.push(target=f"beta:{long}", status=1, says=(f"{c.source}/kid-with-a-name", "ZFS allows 255", "1 in sync"))


@case("BAD")
def illegal_characters(c):
    """Characters that ZFS doesn't allow never get as far as a shell."""
    c.tree({"": "s1"})
    evil = ["$(touch /tmp/evil)", "a;touch /tmp/evil", "a`touch /tmp/evil`", "ä", "a%b", "a\nb", "a\tb", "*", "..", "a'b"]
    refused(c, 2, [({"source": f"{c.source}/{name}"}, ()) for name in evil]
            + [({"target": f"beta:{c.target}/{name}"}, ()) for name in evil]
            + [({"target": "beta:1pool/x"}, "letter"), ({"source": "1pool/x"}, "letter")])
    for host in (c.alpha, c.beta):
        host("test ! -e /tmp/evil")


@case("BAD")
def odd_hosts(c):
    """A missing host or user, brackets that don't close, and a host that ssh would take for an option."""
    c.tree({"": "s1"})
    refused(c, 2, [
        ({"target": f":{c.target}"}, "host"),
        ({"target": f"root@:{c.target}"}, "host"),
        ({"target": f"@beta:{c.target}"}, "user"),
        ({"target": f"[fd77::2:{c.target}"}, ()),
        ({"target": f"-oProxyCommand=touch /tmp/evil-host:{c.target}"}, ()),
    ])
    c.alpha("test ! -e /tmp/evil-host")


@case("BAD", "A12")
def no_operands(c):
    """Missing operands and unknown options are usage errors."""
    refused(c, 2, [
        ({"argv": ["zfsync", "push"]}, "usage"),
        ({"argv": ["zfsync", "push", c.source]}, "usage"),
        ({"argv": ["zfsync", "push", "--no-such-option", c.source, f"beta:{c.target}"]}, "--no-such-option"),
        ({"args": ["-j", "0"]}, ("0",)),
    ])


@case("BAD")
def unreachable(c):
    """A closed port, a host that doesn't answer, a name that doesn't resolve: ssh's own words, and no long wait."""
    c.tree({"": "s1"})
    refused(c, 3, [
        ({"args": ["-p", "1"]}, ("beta", "refused")),
        ({"args": ["-o", "ConnectTimeout=2"], "target": f"10.77.0.99:{c.target}", "timeout": 40},
         ("10.77.0.99", "connection timed out")),
        ({"target": f"nosuchhost.invalid:{c.target}", "timeout": 60}, "could not resolve hostname nosuchhost.invalid"),
    ])


@case("J12", "BAD")
def refused_key(c):
    """A key that the host doesn't know: ends at once, tries one connection, and quotes ssh."""
    c.tree({"": "s1"})
    key = f"/var/tmp/zfsync-suite/{c.name}/key"
    c.alpha(f"mkdir -p {key.rsplit('/', 1)[0]}; rm -f {key}; ssh-keygen -q -t ed25519 -N '' -f {key}")
    with sshd(c) as server:
        refused(c, 3, [({"args": [*server.args, "-i", key, "-o", "IdentitiesOnly=yes"]}, ("beta", "permission denied"))])
        c.same(server.count("Connection from"), 1, "the number of connections")
    c.check(c.runs[-1].seconds < PATIENCE * 15, f"it took {c.runs[-1].seconds:.1f} s")


@case("BAD")
def wrong_host_key(c):
    """A host key that isn't the known one, and one that isn't known: never accepted, and never asked about."""
    c.tree({"": "s1"})
    known = f"/var/tmp/zfsync-suite/{c.name}/known_hosts"
    c.alpha(f"mkdir -p {known.rsplit('/', 1)[0]}; (echo -n 'beta '; cut -d' ' -f1,2 /etc/ssh/ssh_host_alpha_key.pub) >{known}")
    with sshd(c) as server:
        refused(c, 3, [
            ({"args": ["-p", str(server.port), "-o", "HostKeyAlias=beta", "-o", f"UserKnownHostsFile={known}"]},
             ("beta", "host key verification failed")),
            ({"args": ["-p", str(server.port), "-o", "UserKnownHostsFile=/dev/null"]}, ("beta", "host key verification failed")),
        ])


HIDE = "unshare -m sh -c 'mount -t tmpfs none /usr/sbin; mount -t tmpfs none /usr/local/sbin; exec \"$@\"' sh "


@case("BAD", "J04")
def target_without_zfs(c):
    """The remote has no zfs command: told as such, with the host's name."""
    c.tree({"": "s1"})
    refused(c, 3, [({"args": ["--remote-zfsync", helper(c, command=f"exec {HIDE} zfsync recv --stdio")]}, "no zfs command on beta")])


@case("BAD", "J04")
def source_without_zfs(c):
    """This machine has no zfs command."""
    c.tree({"": "s1"})
    program = c.script(c.alpha, "hidden", f"#!/bin/sh\nexec {HIDE} \"$@\"")
    refused(c, 3, [({"argv": [program, "zfsync", "push", c.source, f"beta:{c.target}"]}, "no zfs command on this machine")])


@case("BAD")
def helper_missing(c):
    """The remote has no zfsync: the message says how to get it there."""
    c.tree({"": "s1"})
    refused(c, 3, [({"args": ["--remote-zfsync", "/nonexistent/zfsync"]}, ("beta", "/nonexistent/zfsync", "install"))])


@case("R08", "BAD")
def other_protocol(c):
    """A helper of another protocol version: both versions are named, and nothing hangs."""
    c.tree({"": "s1"})
    newer = helper(c, command="echo 'ZFSYNC-HELPER/99 {\"version\":\"42.0\"}'; exec sleep 600", name="newer")
    empty = helper(c, command="echo 'ZFSYNC-HELPER/99 {}'", name="empty")
    garbled = helper(c, command="echo 'ZFSYNC-HELPER/x {'; exec sleep 600", name="garbled")
    refused(c, 3, [
        ({"args": ["--remote-zfsync", newer], "timeout": 30}, ("99", "protocol", "1", "beta")),
        ({"args": ["--remote-zfsync", empty], "timeout": 30}, ("99", "beta")),
        ({"args": ["--remote-zfsync", garbled], "timeout": 30}, "beta"),
    ])
    c.check(all(run.seconds < PATIENCE * 20 for run in c.runs), "it waited")


@case("BAD")
def rubbish_then_hello(c):
    """What a start-up file prints before the greeting is skipped, on either stream, and long lines too."""
    c.tree({"": "s1"})
    c.push("--remote-zfsync", helper(c, "echo 'Welcome to beta!'; echo; printf 'no line feed\\r\\n'; echo oops >&2"
                                        "; head -c 20000 /dev/zero | tr '\\0' x; echo"))
    c.in_sync()


@case("BAD")
def rubbish_only(c):
    """Rubbish without a greeting is quoted, whether the command ends or stays silent for ever after too much of it."""
    c.tree({"": "s1"})
    refused(c, 3, [
        ({"args": ["--remote-zfsync", helper(c, command="echo 'This account is not available.'; exit 1", name="ends")]},
         ("beta", "This account is not available.")),
        ({"args": ["--remote-zfsync", helper(c, command="while :; do echo 'menu: choose 1 or 2'; done", name="endless")],
          "timeout": 40}, ("beta", "menu: choose 1 or 2")),
        ({"args": ["--remote-zfsync", helper(c, command="echo 'words on stderr' >&2; exit 7", name="stderr")]},
         ("beta", "words on stderr")),
        ({"args": ["--remote-zfsync", "/bin/true"]}, "beta"),
    ])
    c.no_process_left(c.beta)


@case("BAD", alone=True)
def bashrc_prints(c):
    """A ~/.bashrc on the target that prints."""
    c.tree({"": "s1"})
    c.cleanups.append((c.beta, "cat /root/.bashrc.saved >/root/.bashrc; rm /root/.bashrc.saved"))
    c.beta("touch /root/.bashrc; cp /root/.bashrc /root/.bashrc.saved; echo 'echo Today is a good day; echo warning >&2' >/root/.bashrc")
    c.check("good day" in c.alpha("ssh beta true 2>&1"), "the file isn't read, so this case proves nothing")
    c.push()
    c.in_sync()


@case("BAD", "I24")
def not_permitted(c):
    """A user without ZFS permissions on the target: the message names permission, the user and the dataset."""
    c.tree({"": "s1"})
    with c.unchanged():
        c.push("--no-bookmark", target=f"repl@beta:{c.target}", status=1, says=("permission", c.target))


@case("BAD")
def source_not_permitted(c):
    """A user without ZFS permissions on the source."""
    c.tree({"": "s1"})
    with c.unchanged():
        c.push(argv=["su", "repl", "-s", "/bin/sh", "-c", f"zfsync push {c.source} root@beta:{c.target}"], status=1, says="permission")


@case("J11", "I24")
def csh_login_shell(c):
    """A login shell of /bin/csh, unprivileged but allowed what it takes."""
    c.tree({"": "s1 s2", "a b": "s1"})
    c.beta(f"zfs create {c.target}; zfs allow -u cshuser create,receive,mount,canmount,readonly,mountpoint,userprop,compression {c.target}")
    c.push(target=f"cshuser@beta:{c.target}/t")
    c.in_sync(target=f"{c.target}/t")
    c.safe(target=f"{c.target}/t")


@case("J11", alone=True)
def login_shells(c):
    """Root's login shell is csh, then sh."""
    c.tree({"": "s1"})
    c.cleanups.append((c.beta, "usermod -s /bin/bash root"))
    for number, shell in enumerate(("/bin/csh", "/bin/sh")):
        c.beta(f"usermod -s {shell} root")
        c.snapshot(f"{c.source}@n{number}")
        c.push()
        c.in_sync()


@case("NET")
def ipv6(c):
    """An IPv6 literal in brackets, with and without a user."""
    c.tree({"": "s1"})
    c.push(target=f"[fd77::2]:{c.target}")
    c.in_sync()
    c.snapshot(f"{c.source}@s2")
    c.push(target=f"root@[fd77::2]:{c.target}")
    c.in_sync()


@case("NET")
def ssh_config(c):
    """-F takes another configuration, aliases included; -o goes over it."""
    c.tree({"": "s1"})
    config = c.script(c.alpha, "config", "Host elsewhere\n  HostName 10.77.0.2\n  User nobody-here\n  RemoteCommand false\n  RequestTTY yes\n"
                                         "  RemoteForward 9999 localhost:22\n  ControlMaster auto\n  ControlPath /tmp/cm-%C\n")
    c.push("-F", config, "-o", "User=root", target=f"elsewhere:{c.target}")
    c.in_sync()


@case("LOCAL", "J23")
def local_target(c):
    """A target on this machine: the same without any ssh, and the same as by ssh."""
    c.tree({"": "s1 s2", "vol": "s1", "kid": "s1"}, volumes=("vol",))
    target = f"{c.source}-copy"
    c.shown.append((c.alpha, target))
    c.push(target=target, env={"PATH": "/usr/sbin:/usr/local/bin"})
    c.in_sync(target=target, target_host=c.alpha)
    c.safe(target, c.alpha)
    c.snapshot(f"{c.source}@s3")
    c.push(target=target)
    c.in_sync(target=target, target_host=c.alpha)
    c.push(target=f"alpha:{target}-by-ssh")
    c.in_sync(target=f"{target}-by-ssh", target_host=c.alpha)
