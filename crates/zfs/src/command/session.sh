# Runs commands one after the other on a host where no helper can run. session.rs makes one line of this for the login shell there,
# whichever that is: no quote, backslash, exclamation mark or line end may be in it, and each line ends where a blank may follow.
#
# The first line on stdin is a mark that nobody else knows. Each command comes in four lines: the mark; what its stdin is, and the
# number of its words; a character that is in none of them; and the words with that character between them. What follows is for the
# command, if it receives a stream. The sender of a stream may have put anything behind its end: without the mark that is no command.
# The last command gets no shell's place: ssh would tell of a signal as it tells of a connection that is lost. For a signal some shells
# have 256 or 384 with it, where others have 128.
# No shell parses the words: field splitting makes them of the whole line at once, which takes time as the line is long, where a list
# that grows word by word takes the square of that.
# Whoever has read a line before us has taken the mark or a part of a command: then nothing is run, and no mark tells that it was.
# The mark on stdout and stderr is where what it says begins, and with the exit status where that ends; shells read their lines byte
# by byte, so it gets all that is its own. What is left of a stream that failed is unknown, so nothing is run behind it.
# A variable that the login has exported stays exported: no command is to get the mark, or all words once more, in its environment.
unset k l i n s w c;
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin;
LC_ALL=C;
export PATH LC_ALL;
unset TMOUT;
IFS= read -r k || exit 1;
case $k in ZFSYNC-?*) ;; *) exit 1 ;; esac;
while IFS= read -r l; do
case $l in "$k") ;; *) exit 1 ;; esac;
read -r i n || exit 1;
case $n in [1-9]*) ;; *) exit 1 ;; esac;
IFS= read -r s || exit 1;
case $s in ?) ;; *) exit 1 ;; esac;
IFS= read -r w || exit 1;
set -f;
IFS=$s;
set -- $w;
unset IFS;
[ "$#" = "$n" ] || exit 1;
case $i in null | stream | last) ;; *) exit 1 ;; esac;
echo "$k";
echo "$k" >&2;
case $i in
null) "$@" </dev/null ;;
stream) "$@" >/dev/null ;;
last) "$@"; c=$?; [ "$c" -lt 256 ] || c=$((c % 128 + 128)); exit "$c" ;;
esac;
c=$?;
echo "$k $c";
echo "$k $c" >&2;
case $i$c in null* | stream0) ;; *) exit "$c" ;; esac;
done
