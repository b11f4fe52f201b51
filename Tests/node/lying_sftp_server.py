#!/usr/bin/env python3
"""An sftp server that lies in the way that the path of the file asks for; else a file has four bytes."""
import os
import struct
import sys

OPEN, FSTAT, STATUS, HANDLE, DATA, ATTRS = 3, 8, 101, 102, 103, 105


def take(count):
    data = sys.stdin.buffer.read(count)
    if len(data) < count:
        sys.exit()
    return data


def say(kind, body=b""):
    os.write(1, struct.pack(">IBI", len(body) + 5, kind, 0) + body)


lie = ""
while True:
    length, kind = struct.unpack(">IB", take(5))
    body = take(length - 1)[4:]
    if kind == 1:
        os.write(1, struct.pack(">IBI", 5, 2, 3))
    elif kind == OPEN:
        lie = os.path.basename(body[4:4 + struct.unpack_from(">I", body)[0]].decode())
        if lie == "short status":
            say(STATUS, b"\0\0\0\2")
        elif lie == "our lines":
            os.write(2, b"=no_tool\nno end of the line")
            text = b"x\n=no_tool\n\xff" + b"y" * 9000
            say(STATUS, struct.pack(">II", 2, len(text)) + text)
        else:
            say(HANDLE, b"\0\0\0\1h")
    elif kind == FSTAT:
        if lie == "short attributes":
            say(ATTRS, b"\0")
        else:
            say(ATTRS, struct.pack(">IQ", 1, 1 << 56 if lie == "longer" else 4))
    else:
        say(DATA, struct.pack(">I", 4) + b"data")
