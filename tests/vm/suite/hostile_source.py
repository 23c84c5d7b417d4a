"""A source's helper that lies: the real `zfsync send --stdio`, whose answers are changed on their way; started as hostile_source.py TRICK SOURCE ARG...

It knows frames and nothing of what the messages say: what it changes are names, numbers and the order of things.
"""

import json
import os
import re
import struct
import subprocess
import sys
import threading
import time

REQUEST, DATA, END, ABORT, REPLY, PING = range(1, 7)
# The frames of a listing, which is text, and comes as streams do.
LIST, LIST_END = 12, 13
PLAIN = {LIST: DATA, LIST_END: END}


def read(fd, most):
    """Exactly so many bytes, or less where it ends."""
    data = b""
    while len(data) < most and (more := os.read(fd, most - len(data))):
        data += more
    return data


def write(data):
    while data:
        data = data[os.write(1, data):]


def frame(kind, body=b""):
    return struct.pack(">IB3x", len(body), PLAIN.get(kind, kind)) + body


def forward(process):
    """What we are asked goes to the real helper."""
    while data := os.read(0, 65536):
        process.stdin.write(data)
        process.stdin.flush()
    process.stdin.close()


def replaced(old, new):
    """Each answer and each listing has some text in place of another."""

    def change(kind, body):
        if kind == REPLY:
            body = body.replace(json.dumps(old)[1:-1].encode(), json.dumps(new)[1:-1].encode())
        elif kind == LIST:
            body = body.replace(old.encode(), new.encode())
        return frame(kind, body)

    return change


def numbers(change):
    """Each long number (a guid) of answers and listings is another one."""
    return lambda kind, body: frame(
        kind, re.sub(rb"(?<![\w.-])\d{12,20}(?![\w.-])", lambda found: str(change(int(found[0]))).encode(), body)
        if kind in (REPLY, LIST) else body)


def all_numbers(value):
    """Each number of the answers but those that tell to what they belong."""

    def walk(part):
        if isinstance(part, dict):
            return {key: one if key == "id" else walk(one) for key, one in part.items()}
        if isinstance(part, list):
            return [walk(one) for one in part]
        return value if isinstance(part, int) and not isinstance(part, bool) else part

    return lambda kind, body: frame(kind, json.dumps(walk(json.loads(body))).encode() if kind == REPLY else body)


def stranger(number):
    """Answers belong to a question that nobody has asked."""

    def change(kind, body):
        if kind == REPLY:
            answer = json.loads(body)
            answer["id"] = answer.get("id", 0) + number
            body = json.dumps(answer).encode()
        return frame(kind, body)

    return change


class Instead:
    """The first stream is one of the hostile host's own choice."""

    def __init__(self, words):
        self.words, self.sent = words, False

    def __call__(self, kind, body):
        if kind != DATA:
            return frame(kind, body)
        if self.sent:
            return b""
        self.sent = True
        stream = subprocess.run(["sh", "-ec", f"exec zfs send {self.words}"], check=True, capture_output=True).stdout
        return b"".join(frame(DATA, stream[at:at + (1 << 19)]) for at in range(0, len(stream), 1 << 19))


class Once:
    """Does something at the first frame of a kind."""

    def __init__(self, kind, act):
        self.kind, self.act, self.done = kind, act, False

    def __call__(self, kind, body):
        if kind == self.kind and not self.done:
            self.done = True
            return self.act(kind, body)
        return frame(kind, body)


class Endless:
    """A listing that goes on for ever, with a snapshot of a new name in each line."""

    def __init__(self, source):
        self.source = source

    def __call__(self, kind, body):
        write(frame(LIST, body))
        number = 0
        while True:
            lines = range(number, number := number + 5000)
            write(frame(LIST, "".join(f"{self.source}@more-{one}\t{one + 1}\t{one + 1}\n" for one in lines).encode()))


def silence(kind, body):
    time.sleep(3600)


def endless(piece, head=b""):
    """Says one thing for ever."""

    def act(kind, body):
        write(head)
        while True:
            write(piece(kind, body))

    return act


def flipped(kind, body):
    """One bit of a stream is another."""
    body = bytearray(body)
    body[len(body) // 2] ^= 1
    return frame(kind, bytes(body))


def text(body):
    """Whether a frame of data is of a listing."""
    return not body.translate(None, bytes([9, 10, *range(32, 127)]))


TRICKS = {
    "honest": lambda source: lambda kind, body: frame(kind, body),
    # Frames that nobody is to send.
    "data before all": lambda source: Once(REPLY, lambda kind, body: frame(DATA, b"x" * 1000) + frame(kind, body)),
    "an end before all": lambda source: Once(REPLY, lambda kind, body: frame(END) + frame(kind, body)),
    "a request": lambda source: Once(REPLY, lambda kind, body: frame(REQUEST, b'{"verb":"ask","id":1,"names":[]}') + frame(kind, body)),
    "an unknown kind": lambda source: Once(REPLY, lambda kind, body: frame(9, b"x")),
    "a frame of 4 GiB": lambda source: Once(REPLY, lambda kind, body: struct.pack(">IB3x", (1 << 32) - 1, REPLY)),
    "data of 4 GiB": lambda source: Once(DATA, lambda kind, body: struct.pack(">IB3x", (1 << 32) - 1, DATA)),
    "a damaged header": lambda source: Once(REPLY, lambda kind, body: struct.pack(">IB3s", len(body), REPLY, b"abc") + body),
    "no JSON": lambda source: Once(REPLY, lambda kind, body: frame(REPLY, b"everything is fine")),
    "deep JSON": lambda source: Once(REPLY, lambda kind, body: frame(REPLY, b"[" * 200_000)),
    "a million values": lambda source: Once(REPLY, lambda kind, body: frame(REPLY, b"[" + b"1," * 400_000 + b"1]")),
    "answers to nobody": lambda source: stranger(1 << 40),
    "an answer twice": lambda source: Once(REPLY, lambda kind, body: frame(kind, body) * 2),
    "an endless answer": lambda source: Once(REPLY, endless(lambda kind, body: frame(kind, body))),
    "endless beats": lambda source: Once(REPLY, endless(lambda kind, body: frame(REPLY, b'{"answer":"beat","id":1}'))),
    # Listings.
    "an endless listing": lambda source: Once(LIST, Endless(source)),
    "an endless line": lambda source: Once(LIST, endless(lambda kind, body: frame(LIST, b"x" * (1 << 19)))),
    "a listing that is no text": lambda source: Once(LIST, lambda kind, body: frame(LIST, bytes(range(256)) * 100)),
    "a listing without its end": lambda source: Once(LIST, lambda kind, body: frame(LIST, body[:-5])),
    "a listing twice": lambda source: Once(LIST, lambda kind, body: frame(LIST, body) * 2),
    "names with a line feed": lambda source: replaced(f"{source}/kid", f"{source}/ki\nd"),
    "names with an escape": lambda source: replaced(f"{source}/kid", f"{source}/\u001b[2Jkid"),
    "names with a way up": lambda source: replaced(f"{source}/kid", f"{source}/../kid"),
    "names elsewhere": lambda source: replaced(f"{source}/kid", "bpool/elsewhere"),
    "names of the target's": lambda source: replaced(f"{source}/kid", f"{source.replace('bpool', 'apool')}-beside"),
    "a snapshot with a slash": lambda source: replaced("@s2", "@s/2"),
    "a snapshot that is an option": lambda source: replaced("@s2", "@-F"),
    "a snapshot with a line feed": lambda source: replaced("@s2", "@s\n2"),
    "a snapshot with an escape": lambda source: replaced("@s2", "@s\u001b[2J"),
    "other guids": lambda source: numbers(lambda number: number ^ 1),
    "one guid for all": lambda source: numbers(lambda number: 4711_4711_4711_4711),
    "numbers without end": lambda source: numbers(lambda number: number * 10**12),
    "negative numbers": lambda source: all_numbers(-1),
    # Streams.
    "an end without data": lambda source: lambda kind, body: b"" if kind == DATA else frame(kind, body),
    "half a stream": lambda source: Once(DATA, lambda kind, body: frame(DATA, body[:len(body) // 2]) + frame(END)),
    "an abort": lambda source: Once(DATA, lambda kind, body: frame(kind, body) + frame(ABORT)),
    "a flipped bit": lambda source: Once(DATA, flipped),
    "rubbish": lambda source: Once(DATA, lambda kind, body: frame(DATA, os.urandom(len(body)))),
    "endless data": lambda source: Once(DATA, endless(lambda kind, body: frame(DATA, bytes(1 << 19)))),
    "endless data behind a stream": lambda source: Once(END, endless(lambda kind, body: frame(DATA, bytes(1 << 19)))),
    "a stream twice": lambda source: Once(DATA, lambda kind, body: frame(kind, body) * 2),
    "another dataset's stream": lambda source: Instead(f"{source}-evil@s1"),
    "an increment": lambda source: Instead(f"-i @s1 {source}-evil@s2"),
    "a package with properties": lambda source: Instead(f"-p {source}-evil@s1"),
    "a replication package": lambda source: Instead(f"-R {source}-evil@s2"),
    "a clone": lambda source: Instead(f"-i {source}-evil@s1 {source}-clone@c1"),
    "a volume's stream": lambda source: Instead(f"{source}-vol@s1"),
    # Nothing at all.
    "silence at once": lambda source: Once(REPLY, silence),
    "silence in a listing": lambda source: Once(LIST, silence),
    "silence behind a listing": lambda source: Once(LIST_END, silence),
    "silence in a stream": lambda source: Once(DATA, silence),
    "silence at the end": lambda source: Once(END, silence),
    "gone": lambda source: Once(REPLY, lambda kind, body: os._exit(0)),
    "gone in a stream": lambda source: Once(DATA, lambda kind, body: os._exit(0)),
}


def main():
    trick, source, *command = sys.argv[1:]
    change = TRICKS[trick](source)
    process = subprocess.Popen(["zfsync", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    threading.Thread(target=forward, args=(process,), daemon=True).start()
    fd, line = process.stdout.fileno(), b""
    while not line.endswith(b"\n"):
        line += read(fd, 1)
    write(line)
    listing = True
    while header := read(fd, 8):
        length, kind = struct.unpack(">IB3x", header)
        body = read(fd, length)
        if kind == DATA:
            listing = text(body)
        write(change({DATA: LIST, END: LIST_END}.get(kind, kind) if listing else kind, body))


if __name__ == "__main__":
    sys.argv[2:] or sys.exit(__doc__)
    main()
