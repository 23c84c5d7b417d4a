# Runs one command on a host where no helper can run. src/remote/plain.rs makes one line of this for the login shell there, whichever
# that is: no quote, backslash, exclamation mark or line end may be in it, and each line ends where a blank may follow.
#
# The command comes on stdin: the number of its words, then each word in a line. No shell parses them. What follows is for the command.
# Whoever has read a line before us has taken the number: then nothing is run, and no mark tells that it was.
# The mark on stdout and stderr is where what it says begins; shells read their lines byte by byte, so it gets all that is its own.
PATH=$PATH:/sbin:/usr/sbin:/usr/local/sbin;
LC_ALL=C;
export PATH LC_ALL;
read -r n || exit 1;
[ "$n" -gt 0 ] || exit 1;
set --;
while [ "$n" -gt 0 ]; do
IFS= read -r a || exit 1;
set -- "$@" "$a";
n=$((n - 1));
done;
echo ZFSYNC-PLAIN;
echo ZFSYNC-PLAIN >&2;
exec "$@"
