#!/bin/sh
# A copy that follows a growing file over sftp, in one process where there is Python.

# What the copy user runs; standard input is the controller's. OpenSSH's own sftp asks for a file as long as it was when it was opened, and at
# the end of one that grows takes one short answer after the other. This asks how long the file is, and then for no more than that, many
# requests at a time, each for as much as a new OpenSSH answers, because requests cost both sides more than bytes do; one before 8.5 answers 64 KiB
# of it, and is asked for no more from then on. The answers come in the order of the requests.
# A source that begins anew makes a new file, and one that publishes takes its temporary away: so a file that stands still is opened again, and
# the whole one where the growing one is gone. Indented by tabs, because spaces at the beginning of a line stay with the sender.
# shellcheck disable=SC2034
follower='
import collections, fcntl, os, select, struct, subprocess, sys, time
part, size, path, growing, stall, rate = sys.argv[1:7]
size, stall, rate = int(size), int(stall), int(rate)
piece, window = 255 << 10, 8
if rate: piece = max(1 << 12, min(piece, rate // 8))
OPEN, CLOSE, READ, FSTAT, HANDLE, DATA, ATTRS = 3, 4, 5, 8, 102, 103, 105

def end(*lines):
	ssh.kill()
	# What the peer said may lack the end of its line.
	for line in lines: print("\n" + line, flush=True)
	os._exit(0)

def wait(seconds):
	# Until ssh says something. Standard input says nothing any more, but ends with the controller.
	events = [fd for fd, event in ready.poll(seconds * 1000)]
	if 0 in events and not os.read(0, 4096):
		time.sleep(1)
		end()
	return said in events

def take(count):
	# A part of the next bytes, no more than that many, and good until the next call. What ssh says is read as it comes, many answers at a time.
	global heard
	if not heard:
		while not wait(1):
			if time.monotonic() - moved > stall: end("=stalled")
		heard = room[:os.readv(said, [room])]
		if not heard:
			code = ssh.wait()
			# As where the migration wrapper of Nova lets scp alone through. What it says does not come: sshd drops the standard error of a subsystem.
			if not spoke and 0 <= code < 255: end("=no_sftp")
			end("=exit %d" % (code or 1))
	data, heard = heard[:count], heard[count:]
	return data

def exactly(count):
	piece = b""
	while len(piece) < count: piece += take(count - len(piece))
	return piece

def send(kind, body): os.write(asked, struct.pack(">IBI", len(body) + 5, kind, 0) + body)

def head():
	length, kind = struct.unpack(">IB4x", exactly(9))
	if not 5 <= length <= 1 << 18: no_sftp()
	return kind, length - 5

def no_sftp(): end("the peer does not speak sftp", "=exit 1")

def answer():
	kind, length = head()
	return kind, exactly(length)

def open_file(name):
	name = os.fsencode(name)
	send(OPEN, struct.pack(">I%dsII" % len(name), len(name), name, 1, 0))
	kind, body = answer()
	if kind == HANDLE: return body
	length, = struct.unpack_from(">I", body, 4)
	# In one line, whatever it holds.
	return str(body[8:8 + length])[2:-1]

def open_source():
	source = open_file(growing) if growing else ""
	if isinstance(source, str): source = open_file(path)
	if isinstance(source, str) and not growing: end("%s: %s" % (path, source), "=exit 1")
	return source

def length_of(source):
	send(FSTAT, source)
	kind, body = answer()
	return struct.unpack_from(">Q", body, 4)[0] if kind == ATTRS and body[3] & 1 else 0

def store(count):
	while count:
		data = take(count)
		count -= len(data)
		while data: data = data[os.write(file, data):]

def receive(first, last):
	# What lies between, as far as the file has it; where it ends early, what was asked for behind that is thrown away.
	global have, moved, piece
	pending = collections.deque()
	while first < last or pending:
		now = time.monotonic()
		while first < last and len(pending) < window and not (rate and first - begin > (now - began) * rate):
			count = min(piece, last - first)
			send(READ, source + struct.pack(">QI", first, count))
			pending.append((first, count))
			first += count
		if not pending:
			wait(0.02)
			continue
		kind, length = head()
		at, asked_for = pending.popleft()
		if kind != DATA or at != have:
			exactly(length)
			last = first
			continue
		count, = struct.unpack(">I", exactly(4))
		if count > asked_for or count + 4 != length: end("the peer sends what was not asked for", "=exit 1")
		if count < asked_for: piece = max(count, 1 << 12)
		store(count)
		have, moved = have + count, time.monotonic()

try: file = os.open(part, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
except OSError as error: sys.exit("%s: %s\n=exit 1" % (part, error.strerror))
try: ssh = subprocess.Popen(["ssh"] + sys.argv[7:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
except OSError: sys.exit("=no_tool")
asked, said = ssh.stdin.fileno(), ssh.stdout.fileno()
# F_SETPIPE_SZ: fewer and larger pieces. No more than 1 MiB may be had; without it this works just as well.
try: fcntl.fcntl(said, 1031, 1 << 20)
except OSError: pass
ready = select.poll()
for fd in 0, said: ready.register(fd, select.POLLIN)
room, heard, spoke = memoryview(bytearray(1 << 20)), b"", False
have = begin = os.fstat(file).st_size
began = moved = opened = time.monotonic()
try:
	os.write(asked, struct.pack(">IBI", 5, 1, 3))
	spoke = answer()
	source = open_source()
	while have < size:
		length = 0 if isinstance(source, str) else length_of(source)
		if length > size: end("=long")
		if length > have:
			before = have
			receive(have, length)
			if have > before: continue
		if not growing: end("=short %d" % length)
		now = time.monotonic()
		if now - moved > stall: end("=stalled")
		if now - max(moved, opened) > 0.5:
			if not isinstance(source, str): send(CLOSE, source), answer()
			source, opened = open_source(), now
			continue
		wait(0.1 if size - have > 8 << 20 else 0.03)
except OSError as error: end(error.strerror, "=exit 1")
except (struct.error, IndexError): no_sftp()
end("=exit 0")
'
