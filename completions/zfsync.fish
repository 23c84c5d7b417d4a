# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_zfsync_global_optspecs
    string join \n h/help V/version
end

function __fish_zfsync_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_zfsync_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_zfsync_using_subcommand
    set -l cmd (__fish_zfsync_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c zfsync -n "__fish_zfsync_needs_command" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_needs_command" -s V -l version -d 'Print version'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "push" -d 'Replicate SOURCE and all datasets below it to another host or pool'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "pull" -d 'Replicate SOURCE and all datasets below it from another host to this machine'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "run" -d 'Run jobs from a configuration file'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "check-config" -d 'Check a configuration file and show what its jobs would do'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "snapshot" -d 'Take snapshots of datasets and all below them, atomically within each pool'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "prune" -d 'Destroy old snapshots by retention rules, but none that a target still needs'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "status" -d 'Show how far targets are behind SOURCE; changes nothing'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "targets" -d 'List the known targets of SOURCE and the newest snapshots that they have received; connects to none of them'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "forget" -d 'Remove the record of a target from SOURCE, and the bookmarks made for it'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "doctor" -d 'Check before a first run whether it would work: connection, hosts, permissions, space; changes nothing'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "verify" -d 'Compare a copy with SOURCE by the GUIDs of all snapshots, with --content by what they contain; changes nothing'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "restore" -d 'Restore a copy as a new dataset that can be written and mounted'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "recv" -d 'Receiving helper on the target\'s host, which zfsync push starts over ssh; not for use by hand'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "send" -d 'Sending helper on the source\'s host, which zfsync pull starts over ssh; not for use by hand'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "cron" -d 'Take snapshots, replicate them to all targets, and prune; for crontabs'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l volmode -d 'The volmode property of newly received volumes; see zfsprops(7)' -r -f -a "none\t'No device nodes, so that nothing on the host reads the content of the volume'
inherit\t'Inherit the property from the parent dataset'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s j -l channels -d 'Number of streams to send at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l connections -d 'Number of SSH connections to use; by default it depends on the amount of data' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l replace -d 'Destroy DATASET on the target if it is in conflict, and send it in full; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l delete-missing -d 'Destroy datasets or snapshots that zfsync has received on the target and that no longer exist on the source; others, and those with holds or clones, are kept' -r -f -a "datasets\t'Datasets'
snapshots\t'Snapshots of datasets that exist on both sides'
both\t'Datasets and snapshots'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l grace -d 'Time from when something is first found missing until it is destroyed (default: 7d); 0 destroys it at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l max-delete -d 'Destroy nothing if more than N, or N%, of the target\'s datasets or snapshots would be destroyed (default: 25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l retries -d 'Number of retries without progress, after lost connections, refused sessions, busy datasets and killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l retry-max-wait -d 'Maximum wait between two retries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l stall-timeout -d 'Abort a transfer that makes no progress for TIME; 0 means never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l wait-lock -d 'Wait up to TIME for another run on the same TARGET to finish' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l log-file -d 'Also log all events to FILE, with timestamps; missing directories are created' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l log-format -d 'Format of the log file' -r -f -a "text\t'Plain text'
json\t'One JSON object per line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l state-dir -d 'Save the last result of each dataset in this directory, as one JSON file each; created if missing' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l newest-only -d 'Send only the newest snapshot of each dataset, without intermediate ones'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l skip-empty -d 'Skip snapshots in which nothing was written since the previous one; the newest is always sent'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they are sent raw and stay encrypted'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-unencrypted -d 'Store datasets that are unencrypted below an encrypted dataset on the source unencrypted on the target, too'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-key-mismatch -d 'Send raw increments even to a copy that inherits another key on the target, after which it may not be mountable'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-rekey -d 'Let a raw increment from another host replace the wrapped key of the copy; for a single run after zfs change-key on the source'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l trust-source -d 'Trust a SOURCE on another host as much as this machine: several snapshots are received at a time, which is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-unproven-bookmarks -d 'Send increments from a bookmark even if nothing proves that the source was not rolled back past it'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-resume -d 'Don\'t make receives resumable, and discard partially received state'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-bookmark -d 'Don\'t create bookmarks on the source; the newest common snapshot must then be kept'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l rollback -d 'Roll a diverged or modified target back to the newest common snapshot; its own changes since then are lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l set-aside -d 'Rename a target in conflict to NAME.zfsync-DATE, with all datasets below it, and send it in full; nothing is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l follow-renames -d 'Rename on the target what was renamed on the source, instead of sending it in full'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l direct -d 'With SOURCE and TARGET on two other hosts: SOURCE\'s host sends straight to TARGET\'s, with ssh and keys of its own'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l forward-agent -d 'Forward the authentication agent of this machine to SOURCE\'s host for that; see the caution in ssh(1), -A'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s v -l verbose -d 'Print more; can be repeated for more detail'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l json -d 'Print events as JSON on stdout, one object per line'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-progress -d 'Print plain lines instead of progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l volmode -d 'The volmode property of newly received volumes; see zfsprops(7)' -r -f -a "none\t'No device nodes, so that nothing on the host reads the content of the volume'
inherit\t'Inherit the property from the parent dataset'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s j -l channels -d 'Number of streams to send at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l connections -d 'Number of SSH connections to use; by default it depends on the amount of data' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l replace -d 'Destroy DATASET on the target if it is in conflict, and send it in full; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l delete-missing -d 'Destroy datasets or snapshots that zfsync has received on the target and that no longer exist on the source; others, and those with holds or clones, are kept' -r -f -a "datasets\t'Datasets'
snapshots\t'Snapshots of datasets that exist on both sides'
both\t'Datasets and snapshots'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l grace -d 'Time from when something is first found missing until it is destroyed (default: 7d); 0 destroys it at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l max-delete -d 'Destroy nothing if more than N, or N%, of the target\'s datasets or snapshots would be destroyed (default: 25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l retries -d 'Number of retries without progress, after lost connections, refused sessions, busy datasets and killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l retry-max-wait -d 'Maximum wait between two retries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l stall-timeout -d 'Abort a transfer that makes no progress for TIME; 0 means never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l wait-lock -d 'Wait up to TIME for another run on the same TARGET to finish' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l log-file -d 'Also log all events to FILE, with timestamps; missing directories are created' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l log-format -d 'Format of the log file' -r -f -a "text\t'Plain text'
json\t'One JSON object per line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l state-dir -d 'Save the last result of each dataset in this directory, as one JSON file each; created if missing' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l newest-only -d 'Send only the newest snapshot of each dataset, without intermediate ones'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l skip-empty -d 'Skip snapshots in which nothing was written since the previous one; the newest is always sent'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they are sent raw and stay encrypted'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-unencrypted -d 'Store datasets that are unencrypted below an encrypted dataset on the source unencrypted on the target, too'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-key-mismatch -d 'Send raw increments even to a copy that inherits another key on the target, after which it may not be mountable'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-rekey -d 'Let a raw increment from another host replace the wrapped key of the copy; for a single run after zfs change-key on the source'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l trust-source -d 'Trust a SOURCE on another host as much as this machine: several snapshots are received at a time, which is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-unproven-bookmarks -d 'Send increments from a bookmark even if nothing proves that the source was not rolled back past it'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-resume -d 'Don\'t make receives resumable, and discard partially received state'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-bookmark -d 'Don\'t create bookmarks on the source; the newest common snapshot must then be kept'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l rollback -d 'Roll a diverged or modified target back to the newest common snapshot; its own changes since then are lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l set-aside -d 'Rename a target in conflict to NAME.zfsync-DATE, with all datasets below it, and send it in full; nothing is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l follow-renames -d 'Rename on the target what was renamed on the source, instead of sending it in full'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l direct -d 'With SOURCE and TARGET on two other hosts: SOURCE\'s host sends straight to TARGET\'s, with ssh and keys of its own'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l forward-agent -d 'Forward the authentication agent of this machine to SOURCE\'s host for that; see the caution in ssh(1), -A'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s v -l verbose -d 'Print more; can be repeated for more detail'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l json -d 'Print events as JSON on stdout, one object per line'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-progress -d 'Print plain lines instead of progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -s c -l config -d 'The configuration file' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -l job-timeout -d 'Stop a job that takes longer; overrides the configuration file' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -s v -l verbose -d 'Also report what succeeded'
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand check-config" -s c -l config -d 'The configuration file' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand check-config" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l format -d 'Format of the snapshot names: strftime(3) conversions, and {class} for S, M, H or D (see zfsync-snapshot(1))' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l if-changed -d 'Skip datasets to which nothing was written since their newest snapshot'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l local-time -d 'Use local time in the snapshot names instead of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s n -l dry-run -d 'Show what would be done and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s v -l verbose -d 'Print every snapshot, and every dataset that is skipped; can be repeated for more detail'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l source -d 'A source on another host, [USER@]HOST:DATASET, instead of DATASETs on this machine' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l target -d 'A target of the single DATASET that is on this machine, as a name without HOST would be another DATASET; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep -d 'Keep the newest snapshot of each of the last N periods that have one, as in 24h,7d,4w,12m; units: min, h, d, w, m (months), y' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep-last -d 'Keep the newest N snapshots' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep-class -d 'Keep N snapshots of each class, as in s=1,m=4,h=3,d=2; all snapshots of other classes, or of no class, are kept' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l time-zone -d 'Time zone of the periods: UTC, local, or a name such as Europe/Berlin; by default that of the snapshot names' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l snapshot -d 'Prune only snapshots whose names match; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l exclude-snapshot -d 'Don\'t prune snapshots whose names match; overrides --snapshot' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l format -d 'Format of the snapshot names: strftime(3) conversions, and {class} for S, M, H or D (see zfsync-snapshot(1))' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l wait-lock -d 'Wait up to TIME for another run on the same target to finish' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l state-dir -d 'Directory for the log of destroyed snapshots [default: /var/lib/zfsync, or ~/.local/state/zfsync]' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l foreign -d 'Also prune snapshots that were not taken by zfsync'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l only-named-targets -d 'Consider only the targets given here, and ignore those known from records and bookmarks on the dataset'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l local-time -d 'Use local time in the snapshot names instead of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s n -l dry-run -d 'List the snapshots that would be destroyed and the space that would be freed, and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s v -l verbose -d 'Also print the snapshots that are destroyed, and why others are kept'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s c -l config -d 'The configuration file with JOB [default: /etc/zfsync.toml]' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l state-dir -d 'Also show the result of each dataset in the last run that saved its results in this directory' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l warn -d 'Exit with 1 if a dataset is behind by more than TIME, such as 90s, 5m, 2h or 1d' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l crit -d 'Exit with 2 if a dataset is behind by more than TIME' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l timeout -d 'Report a target as unreachable if it has not answered in full within TIME' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l bytes -d 'Estimate how many bytes each target lacks; runs zfs send -n for each dataset that is behind'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s v -l verbose -d 'Also list the datasets that are in sync'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l json -d 'Print one JSON object per line for each dataset and target'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l prometheus -d 'Print metrics for the textfile collector of the Prometheus node exporter'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l json -d 'Print one JSON object per line for each target'
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s n -l dry-run -d 'Show what would be removed and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -l source -d 'Also check the source: DATASET on this machine, or [USER@]HOST:DATASET' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -l local -d 'Check a target on this machine' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -l json -d 'Print one JSON object'
complete -c zfsync -n "__fish_zfsync_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l content -d 'Read the newest common snapshot of each dataset on both sides, and compare its content'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s v -l verbose -d 'Also list the datasets that are identical'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l json -d 'Print one JSON object per line for each dataset'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l no-progress -d 'Don\'t show the progress of reading'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s j -l channels -d 'Number of streams to send at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l retries -d 'Number of retries without progress, after lost connections, refused sessions, busy datasets and killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l retry-max-wait -d 'Maximum wait between two retries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l stall-timeout -d 'Abort a transfer that makes no progress for TIME; 0 means never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l wait-lock -d 'Wait up to TIME for another run on the same TARGET to finish' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s o -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l log-file -d 'Also log all events to FILE, with timestamps; missing directories are created' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l log-format -d 'Format of the log file' -r -f -a "text\t'Plain text'
json\t'One JSON object per line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l newest-only -d 'Restore only one snapshot of each dataset: the newest, or that of COPY@SNAPSHOT'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l into-existing -d 'Continue an interrupted restore, or add what NEW lacks; nothing that exists is overwritten'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they are sent raw and stay encrypted'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s v -l verbose -d 'Print more; can be repeated for more detail'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s q -l quiet -d 'Print nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l json -d 'Print events as JSON on stdout, one object per line'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l no-progress -d 'Print plain lines instead of progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l root -d 'Access only DATASET and the datasets below it; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l allow -d 'What a sender may request besides receiving; by default nothing, so that no snapshot or dataset can be lost' -r -f -a "rollback\t'Roll a dataset back to a snapshot'
rename\t'Rename datasets'
destroy\t'Destroy snapshots and datasets'
volmode\t'Let received volumes have device nodes (--volmode inherit)'
packages\t'Pass a package of several snapshots to one zfs receive; faster, but only for a sender that is trusted with the whole pool'
unencrypted\t'Receive unencrypted datasets below an encrypted one (--allow-unencrypted)'
mountable\t'Make received datasets writable and mountable (zfsync restore)'
verify\t'Read snapshots and return checksums of their content (zfsync verify --content)'
rekey\t'Let a raw increment replace the wrapped encryption key of a copy (zfs change-key on the source)'"
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l stdio -d 'Speak the protocol on stdin and stdout'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l root -d 'Send and list only DATASET and the datasets below it; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l allow -d 'What a receiver may request besides streams and zfsync\'s own bookmarks and user properties; by default nothing' -r -f -a "snapshot\t'Take snapshots'
destroy\t'Destroy snapshots (zfsync prune)'
verify\t'Read snapshots and return checksums of their content (zfsync verify --content)'"
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l stdio -d 'Speak the protocol on stdin and stdout'
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s s -d 'Number of snapshots of class S to keep' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s m -d 'Number of snapshots of class M to keep' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s h -d 'Number of snapshots of class H to keep (-h is not --help here; use -H)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s d -d 'Number of snapshots of class D to keep' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l keep-targets -d 'Prune the targets to the newest snapshot of each period, as in 24h,7d,4w,12m; see --keep of zfsync prune' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l time-zone -d 'Time zone of these periods; see zfsync prune' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s t -l channels -d 'Number of streams to send to each target at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s w -l window -d 'Take no snapshot if zfsync has already taken one in the current window; windows of SECONDS are counted from 1970' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s o -l log -l log-file -d 'Write a log to FILE; missing directories are created (in other commands, -o is --ssh-option)' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l log-format -d 'Format of the log' -r -f -a "text\t'Plain text'
json\t'One JSON object per line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l state-dir -d 'Save the last result of each dataset in this directory, as one JSON file each; created if missing' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l depth -d 'Include at most N levels of datasets below; 0 is the same as --no-recursive' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l include -d 'Include only datasets that match, and all below them; relative to the given dataset; \'*\' matches within a component, \'**\' across components' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l exclude -d 'Exclude datasets that match, and all below them; overrides --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l format -d 'Format of the snapshot names: strftime(3) conversions, and {class} for S, M, H or D (see zfsync-snapshot(1))' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l delete-missing -d 'Destroy datasets or snapshots that zfsync has received on the target and that no longer exist on the source; others, and those with holds or clones, are kept' -r -f -a "datasets\t'Datasets'
snapshots\t'Snapshots of datasets that exist on both sides'
both\t'Datasets and snapshots'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l grace -d 'Time from when something is first found missing until it is destroyed (default: 7d); 0 destroys it at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l max-delete -d 'Destroy nothing if more than N, or N%, of the target\'s datasets or snapshots would be destroyed (default: 25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l retries -d 'Number of retries without progress, after lost connections, refused sessions, busy datasets and killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l retry-max-wait -d 'Maximum wait between two retries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l stall-timeout -d 'Abort a transfer that makes no progress for TIME; 0 means never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l wait-lock -d 'Wait up to TIME for another run on the same TARGET to finish' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s i -l identity -d 'Private key file for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s F -l ssh-config -d 'Use FILE as ssh\'s only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l remote-zfsync -d 'Command that runs zfsync on the other host, such as \'sudo zfsync\'' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l helper -d 'Which helper runs on the other host: auto is the installed zfsync, or one that is sent along if there is none [default: auto]' -r -f -a "auto\t'The installed zfsync; if there is none that can be used, one that is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache directory, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l ssh-option -d 'An option for ssh, as in ssh_config(5); can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l prune-targets -d 'Also prune the targets, by the same numbers (their helpers need --allow destroy)'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l only-named-targets -d 'Consider only the targets given here, and ignore those known from records and bookmarks on SOURCE'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l if-changed -d 'Take no snapshots of datasets that have not changed'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l skip-empty -d 'Skip snapshots in which nothing was written since the previous one; the newest is always sent'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l trust-source -d 'Trust a SOURCE on another host as much as this machine: several snapshots are received at a time, which is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l allow-unencrypted -d 'Store datasets that are unencrypted below an encrypted dataset on the source unencrypted on the target, too'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l allow-unproven-bookmarks -d 'Send increments from a bookmark even if nothing proves that the source was not rolled back past it'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s v -l verbose -d 'Also report what succeeded'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s H -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s r -l recursive -d 'Include all datasets below (this is the default)'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l no-recursive -d 'Don\'t include the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l local-time -d 'Use local time in the snapshot names instead of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l follow-renames -d 'Rename on the target what was renamed on the source, instead of sending it in full'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l direct -d 'With SOURCE and TARGET on two other hosts: SOURCE\'s host sends straight to TARGET\'s, with ssh and keys of its own'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l forward-agent -d 'Forward the authentication agent of this machine to SOURCE\'s host for that; see the caution in ssh(1), -A'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "push" -d 'Replicate SOURCE and all datasets below it to another host or pool'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "pull" -d 'Replicate SOURCE and all datasets below it from another host to this machine'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "run" -d 'Run jobs from a configuration file'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "check-config" -d 'Check a configuration file and show what its jobs would do'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "snapshot" -d 'Take snapshots of datasets and all below them, atomically within each pool'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "prune" -d 'Destroy old snapshots by retention rules, but none that a target still needs'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "status" -d 'Show how far targets are behind SOURCE; changes nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "targets" -d 'List the known targets of SOURCE and the newest snapshots that they have received; connects to none of them'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "forget" -d 'Remove the record of a target from SOURCE, and the bookmarks made for it'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "doctor" -d 'Check before a first run whether it would work: connection, hosts, permissions, space; changes nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "verify" -d 'Compare a copy with SOURCE by the GUIDs of all snapshots, with --content by what they contain; changes nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "restore" -d 'Restore a copy as a new dataset that can be written and mounted'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "recv" -d 'Receiving helper on the target\'s host, which zfsync push starts over ssh; not for use by hand'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "send" -d 'Sending helper on the source\'s host, which zfsync pull starts over ssh; not for use by hand'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "cron" -d 'Take snapshots, replicate them to all targets, and prune; for crontabs'
complete -c zfsync -n "__fish_zfsync_using_subcommand help; and not __fish_seen_subcommand_from push pull run check-config snapshot prune status targets forget doctor verify restore recv send cron help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
