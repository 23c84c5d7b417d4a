"""Stands between sshd and the helper on beta, and flips one bit of the stream.

    python3 garble.py FLAG OFFSET

flips a bit of the byte OFFSET of all data frames' bodies (crates/helper/src/wire.rs has the format), in the first helper that gets
so far: FLAG is made then. Everything else passes as it is.
"""

import os
import subprocess
import sys

HEADER, DATA = 8, 2


def exactly(count):
    """So many bytes of stdin, or fewer at its end."""
    parts = b""
    while len(parts) < count and (more := os.read(0, count - len(parts))):
        parts += more
    return parts


def claim(flag):
    """Whether we are the first to make this file."""
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return True
    except FileExistsError:
        return False


def pump(output, flag, offset):
    """Passes frames on until either end is gone."""
    seen = 0
    while len(header := exactly(HEADER)) == HEADER:
        length = int.from_bytes(header[:4], "big")
        body = bytearray(exactly(length))
        if header[4] == DATA:
            if seen <= offset < seen + len(body) and claim(flag):
                body[offset - seen] ^= 1 << offset % 8
            seen += len(body)
        output.write(header + body)
        output.flush()
        if len(body) < length:
            return


def main(flag, offset):
    helper = subprocess.Popen(["zfsync", "recv", "--stdio"], stdin=subprocess.PIPE)
    try:
        pump(helper.stdin, flag, offset)
        helper.stdin.close()
    except BrokenPipeError:
        pass
    return helper.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
