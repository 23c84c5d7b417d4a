"""The protocol as a stranger would speak it: written from its description in docs/design.md, with nothing of zfsync's own code."""

import json
import os
import select
import struct
import subprocess
import time

REQUEST, DATA, END, ABORT, REPLY, PING = range(1, 7)
MARK = b"ZFSYNC-HELPER/"


class Ended(Exception):
    """The helper has ended the session."""


class Session:
    """A helper with its restricted command line, and what it says."""

    def __init__(self, *options, mode="recv"):
        self.process = subprocess.Popen(
            ["zfsync", mode, "--stdio", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.bytes = b""
        self.ids = 0
        line = self._until(lambda: self.bytes.find(b"\n") + 1)
        assert line.startswith(MARK), line
        self.hello = json.loads(line.split(b" ", 1)[1])

    def _until(self, length, seconds=60):
        """Reads until the length of something complete is known, and takes it out."""
        deadline = time.monotonic() + seconds
        while not (known := length()) or len(self.bytes) < known:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise TimeoutError("the helper says nothing")
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                raise Ended
            self.bytes += data
        taken, self.bytes = self.bytes[:known], self.bytes[known:]
        return taken

    def raw(self, data):
        """Writes bytes; one that nobody reads any more is the helper's answer."""
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Ended from None

    def frame(self, kind, body=b""):
        """Writes a frame."""
        self.raw(struct.pack(">IB3x", len(body), kind) + body)

    def request(self, verb, **fields):
        """Asks for something; its number."""
        self.ids += 1
        self.frame(REQUEST, json.dumps({"verb": verb, "id": self.ids, **fields}).encode())
        return self.ids

    def data(self, stream, size=1 << 20):
        """The bytes of a stream in frames."""
        for at in range(0, len(stream), size):
            self.frame(DATA, stream[at:at + size])

    def reply(self):
        """The next answer that is no sign of life."""
        while True:
            header = self._until(lambda: 8)
            body = self._until(lambda: struct.unpack(">I", header[:4])[0]) if header[:4] != b"\0\0\0\0" else b""
            answer = json.loads(body)
            if answer["answer"] != "beat":
                return answer

    def done(self, number):
        """Why a request failed; None when it went well."""
        while True:
            answer = self.reply()
            if answer["id"] == number and answer["answer"] == "done":
                return answer.get("failure")

    def close(self):
        """Closes its stdin and waits for its end; its exit status and what it wrote to stderr."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        said = self.process.stderr.read().decode(errors="replace")
        self.process.stdout.close()
        self.process.stderr.close()
        return self.process.wait(60), said


def receive(session, stream, end=END, **fields):
    """Has a stream received; why it failed, or None."""
    number = session.request("receive", receive=fields)
    session.data(stream)
    session.frame(end)
    return session.done(number)
