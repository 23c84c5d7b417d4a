# Runs one command on a host where no helper can run. src/remote/plain.rs makes one line of this for the login shell there, whichever
# that is: no quote, backslash, exclamation mark or line end may be in it, and each line ends where a blank may follow.
#
# The command comes on stdin, in three lines: the number of its words, a character that is in none of them, and the words with that
# character between them. What follows is for the command. No shell parses the words: field splitting makes them of the whole line at
# once, which takes time as the line is long, where a list that grows word by word takes the square of that.
# Whoever has read a line before us has taken the number: then nothing is run, and no mark tells that it was.
# The mark on stdout and stderr is where what it says begins; shells read their lines byte by byte, so it gets all that is its own.
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin;
LC_ALL=C;
export PATH LC_ALL;
read -r n || exit 1;
case $n in [1-9]*) ;; *) exit 1 ;; esac;
IFS= read -r s || exit 1;
case $s in ?) ;; *) exit 1 ;; esac;
IFS= read -r w || exit 1;
set -f;
IFS=$s;
set -- $w;
unset IFS;
[ "$#" = "$n" ] || exit 1;
echo ZFSYNC-PLAIN;
echo ZFSYNC-PLAIN >&2;
exec "$@"
