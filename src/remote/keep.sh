# Removes the helpers that runs have left on a host, or installs one for good; src/remote/keep.rs makes one line of common.sh and this.
#
# $1 is remove, look-user, look-system, install-user or install-system. To install: $2 is the hash of what is to be installed,
# $3 that of what may be replaced, - where nothing may be there. Said to the other side, each in a line after ZFSYNC-BOOTSTRAP:
# "removed FILE", "kept WORDS" (rm has failed), "refused DIRECTORY" (not looked into), "platform PLATFORM", "place FILE", "hash HASH" (-:
# nothing is there; else what it is that has no hash), "version WORDS", "wants" (answered by a line with the size, then the bytes),
# "nowhere FILE", "damaged", "broken STATUS WORDS" (it does not start), "changed", "unplaced WORDS" (mv has failed), "installed FILE",
# "found FILE", and "done" at the end of what went well.
gone() {
[ -e "$d" ] || [ -h "$d" ] || return 1;
own "$d" d && [ -r "$d" ] || { say refused "$d"; return 1; };
for f in "$d"/helper-* "$d"/new-*; do
[ -f "$f" ] || continue;
if w=$(rm -f "$f" 2>&1); then say removed "$f"; else say kept "${w:-$f}"; fi;
done;
rmdir "$d" 2>/dev/null;
return 1;
};
now() {
if [ -f "$f" ]; then n=$(sum "$f" | cut -c 1-64); n=${n:-unreadable};
elif [ -d "$f" ]; then n=directory;
elif [ -e "$f" ]; then n=special;
elif [ -h "$f" ]; then n=link;
else n=-; fi;
};
clean() { rm -f "$t"; };
case $1 in
remove) h=; each gone; last done ;;
*-system) b=/usr/local/bin ;;
*) b=${HOME:-/dev/null}/.local/bin ;;
esac;
f=$b/zfsync;
case $1 in look-*)
say platform "$p"; say place "$f"; now; say hash "$n";
[ -f "$f" ] && say version "$("$f" --version </dev/null 2>/dev/null | head -n 1)";
last done ;;
esac;
h=$2;
umask 022;
t=$b/.zfsync-new-$$;
trap clean EXIT;
trap "exit 1" HUP INT TERM;
{ mkdir -p "$b" && echo >"$t"; } 2>/dev/null || last nowhere "$b";
say wants;
read -r n && [ "$n" ] || exit 1;
head -c "$n" | { cat >"$t" || cat >/dev/null; } 2>/dev/null;
chmod 755 "$t";
whole "$t" || last damaged;
starts "$t" || { set -f -- $?; last broken "$1" $e; };
now;
[ "$n" = "$3" ] || last changed;
w=$(mv -f "$t" "$f" 2>&1) || last unplaced "${w:-$f}";
say installed "$f";
say found "$(command -v zfsync)";
last done
