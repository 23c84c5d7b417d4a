# Finds or takes a helper on a host where no zfsync of use is installed, and becomes it. src/remote/bootstrap.rs makes one line of
# this for the login shell there, whichever that is: no quote, backslash, exclamation mark or line end may be in it, and each
# line ends where a blank may follow.
#
# $1 has the helpers that can be had, PLATFORM:SHA256,... ; the rest is for the helper. Said to the other side, each in a line:
# "ZFSYNC-BOOTSTRAP wants PLATFORM" (answered by a line with the size, then the bytes), "uses HOW FILE", "none PLATFORM", "nowhere",
# "broken STATUS WORDS" (what came of the start of a helper that has arrived whole: it would be the same in every other directory).
umask 077;
case $1 in
*"$p":*) h=${1#*"$p":}; h=${h%%,*} ;;
*) last none "$p" ;;
esac;
shift;
t=;
# One that is in use is not an old one.
cached() {
own "$d" d && own "$f" - && whole "$f" && starts "$f" && { touch "$f" 2>/dev/null; :; };
};
clean() {
[ -z "$t" ] || { rm -f "$t"; rmdir "$d"; } 2>/dev/null;
t=;
};
# Tries with an empty script first whether something can be written and started there. head takes no more than its size; what
# a full disk has no room for is taken off the line all the same. A directory in which nothing can be left goes again.
sent() {
[ -d "$f" ] && return 1;
[ -d "${d%/*/*}/" ] && mkdir -p "$d" 2>/dev/null && own "$d" d || return 1;
t=$d/new-$(uname -n)-$$;
{ echo : >"$t" && chmod 700 "$t" && "$t" </dev/null; } 2>/dev/null || { clean; return 1; };
say wants "$p";
read -r n && [ "$n" ] || exit 1;
head -c "$n" | { cat >"$t" || cat >/dev/null; } 2>/dev/null;
whole "$t" || { clean; return 1; };
starts "$t" || { set -f -- $?; clean; last broken "$1" $e; };
find "$d" -type f "(" -name "helper-*" -o -name "new-*" ")" -mtime +0 -exec rm -f {} + 2>/dev/null;
mv -f "$t" "$f" || { clean; return 1; };
t=;
};
if each cached; then w=cached;
else
trap clean EXIT;
trap "exit 1" HUP INT TERM;
trap "" PIPE;
each sent || last nowhere;
trap - EXIT HUP INT TERM PIPE;
w=sent;
fi;
say uses "$w" "$f";
exec "$f" "$@"
