"""The link of three guests under qemu, whose own kind of link joins two: each frame goes to all the others.

    hub.py SOCKET       guests connect to this unix socket (-netdev stream: a length, then the frame)
"""

import selectors
import socket
import struct
import sys


class Port:
    """A guest, by its connection."""

    def __init__(self, connection):
        self.socket = connection
        self.rest = b""

    def frames(self):
        """What has come; an end is an EOFError."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError
        self.rest += data
        found = []
        while len(self.rest) >= 4 and len(self.rest) >= (end := 4 + struct.unpack("!I", self.rest[:4])[0]):
            found.append(self.rest[:end])
            self.rest = self.rest[end:]
        return found

    def send(self, frame):
        """One that can't be taken is lost, as on any wire."""
        try:
            self.socket.sendall(frame)
        except OSError:
            pass


def serve(listener):
    """Passes frames on, for ever."""
    ports = []
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                ports.append(Port(listener.accept()[0]))
                selector.register(ports[-1].socket, selectors.EVENT_READ, ports[-1])
                continue
            try:
                found = key.data.frames()
            except (OSError, EOFError):
                selector.unregister(key.data.socket)
                ports.remove(key.data)
                continue
            for frame in found:
                for port in ports:
                    if port is not key.data:
                        port.send(frame)


if __name__ == "__main__":
    entrance = socket.socket(socket.AF_UNIX)
    entrance.bind(sys.argv[1])
    entrance.listen()
    serve(entrance)
