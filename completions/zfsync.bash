_zfsync() {
    # bash ends words at '@', ':' and '=', which stand within names here: the line itself tells what was typed.
    local line=${COMP_LINE:0:COMP_POINT} words current prefix
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]} - 1]}
    prefix=${current%"${current##*[@:=]}"}
    local IFS=$'\013'
    COMPREPLY=($(
        _CLAP_IFS=$IFS _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) _CLAP_COMPLETE_COMP_TYPE=9 \
            _CLAP_COMPLETE_SPACE=true ZFSYNC_COMPLETE=bash zfsync -- "${words[@]}" 2>/dev/null
    ))
    COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=/] ]] && compopt -o nospace
}
complete -o bashdefault -F _zfsync zfsync
