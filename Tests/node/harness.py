"""What the tests of the node's programs share: a run of one, a site to run it on, real SSH servers, and what must hold of every run."""
import contextlib
import glob
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NODE = os.path.join(HERE, "../../Sources/SSHFleet/Node")


def assembled(verb):
    """The text of one verb's program, comments included: the parts that its file asks for, that file, and the call."""
    own = read(f"{NODE}/{verb}.sh").decode()
    needed = next(line for line in own.splitlines() if line.startswith("# Parts: ")).split()[2:]
    return "".join(read(f"{NODE}/{part}.sh").decode() for part in needed) + own + "main\n"


def stripped(text):
    """As the sender does it: empty lines, comment lines and indentation stay at home."""
    return "".join(line.lstrip(" ") for line in text.splitlines(True) if line.strip() and not line.lstrip().startswith("#"))


def read(path):
    with open(path, "rb") as file:
        return file.read()


VERBS = sorted(name[:-3] for name in os.listdir(NODE) if b"\n# Parts: " in read(f"{NODE}/{name}"))
SCRIPTS = {verb: stripped(assembled(verb)) for verb in VERBS}
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
OWNER = 65534  # nobody: the copy user of these tests
TOKEN = "gAAAAA-tok\"en\\with $(touch /tmp/forecache-owned) 'quotes'"
NAME, OTHER = hashlib.sha1(b"an image").hexdigest(), hashlib.sha1(b"another").hexdigest()
BODY = random.Random(7).randbytes(3_000_001)
# For Site.tools: what the programs cut bytes out with, where the core utilities are BusyBox's.
OF_BUSYBOX = {name: f'exec busybox {name} "$@"' for name in ("head", "tail", "dd")}
TESTS = []


def test(function):
    """Each test is called with a fresh `Site`, once per shell."""
    TESTS.append(function)
    return function


class Run:
    """One running program. Standard input stays open until `close_input` or the end."""

    def __init__(self, shell, verb, lines, env=None):
        self.process = subprocess.Popen(
            [*SHELLS[shell], "-c", SCRIPTS[verb], "forecache-node", verb],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TMPDIR": "/nonexistent", **(env or {})}, cwd="/")
        self.raw, self.errors = [], b""
        self.readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self.readers:
            reader.start()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(b"".join(line if isinstance(line, bytes) else line.encode() for line in lines))
            self.process.stdin.flush()

    def _read(self):
        for line in self.process.stdout:
            self.raw.append(line)

    def _read_errors(self):
        self.errors = self.process.stderr.read()

    def events(self, kind=None):
        events = [json.loads(line.decode("ascii")) for line in list(self.raw)]
        return [event for event in events if kind in (None, event["event"])]

    def wait_for(self, kind, condition=lambda event: True):
        until(lambda: any(condition(event) for event in self.events(kind)), f"{kind}: {self.raw[-3:]}")

    def close_input(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def holders(self):
        """Who has the other ends of our pipes open."""
        pipes = {os.readlink(f"/proc/self/fd/{file.fileno()}") for file in (self.process.stdout, self.process.stderr)}
        found = set()
        for path in glob.glob("/proc/[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                pid = path.split("/")[2]
                if pid != str(os.getpid()) and os.readlink(path) in pipes:
                    found.add((pid, read(f"/proc/{pid}/cmdline")[-300:]))
        return found

    def end(self, limit=20):
        """The last event, after checking what holds of every run."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {limit} s: {self.raw[-3:]}")
        self.close_input()
        for reader in self.readers:
            reader.join(5)
            assert not reader.is_alive(), f"somebody still holds our standard output: {self.holders()}"
        events = self.events()
        assert events and events[-1]["event"] in ("done", "error"), (events[-3:], self.errors)
        assert [e["event"] for e in events].count("done") + [e["event"] for e in events].count("error") == 1, events
        assert code == (0 if events[-1]["event"] == "done" else 1), (code, events[-1])
        assert self.errors == b"", self.errors
        assert TOKEN.encode() not in b"".join(self.raw)
        return events[-1]


def until(condition, what, limit=10):
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.02)


class Site:
    """A cache directory, a fault server and what runs against them, under one shell."""

    def __init__(self, shell, root, server, ssh):
        self.shell, self.root, self.server, self.ssh = shell, root, server, ssh
        self.cache = os.path.join(root, "it's a \"cache\" $(x)", "_base")
        os.makedirs(self.cache)
        os.chown(self.cache, OWNER, OWNER)
        self.runs = []

    def start(self, verb, extra=(), env=None, **keys):
        lines = [f"{key}={value}\n" for key, value in keys.items() if value is not None]
        run = Run(self.shell, verb, [*lines, ".\n", *extra], env)
        self.runs.append(run)
        return run

    def image(self, body=BODY, **more):
        return {"cache_dir": self.cache, "owner": f"{OWNER}:{OWNER}", "name": NAME, "size": len(body), "algo": "sha512",
                "digest": hashlib.sha512(body).hexdigest(), **more}

    def fetch(self, path="image", env=None, **more):
        keys = {"token": TOKEN, "url": f"{self.server.url}/{path}", "connect_timeout": 3, "stall_timeout": 5, **more}
        return self.start("fetch", env=env, **self.image(**keys))

    def copy(self, path, port=None, env=None, **more):
        keys = {"peer_address": "127.0.0.1", "peer_port": port or self.ssh.port, "peer_user": "root", "peer_path": path,
                "peer_identity": self.ssh.identity, "peer_known_hosts": self.ssh.known_hosts, "copy_user": "nobody",
                "connect_timeout": 3, "stall_timeout": 5, **more}
        return self.start("copy", env=env, **self.image(**keys))

    def publish(self, env=None, **more):
        return self.start("publish", env=env, **self.image(**more))

    def tools(self, without=(), **scripts):
        """A PATH with these scripts before all else; with `without`, one of all tools but those."""
        folder = tempfile.mkdtemp(dir=self.root)
        os.chmod(folder, 0o755)
        for name, text in scripts.items():
            write(f"{folder}/{name}", f"#!/bin/sh\n{text}\n".encode())
            os.chmod(f"{folder}/{name}", 0o755)
        if not without:
            return f"{folder}:{os.environ['PATH']}"
        for place in ("/usr/sbin", "/sbin", "/usr/bin", "/bin"):
            for name in os.listdir(place):
                if name not in without and not os.path.lexists(f"{folder}/{name}"):
                    os.symlink(f"{place}/{name}", f"{folder}/{name}")
        return folder

    def base(self, name=NAME):
        return os.path.join(self.cache, name)

    def part(self, body=BODY):
        return os.path.join(self.cache, ".forecache", f"{NAME}.{hashlib.sha512(body).hexdigest()[:16]}.part")

    def put_part(self, content):
        os.makedirs(os.path.dirname(self.part()), exist_ok=True)
        write(self.part(), content)
        os.chown(self.part(), OWNER, OWNER)

    def peer_file(self, content=BODY, name="peer file"):
        path = os.path.join(self.root, name)
        write(path, content)
        return path

    def left(self):
        directory = os.path.join(self.cache, ".forecache")
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []

    def strays(self):
        """Processes of this site's runs that still live: they can be told by the directory they stand in."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/cwd").startswith(self.root):
                    found.append((pid, read(f"/proc/{pid}/cmdline")[:80]))
        return found


def write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def failed(event, kind):
    assert event["event"] == "error" and event["kind"] == kind, event
    assert len(event["detail"]) <= 300 and event["detail"], event
    return event


def succeeded(event, **members):
    assert event["event"] == "done", event
    for name, value in members.items():
        assert event[name] == value, (name, event)
    return event


class SSHServers:
    """Real sshd on loopback: with the sftp subsystem, without, with one that answers late or lies, and one that lets scp alone through."""

    def __init__(self, root):
        os.makedirs("/run/sshd", exist_ok=True)
        self.processes = []
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{root}/{name}"], check=True)
        self.identity, self.known_hosts = f"{root}/user", f"{root}/known_hosts"
        os.chown(self.identity, OWNER, OWNER)
        late, lying = (f"Subsystem sftp {sys.executable} {HERE}/{name}_sftp_server.py\n" for name in ("slow", "lying"))
        self.port, self.bare_port = self._start(root, "Subsystem sftp internal-sftp\n"), self._start(root, "")
        self.late_port, self.lying_port = self._start(root, late), self._start(root, lying)
        # As Nova's migration wrapper does it.
        write(f"{root}/wrapper", b'case $SSH_ORIGINAL_COMMAND in "scp "*) exec $SSH_ORIGINAL_COMMAND ;; esac\necho Forbidden >&2\nexit 1\n')
        self.scp_port = self._start(root, f"Subsystem sftp internal-sftp\nForceCommand sh {root}/wrapper\n")
        ports = (self.port, self.bare_port, self.late_port, self.lying_port, self.scp_port)
        key = " ".join(read(f"{root}/host.pub").decode().split()[:2])
        write(self.known_hosts, "".join(f"[127.0.0.1]:{port} {key}\n" for port in ports).encode())
        os.chmod(self.known_hosts, 0o644)

    def _start(self, root, more):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        write(f"{root}/sshd{port}", (f"Port {port}\nListenAddress 127.0.0.1\nHostKey {root}/host\nAuthorizedKeysFile {root}/user.pub\n"
                                     f"StrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\nPermitRootLogin yes\n{more}").encode())
        self.processes.append(subprocess.Popen([shutil.which("sshd"), "-D", "-f", f"{root}/sshd{port}"], stderr=subprocess.DEVNULL))

        def answers():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        until(answers, "sshd")
        return port

    def close(self):
        for process in self.processes:
            process.terminate()
            process.wait()
