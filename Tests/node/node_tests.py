"""Runs the tests of the node's programs under the three shells; started by Tests/node/run."""
import concurrent.futures
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from fault_server import FaultServer
from harness import HERE, SCRIPTS, SHELLS, BODY, TESTS, test, Site, assembled, failed, SSHServers
import stream_tests  # noqa: F401 (its tests join TESTS: the longest are in here and the next, so they begin first)
import cache_tests  # noqa: F401 (its tests join TESTS)
import fetch_tests  # noqa: F401 (its tests join TESTS)
import publish_tests  # noqa: F401 (its tests join TESTS)
import hostile_tests  # noqa: F401 (its tests join TESTS)
import receive_tests  # noqa: F401 (its tests join TESTS)
import copy_tests  # noqa: F401 (its tests join TESTS)
import convert_tests  # noqa: F401 (its tests join TESTS)
import podman_tests  # noqa: F401 (its tests join TESTS)
import badday_tests  # noqa: F401 (its tests join TESTS)
import growing_tests  # noqa: F401 (its tests join TESTS)
import read_tests  # noqa: F401 (its tests join TESTS)


# Tests side by side, as they mostly wait.
LANES = 8


def run_one(function, shell, root, server, ssh):
    place = tempfile.mkdtemp(dir=root)
    os.chmod(place, 0o755)
    site = Site(shell, place, server, ssh)
    try:
        function(site)
        return None
    except Exception as error:  # a test's failure is its result
        place = error.__traceback__
        while place.tb_next and place.tb_frame.f_code is not function.__code__:
            place = place.tb_next
        return f"line {place.tb_lineno}: {type(error).__name__}: {error}"
    finally:
        for run in site.runs:
            if run.process.poll() is None:
                run.process.kill()
            run.close_input()


def run_tests(work, root, ssh, say):
    """A lane: takes one test after the other until none is left. Its server is its own, which tests look into."""
    server, results = FaultServer(BODY), []
    with contextlib.suppress(queue.Empty):
        while True:
            shell, function = work.get_nowait()
            began = time.monotonic()
            trouble = run_one(function, shell, root, server, ssh)
            results.append(trouble is None)
            say(line(trouble is None, f"{shell:8}{function.__name__} ({time.monotonic() - began:.1f} s)", trouble))
    server.close()
    return results


def line(good, what, trouble=None):
    return f"{'ok  ' if good else 'FAIL'} {what}" + (f"\n     {trouble}" if not good and trouble else "")


def lint(say, root):
    results = []
    for verb, script in SCRIPTS.items():
        whole = os.path.join(root, f"{verb}.sh")
        with open(whole, "w") as file:
            file.write(assembled(verb))
        # A verb need not use all of a part, and some functions are only ever called by a name in a variable.
        found = subprocess.run(["shellcheck", "-s", "sh", "-e", "SC2317", whole], capture_output=True, text=True)
        results.append(found.returncode == 0)
        say(line(results[-1], f"shellcheck {verb}", found.stdout))
        results.append(len(script.encode()) < 25_000)
        say(line(results[-1], f"what is sent to {verb} has {len(script.encode())} bytes, less than 25000"))
    return results


def main():
    wanted, lock = sys.argv[1:], threading.Lock()
    # Below nohup it is ignored, and a shell cannot trap what was ignored when it started.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def say(text):
        with lock:
            print(text, flush=True)

    root = tempfile.mkdtemp(prefix="forecache-node-")
    os.chmod(root, 0o755)
    ssh = SSHServers(root)
    try:
        results = [] if wanted else lint(say, root)
        work = queue.SimpleQueue()
        for function in TESTS:
            for shell in SHELLS:
                if all(word in f"{shell} {function.__name__}" for word in wanted):
                    work.put((shell, function))
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            for lane in [pool.submit(run_tests, work, root, ssh, say) for _ in range(LANES)]:
                results += lane.result()
    finally:
        ssh.close()
        shutil.rmtree(root, ignore_errors=True)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
