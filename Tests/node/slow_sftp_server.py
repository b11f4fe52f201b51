#!/usr/bin/env python3
"""The real sftp server behind a line that holds each answer back for four milliseconds: `Subsystem sftp` of a peer that is far or busy."""
import collections
import os
import shutil
import subprocess
import threading
import time

server = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")
process = subprocess.Popen([server], stdin=0, stdout=subprocess.PIPE)
answers = collections.deque()


def hear():
    data = b"."
    while data:
        data = os.read(process.stdout.fileno(), 1 << 20)
        answers.append((time.monotonic() + 0.004, data))


threading.Thread(target=hear, daemon=True).start()
while True:
    if not answers:
        time.sleep(0.0005)
        continue
    due, data = answers.popleft()
    if not data:
        break
    time.sleep(max(0, due - time.monotonic()))
    while data:
        data = data[os.write(1, data):]
