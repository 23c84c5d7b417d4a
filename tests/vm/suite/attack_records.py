"""Streams of `zfs send` taken apart and put together again with other records, and sums that ZFS finds right."""

import struct
from dataclasses import dataclass, field

SIZE = 312
BEGIN, OBJECT, FREEOBJECTS, WRITE, FREE, END, WRITE_BYREF, SPILL, EMBEDDED, OBJECT_RANGE, REDACT = range(11)
MAGIC = 0x2F5BACBAC
SUBSTREAM, PACKAGE = 1, 2
CLONE = 1
DEDUP, RESUMING, REDACTED, RAW, HOLDS = 1, 1 << 20, 1 << 21, 1 << 24, 1 << 26


@dataclass
class Record:
    """One record and what follows it."""

    head: bytearray
    content: bytes = b""
    order: str = "<"

    def get(self, at, form):
        """A number."""
        return struct.unpack_from(self.order + form, self.head, at)[0]

    def put(self, at, form, value):
        """Changes a number."""
        struct.pack_into(self.order + form, self.head, at, value)
        return self

    @property
    def kind(self):
        """Its type."""
        return self.get(0, "I")

    @property
    def name(self):
        """The name in a BEGIN record."""
        return bytes(self.head[56:]).split(b"\0")[0].decode()

    def rename(self, name):
        """Gives a BEGIN record another name."""
        self.head[56:] = name.encode()[:256].ljust(256, b"\0")
        return self

    def features(self, bits):
        """Adds features to a BEGIN record."""
        return self.put(16, "Q", self.get(16, "Q") | bits << 2)

    def header(self, kind):
        """Makes a BEGIN record that of a stream, a package, or of nothing known."""
        return self.put(16, "Q", self.get(16, "Q") & ~3 | kind)


@dataclass
class Stream:
    """Records from a BEGIN to its END, which have one sum."""

    records: list = field(default_factory=list)

    @property
    def begin(self):
        """Its first record."""
        return self.records[0]


def content(record):
    """How many bytes follow a record."""
    kind = record.kind
    if kind == BEGIN:
        return record.get(4, "I")
    if kind == OBJECT:
        return record.get(36, "I") or -(-record.get(28, "I") // 8) * 8
    if kind == WRITE:
        return record.get(96, "Q") if record.head[50] else record.get(32, "Q")
    if kind == SPILL:
        return record.get(40, "Q") or record.get(16, "Q")
    if kind == EMBEDDED:
        return -(-record.get(52, "I") // 8) * 8
    return 0


def parse(data):
    """A stream or package as a list of streams; the header of a package, and its last END, are streams of their own."""
    streams, at, order = [], 0, "<"
    while at < len(data):
        record = Record(bytearray(data[at:at + SIZE]), order=order)
        if not streams or streams[-1].records[-1].kind == END:
            streams.append(Stream())
        at += SIZE
        length = content(record)
        record.content = data[at:at + length]
        at += length
        streams[-1].records.append(record)
    return streams


def fletcher4(data, sums, order):
    """The running sum of ZFS over words of four bytes."""
    a, b, c, d = sums
    for (word,) in struct.iter_unpack(order + "I", data):
        a += word
        b += a
        c += b
        d += c
    mask = (1 << 64) - 1
    return a & mask, b & mask, c & mask, d & mask


def seal(streams):
    """The bytes of streams, with sums that fit (`dump_record` in dmu_send.c and libzfs_sendrecv.c)."""
    whole = b""
    for stream in streams:
        sums = (0, 0, 0, 0)
        package = stream.records[0].kind == BEGIN and stream.records[0].get(16, "Q") & 3 == PACKAGE
        for record in stream.records:
            head, order = bytearray(record.head), record.order
            if record.kind == END and len(stream.records) > 1:
                struct.pack_into(order + "4Q", head, 8, *sums)
            sums = fletcher4(head[:280], sums, order)
            if record.kind != BEGIN and not package and len(stream.records) > 1:
                struct.pack_into(order + "4Q", head, 280, *sums)
            sums = fletcher4(head[280:], sums, order)
            sums = fletcher4(record.content.ljust(-(-len(record.content) // 4) * 4, b"\0"), sums, order)
            whole += head + record.content
    return whole


# The numbers in a record, as (place, form): what changes where the byte order does.
NUMBERS = {
    BEGIN: [(8, "Q"), (16, "Q"), (24, "Q"), (32, "I"), (36, "I"), (40, "Q"), (48, "Q")],
    OBJECT: [(8, "Q"), (16, "I"), (20, "I"), (24, "I"), (28, "I"), (36, "I"), (40, "Q"), (56, "Q")],
    FREEOBJECTS: [(8, "Q"), (16, "Q"), (24, "Q")],
    WRITE: [(8, "Q"), (16, "I"), (24, "Q"), (32, "Q"), (40, "Q"), (56, "Q"), (64, "Q"), (72, "Q"), (80, "Q"), (88, "Q"), (96, "Q")],
    FREE: [(8, "Q"), (16, "Q"), (24, "Q"), (32, "Q")],
    END: [(40, "Q")],
    SPILL: [(8, "Q"), (16, "Q"), (24, "Q"), (40, "Q")],
    EMBEDDED: [(8, "Q"), (16, "Q"), (24, "Q"), (32, "Q"), (48, "I"), (52, "I")],
    OBJECT_RANGE: [(8, "Q"), (16, "Q"), (24, "Q")],
    REDACT: [(8, "Q"), (16, "Q"), (24, "Q"), (32, "Q")],
}


def other_order(streams):
    """The same streams as a machine with the other byte order would send them (the contents of blocks aside)."""
    for stream in streams:
        for record in stream.records:
            numbers = [(at, form, record.get(at, form)) for at, form in [(0, "I"), (4, "I"), *NUMBERS[record.kind]]]
            record.order = ">"
            for at, form, value in numbers:
                record.put(at, form, value)
    return streams
