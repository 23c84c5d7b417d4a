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
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "push" -d 'Brings a tree of datasets on another host (or pool) in sync with SOURCE'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "pull" -d 'Brings a tree of datasets on this machine in sync with SOURCE on another host'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "run" -d 'The same for the jobs of a configuration file'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "check-config" -d 'Tells what the jobs of a configuration file would do, or what is wrong with it'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "snapshot" -d 'Takes snapshots of trees of datasets, all of a pool at the same moment'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "prune" -d 'Thins out snapshots by class, number and age; never takes what a target still needs'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "status" -d 'Tells how far targets are behind SOURCE; changes nothing'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "targets" -d 'Lists the targets that SOURCE is known to have, and how far they are; asks none of them'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "forget" -d 'Drops what SOURCE keeps in mind of a target: its note and its bookmarks'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "verify" -d 'Compares a copy with SOURCE: all snapshots by guid, and with --content what they hold; changes nothing'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "restore" -d 'Brings a copy back: a push the other way, into a new name, of which all can be used'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "recv" -d 'The helper on a target\'s host, started over ssh; for forced commands, not for use by hand'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "send" -d 'The helper on a source\'s host, started over ssh; for forced commands, not for use by hand'
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "cron" -d 'A crontab\'s line: takes snapshots, brings all targets in sync, thins out'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l volmode -d 'Device nodes of volumes that are received anew: none, or what the dataset above says; see volmode in zfsprops(7)' -r -f -a "none\t'No device node, so that nothing on the host reads what is in it'
inherit\t'As the dataset above it says'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s j -l channels -d 'Streams at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l connections -d 'SSH connections to spread them over; by default as many as the amount of data deserves' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l replace -d 'Destroy this dataset of the target if it is in conflict, and receive it anew; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l delete-missing -d 'Destroy on the target what zfsync has put there and the source has no more; foreign, held and cloned things stay' -r -f -a "datasets\t'Whole datasets'
snapshots\t'Snapshots of datasets that are on both sides'
both\t'Both of them'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l grace -d 'Only so long after it was first found missing (7d); 0 at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l max-delete -d 'Destroy nothing if it would be more datasets, or more snapshots, of the target than N or N% (25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l retries -d 'Try again so often without progress: lost connections, refused sessions, busy datasets, killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l retry-max-wait -d 'Longest pause between two tries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l stall-timeout -d 'End a transfer that shows no sign of life for so long; 0 for never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l wait-lock -d 'Wait so long for another run on the same TARGET to end' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l log-file -d 'Write down all that happens as well, each line with its time; folders are made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l log-format -d 'How that is written' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l state-dir -d 'Keep the last result of each dataset in this folder, a JSON file each; it is made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l newest-only -d 'Send only the newest snapshot of each dataset, leaving out those between'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l skip-empty -d 'Leave out snapshots before the newest in which nothing was written since the one before'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-unencrypted -d 'Store what the source has unencrypted below an encrypted dataset unencrypted below its raw copy too'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-key-mismatch -d 'Send raw increments to a copy that inherits a key over there, though it may be unmountable then'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-rekey -d 'Let a raw increment from another host replace the wrapped key of the copy: for one run after zfs change-key on the source'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l trust-source -d 'Receive several snapshots at a time from a SOURCE on another host, which you trust as this machine; it is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l allow-unproven-bookmarks -d 'Send from a bookmark though nothing proves that the dataset was not rolled back behind it'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-resume -d 'Don\'t make receives resumable, and drop what is left of cut ones'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-bookmark -d 'Leave no bookmarks on the source; without them the newest common snapshot must stay'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l rollback -d 'Roll a diverged or modified target back to the newest common snapshot: what only it has since then is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l set-aside -d 'Rename a target in conflict to NAME.zfsync-DATE, with all below it, and receive anew; nothing is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l follow-renames -d 'Rename on the target what was renamed at the source, in place of sending it anew'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s v -l verbose -d 'Say more; twice or three times for still more'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l json -d 'One JSON object a line on stdout for whatever happens'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-progress -d 'Plain lines, no progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l volmode -d 'Device nodes of volumes that are received anew: none, or what the dataset above says; see volmode in zfsprops(7)' -r -f -a "none\t'No device node, so that nothing on the host reads what is in it'
inherit\t'As the dataset above it says'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s j -l channels -d 'Streams at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l connections -d 'SSH connections to spread them over; by default as many as the amount of data deserves' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l replace -d 'Destroy this dataset of the target if it is in conflict, and receive it anew; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l delete-missing -d 'Destroy on the target what zfsync has put there and the source has no more; foreign, held and cloned things stay' -r -f -a "datasets\t'Whole datasets'
snapshots\t'Snapshots of datasets that are on both sides'
both\t'Both of them'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l grace -d 'Only so long after it was first found missing (7d); 0 at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l max-delete -d 'Destroy nothing if it would be more datasets, or more snapshots, of the target than N or N% (25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l retries -d 'Try again so often without progress: lost connections, refused sessions, busy datasets, killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l retry-max-wait -d 'Longest pause between two tries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l stall-timeout -d 'End a transfer that shows no sign of life for so long; 0 for never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l wait-lock -d 'Wait so long for another run on the same TARGET to end' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l log-file -d 'Write down all that happens as well, each line with its time; folders are made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l log-format -d 'How that is written' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l state-dir -d 'Keep the last result of each dataset in this folder, a JSON file each; it is made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l newest-only -d 'Send only the newest snapshot of each dataset, leaving out those between'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l skip-empty -d 'Leave out snapshots before the newest in which nothing was written since the one before'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-unencrypted -d 'Store what the source has unencrypted below an encrypted dataset unencrypted below its raw copy too'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-key-mismatch -d 'Send raw increments to a copy that inherits a key over there, though it may be unmountable then'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-rekey -d 'Let a raw increment from another host replace the wrapped key of the copy: for one run after zfs change-key on the source'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l trust-source -d 'Receive several snapshots at a time from a SOURCE on another host, which you trust as this machine; it is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l allow-unproven-bookmarks -d 'Send from a bookmark though nothing proves that the dataset was not rolled back behind it'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-resume -d 'Don\'t make receives resumable, and drop what is left of cut ones'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-bookmark -d 'Leave no bookmarks on the source; without them the newest common snapshot must stay'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l rollback -d 'Roll a diverged or modified target back to the newest common snapshot: what only it has since then is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l set-aside -d 'Rename a target in conflict to NAME.zfsync-DATE, with all below it, and receive anew; nothing is lost'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l follow-renames -d 'Rename on the target what was renamed at the source, in place of sending it anew'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s v -l verbose -d 'Say more; twice or three times for still more'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l json -d 'One JSON object a line on stdout for whatever happens'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -l no-progress -d 'Plain lines, no progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand pull" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -l config -d 'The file' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -l job-timeout -d 'Stop a job that takes longer; wins over the file' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -s v -l verbose -d 'Report what went well too'
complete -c zfsync -n "__fish_zfsync_using_subcommand run" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand check-config" -l config -d 'The file' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand check-config" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l format -d 'The names of own snapshots: strftime(3)\'s conversions, and {class} for S, M, H or D: how far the one before is' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l if-changed -d 'Leave out datasets to which nothing was written since their newest snapshot'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -l local-time -d 'Local time in the names, in place of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s n -l dry-run -d 'Show what would be done and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s v -l verbose -d 'Name every snapshot, and every dataset that is left out; twice or three times for still more'
complete -c zfsync -n "__fish_zfsync_using_subcommand snapshot" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l source -d 'A source on another host, [USER@]HOST:DATASET, in place of DATASETs of this machine' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l target -d 'A target of the single DATASET that is on this machine, where a name without HOST would be one more DATASET; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep -d 'Keep the newest snapshot of each of the newest 24 hours, 7 days, ... that have one, as 24h,7d,4w,12m; min, h, d, w, m, y' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep-last -d 'Keep the newest N' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l keep-class -d 'Keep so many of each class, as s=1,m=4,h=3,d=2; of a class that isn\'t named, and of what has none, all' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l time-zone -d 'Whose hours and days count: UTC, local, a name such as Europe/Berlin; that of the names without this' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l snapshot -d 'Only snapshots whose names match; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l exclude-snapshot -d 'Not the snapshots whose names match; wins over --snapshot' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l format -d 'The names of own snapshots: strftime(3)\'s conversions, and {class} for S, M, H or D: how far the one before is' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l wait-lock -d 'Wait so long for another run on the same target to end' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l state-dir -d 'Keep the record of what was destroyed in this folder [default: /var/lib/zfsync, or ~/.local/state/zfsync]' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l foreign -d 'Also snapshots that zfsync has not taken'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l only-named-targets -d 'Heed only the targets that are named, not those that are known by notes and bookmarks on the dataset'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -l local-time -d 'Local time in the names, in place of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s n -l dry-run -d 'List what would go, with the space that frees, and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s v -l verbose -d 'Say more: the snapshots that go, and why others stay'
complete -c zfsync -n "__fish_zfsync_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l config -d 'The file that has JOB [default: /etc/zfsync.toml]' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l state-dir -d 'Tell also what became of each dataset in the last run that kept its results in this folder' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l warn -d 'Exit with 1 when a dataset is further behind than this; times as 90s, 5m, 2h, 1d' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l crit -d 'Exit with 2 when a dataset is further behind than this' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l timeout -d 'A target that has not answered everything after so long counts as unreachable' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l bytes -d 'Estimate how many bytes each target lacks: costs a process or two for each dataset that is behind'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s v -l verbose -d 'Show the datasets in sync one by one, too'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l json -d 'One JSON object a line for each dataset and target'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -l prometheus -d 'Metrics for the textfile collector of Prometheus\' node exporter'
complete -c zfsync -n "__fish_zfsync_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -l json -d 'One JSON object a line for each target'
complete -c zfsync -n "__fish_zfsync_using_subcommand targets" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s n -l dry-run -d 'Show what would be dropped and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l content -d 'Read the newest snapshot that both sides have of each dataset, and compare what it holds'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s v -l verbose -d 'Show the datasets that are the same one by one, too'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l json -d 'One JSON object a line for each dataset'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -l no-progress -d 'Don\'t show how far the reading is'
complete -c zfsync -n "__fish_zfsync_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s j -l channels -d 'Streams at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l retries -d 'Try again so often without progress: lost connections, refused sessions, busy datasets, killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l retry-max-wait -d 'Longest pause between two tries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l stall-timeout -d 'End a transfer that shows no sign of life for so long; 0 for never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l wait-lock -d 'Wait so long for another run on the same TARGET to end' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l log-file -d 'Write down all that happens as well, each line with its time; folders are made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l log-format -d 'How that is written' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l newest-only -d 'Bring only one snapshot of each dataset: the newest, or that of COPY@SNAPSHOT'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l into-existing -d 'Go on with a restore that was cut, or bring what NEW lacks; nothing that is there is overwritten'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s v -l verbose -d 'Say more; twice or three times for still more'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l json -d 'One JSON object a line on stdout for whatever happens'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -l no-progress -d 'Plain lines, no progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l root -d 'Touch only DATASET and those below it; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l allow -d 'What a sender may ask for beside receiving; nothing by default, so that no snapshot and no dataset can be lost' -r -f -a "rollback\t'Roll a dataset back to a snapshot'
rename\t'Rename a dataset that is in the way'
destroy\t'Destroy snapshots and datasets'
volmode\t'Let received volumes have device nodes (--volmode inherit)'
packages\t'Hand a package of several snapshots to one zfs receive: faster, and only for a sender that is trusted with all of the pool'
unencrypted\t'Store what arrives unencrypted below an encrypted dataset (--allow-unencrypted)'
mountable\t'Let received datasets be writable and mountable (zfsync restore)'
verify\t'Read snapshots and tell checksums of what they hold (zfsync verify --content)'
rekey\t'Let a raw increment replace the wrapped encryption key of a copy (zfs change-key on the source)'"
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l stdio -d 'Speak the protocol on stdin and stdout'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l root -d 'Send, and tell of, only DATASET and those below it; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l allow -d 'What may be asked for beside streams and zfsync\'s own bookmarks and user properties; nothing by default' -r -f -a "snapshot\t'Take snapshots'
destroy\t'Destroy snapshots (zfsync prune)'
verify\t'Read snapshots and tell checksums of what they hold (zfsync verify --content)'"
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -l stdio -d 'Speak the protocol on stdin and stdout'
complete -c zfsync -n "__fish_zfsync_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s s -d 'Keep so many snapshots of class S' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s m -d 'Keep so many of class M' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s h -d 'Keep so many of class H (of the other commands -h is --help; here that is -H)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s d -d 'Keep so many of class D' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l keep-targets -d 'Thin the targets to the newest snapshot of each period, as 24h,7d,4w,12m: see zfsync prune --keep' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l time-zone -d 'Whose hours and days count for that: see zfsync prune' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s t -l channels -d 'Streams to each target at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s w -l window -d 'Take no snapshot if there is an own snapshot of the present window: the time since 1970 is cut into windows of SECONDS' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s o -l log -l log-file -d 'Write down all that happens; folders are made (of the other commands --log-file, where -o is --ssh-option)' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l log-format -d 'How that is written' -r -f -a "text\t'Lines for people'
json\t'One JSON object a line'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l state-dir -d 'Keep the last result of each dataset in this folder, a JSON file each; it is made' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l depth -d 'Go at most N levels below the dataset that is named; 0 is that alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l include -d 'Only datasets that match, and all below them; relative to what is named, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l format -d 'The names of own snapshots: strftime(3)\'s conversions, and {class} for S, M, H or D: how far the one before is' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l delete-missing -d 'Destroy on the target what zfsync has put there and the source has no more; foreign, held and cloned things stay' -r -f -a "datasets\t'Whole datasets'
snapshots\t'Snapshots of datasets that are on both sides'
both\t'Both of them'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l grace -d 'Only so long after it was first found missing (7d); 0 at once' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l max-delete -d 'Destroy nothing if it would be more datasets, or more snapshots, of the target than N or N% (25%, at least 10)' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l retries -d 'Try again so often without progress: lost connections, refused sessions, busy datasets, killed receives' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l retry-max-wait -d 'Longest pause between two tries' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l stall-timeout -d 'End a transfer that shows no sign of life for so long; 0 for never' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l wait-lock -d 'Wait so long for another run on the same TARGET to end' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l remote-zfsync -d 'How to call zfsync on the other host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l helper -d 'Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]' -r -f -a "auto\t'The installed zfsync; where there is none of use, one is sent along'
installed\t'The installed zfsync'
ship\t'One that is sent along and kept in the user\'s cache, whatever is installed'"
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l thin-targets -d 'Thin the targets by the same counts too (their helpers need --allow destroy)'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l only-named-targets -d 'Heed only the targets that are named, not those that are known by bookmarks alone'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l if-changed -d 'Leave out of the snapshot what has not changed'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l skip-empty -d 'Don\'t send snapshots before the newest in which nothing was written since the one before'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l trust-source -d 'Receive several snapshots at a time from a SOURCE on another host, which you trust as this machine; it is faster'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l allow-unencrypted -d 'Store what the source has unencrypted below an encrypted dataset unencrypted below its raw copy too'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l allow-unproven-bookmarks -d 'Send from a bookmark though nothing proves that the dataset was not rolled back behind it'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s v -l verbose -d 'Report what went well too'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s H -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -s r -l recursive -d 'With all datasets below: so it is anyway, as long as nothing here says otherwise'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l no-recursive -d 'Without the datasets below'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l local-time -d 'Local time in the names, in place of UTC'
complete -c zfsync -n "__fish_zfsync_using_subcommand cron" -l follow-renames -d 'Rename on the target what was renamed at the source, in place of sending it anew'
