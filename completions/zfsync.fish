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
complete -c zfsync -n "__fish_zfsync_needs_command" -f -a "recv" -d 'The receiving end, started over ssh by a sender; not for use by hand'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l depth -d 'Go at most N levels below SOURCE; 0 is SOURCE alone' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l include -d 'Only datasets that match, and all below them; relative to SOURCE, \'*\' within a component, \'**\' across' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l exclude -d 'Not the datasets that match, nor any below them; wins over --include' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s j -l channels -d 'Streams at the same time' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l connections -d 'SSH connections to spread them over; by default as many as the amount of data deserves' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s p -l port -d 'Port of the SSH server' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s i -l identity -d 'Private key for ssh' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s F -l ssh-config -d 'Use FILE in place of ~/.ssh/config' -r -F
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s o -l ssh-option -d 'An option for ssh, as in ssh_config; can be given several times' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l remote-zfsync -d 'How to call zfsync on the target host' -r
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-recursive -d 'SOURCE alone, without the datasets below it'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l newest-only -d 'Send only the newest snapshot of each dataset, leaving out those between'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l decrypt -d 'Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s n -l dry-run -d 'Show the plan with estimated sizes and change nothing'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s v -l verbose -d 'Say more; twice or three times for still more'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s q -l quiet -d 'Say nothing unless something is wrong'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l json -d 'One JSON object a line on stdout for whatever happens'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -l no-progress -d 'Plain lines, no progress bars'
complete -c zfsync -n "__fish_zfsync_using_subcommand push" -s h -l help -d 'Print help'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -l stdio -d 'Speak the protocol on stdin and stdout'
complete -c zfsync -n "__fish_zfsync_using_subcommand recv" -s h -l help -d 'Print help'
