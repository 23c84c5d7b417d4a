//! What ssh_config says of a connection, and what a program or a host in between does: over a real ssh to a loopback sshd of the test's
//! own, with a fake `zfs` on the other side (support/fake-zfs, which proves nothing about ZFS).

mod support;

use support::Bed;
use support::sshd::{Manners, Sshd, available, in_sync, left_clean, push, reached};

/// Puts lines in front of what the bed's ssh_config says of `beta`.
fn configure(bed: &Bed, lines: &str) {
    bed.write("ssh_config", &format!("{lines}\n{}", bed.read("ssh_config")));
}

#[test]
fn what_ssh_config_says_wins() {
    if !available() {
        return;
    }
    let bed = in_sync();
    let _sshd = Sshd::start(&bed, &Manners { config: "Ciphers aes128-cbc", ..Manners::default() });
    // No cipher of ours, and none of ssh's own.
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", "no matching cipher found"]);
    configure(&bed, "Host beta\n Ciphers aes128-cbc\n Compression yes\n ServerAliveInterval 7\n");
    push(&bed, &["s", "beta:d"]).expect(0, &["nothing to do"]);
    left_clean(&bed);
}

#[test]
fn what_the_connection_depends_on_is_ours() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    configure(
        &bed,
        "Host *\n ControlMaster no\n RemoteCommand false\n RequestTTY force\n SessionType default\n LogLevel QUIET\n",
    );
    push(&bed, &["-o", "ControlPersist=no", "-o", "RemoteCommand=false", "s", "beta:d"]).expect(0, &["nothing to do"]);
    left_clean(&bed);
}

#[test]
fn nothing_of_this_machine_is_lent_to_the_host() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    let lent = [
        "ForwardAgent yes",
        "ForwardX11 yes",
        "ForwardX11Trusted yes",
        "GSSAPIDelegateCredentials yes",
        "Tunnel yes",
        "PermitLocalCommand yes",
        "LocalCommand false",
        "LocalForward 7001 127.0.0.1:22",
        "RemoteForward 7002 127.0.0.1:22",
        "DynamicForward 7003",
    ];
    configure(&bed, &format!("Host *\n {}\n", lent.join("\n ")));
    // ssh itself says what it makes of all that it is told.
    let made = bed.path("made");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' -M '*) /usr/bin/ssh -G \"$@\" >{} ;; esac\nexec /usr/bin/ssh \"$@\"\n",
        made.display()
    );
    bed.script("bin/ssh", &script);
    let mut args = Vec::new();
    for option in &lent[..6] {
        args.extend(["-o", option]);
    }
    for args in [&[][..], &args] {
        let _ = std::fs::remove_file(&made);
        push(&bed, &[args, &["s", "beta:d"]].concat()).expect(0, &["nothing to do"]);
        let made = bed.read("made");
        let off = [
            "clearallforwardings yes",
            "forwardagent no",
            "forwardx11 no",
            "gssapidelegatecredentials no",
            "tunnel false",
            "permitlocalcommand no",
        ];
        for line in off {
            // An ssh without GSSAPI tells nothing of that.
            let key = line.split(' ').next().unwrap();
            let said: Vec<&str> = made.lines().filter(|said| said.split(' ').next() == Some(key)).collect();
            assert!(said == [line] || (key.starts_with("gssapi") && said.is_empty()), "{line}: {said:?}");
        }
    }
    left_clean(&bed);
}

#[test]
fn ssh_is_quoted_though_it_was_told_to_be_quiet() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    bed.write("authorized_keys", "");
    configure(&bed, "Host *\n LogLevel QUIET\n");
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", "Permission denied"]);
    left_clean(&bed);
}

#[test]
fn a_configuration_with_a_mistake() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    configure(&bed, "Host *\n Colour blue\n");
    let place = format!("{}: line 2: Bad configuration option: colour", bed.path("ssh_config").display());
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", &place]);
    std::fs::remove_file(bed.path("ssh_config")).unwrap();
    let place = format!("Can't open user config file {}: No such file", bed.path("ssh_config").display());
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", &place]);
    left_clean(&bed);
}

#[test]
fn a_configuration_that_its_group_may_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    std::fs::set_permissions(bed.path("ssh_config"), std::fs::Permissions::from_mode(0o664)).unwrap();
    push(&bed, &["s", "beta:d"]).expect(0, &["nothing to do"]);
    left_clean(&bed);
}

#[test]
fn a_program_in_between_that_fails() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    let tried = bed.path("tried").display().to_string();
    bed.script("gate", &format!("#!/bin/sh\necho >>{tried}\necho 'the gate is shut' >&2\nexit 1\n"));
    configure(&bed, &format!("Host beta\n ProxyCommand {}\n", bed.path("gate").display()));
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says: the gate is shut"]);
    assert_eq!((bed.read("tried").lines().count(), sshd.connections()), (1, 0), "it makes no sense to try again");
    left_clean(&bed);
}

#[test]
fn a_host_in_between() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    let theirs = bed.read("ssh_config").replace("Host beta", "Host beta gate shut");
    bed.write("ssh_config", &format!("Host beta\n ProxyJump gate\n{theirs}"));
    push(&bed, &["s", "beta:d"]).expect(0, &["nothing to do"]);
    assert_eq!(sshd.connections(), 2, "one to the gate, one through it");
    left_clean(&bed);
    // One that doesn't let us in says so itself.
    bed.write("ssh_config", &format!("Host shut\n User nobody-here\nHost beta\n ProxyJump shut\n{theirs}"));
    let ended = push(&bed, &["s", "beta:d"]);
    ended.expect(3, &["can't connect to beta: ssh says:", "Permission denied (publickey)"]);
    assert!(!ended.stderr.contains("debug1"), "{}", ended.stderr);
    left_clean(&bed);
}
