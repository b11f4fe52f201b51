"""publish: from a temporary to a base file, or not."""
import hashlib
import os
import subprocess
import time

from harness import NAME, BODY, OF_BUSYBOX, test, until, write, read, failed, succeeded


@test
def publish_refuses_wrong_bytes(site):
    wrong = bytes(len(BODY))
    site.put_part(wrong)
    event = failed(site.publish().end(), "digest_mismatch")
    assert event["digest"] == hashlib.sha512(wrong).hexdigest()
    assert not os.path.exists(site.part()) and not os.path.exists(site.base())
    failed(site.publish().end(), "truncated")
    site.put_part(BODY[:-1])
    failed(site.publish().end(), "truncated")
    assert os.path.exists(site.part())
    site.put_part(BODY + b"x")
    failed(site.publish().end(), "too_long")
    assert not os.path.exists(site.base()) and site.left() == [], site.left()


@test
def publish_every_digest(site):
    for algo in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        digest = hashlib.new(algo, BODY).hexdigest()
        os.makedirs(site.cache + "/.forecache", exist_ok=True)
        write(f"{site.cache}/.forecache/{NAME}.{digest[:16]}.part", BODY)
        succeeded(site.publish(algo=algo, digest=digest).end(), digest=digest)
        assert read(site.base()) == BODY
        os.unlink(site.base())


@test
def publish_keeps_an_existing_file(site):
    write(site.base(), b"what Nova put there")
    os.utime(site.base(), (1_600_000_000, 1_600_000_000))
    before = os.stat(site.base())
    site.put_part(BODY)
    succeeded(site.publish().end(), existing=True, digest=None)
    after = os.stat(site.base())
    assert read(site.base()) == b"what Nova put there" and before.st_ino == after.st_ino
    assert abs(after.st_mtime - time.time()) < 5 and site.left() == []


@test
def publish_loses_the_race(site):
    # Nova makes the base file while we are at the digest: a slow tool stands for a large image.
    made = f"{site.root}/made"
    tools = site.tools(openssl="exit 1", sha512sum=f"/usr/bin/sha512sum\nprintf nova >'{made}'\nmv '{made}' \"../{NAME}\"")
    site.put_part(BODY)
    run = site.publish(env={"PATH": tools})
    succeeded(run.end(), existing=True)
    assert read(site.base()) == b"nova" and site.left() == []


@test
def publish_proves_what_lies_beyond_four_gibibytes(site):
    size, at = 5 << 30, (4 << 30) + 12345
    keys = {"size": size, "proof_ranges": f"0+3,{at}+100000", "proof_digest": hashlib.sha256(bytes(3) + BODY[:100_000]).hexdigest()}
    for env in (None, {"PATH": site.tools(**OF_BUSYBOX)}):
        site.put_part(b"")
        os.truncate(site.part(), size)
        with open(site.part(), "r+b") as file:
            file.seek(at)
            file.write(BODY[:100_000])
        # As a transfer leaves it: nobody here need read five gibibytes.
        state = subprocess.run(["stat", "-c", "%i-%s-%y-%z", site.part()], capture_output=True, text=True, check=True).stdout
        write(site.part()[:-4] + "sum", f"{''.join(state.split())} {site.image()['digest']}\n".encode())
        succeeded(site.publish(env=env, **keys).end(), existing=False, bytes=size)
        os.unlink(site.base())


@test
def publish_can_be_interrupted(site):
    tools = site.tools(openssl="exit 1", sha512sum="exec sleep 60")
    site.put_part(BODY)
    run = site.publish(env={"PATH": tools})
    run.wait_for("progress")
    run.close_input()
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "no strays")
    succeeded(site.publish().end(), existing=False)
    assert read(site.base()) == BODY and site.left() == []


@test
def a_directory_in_the_way_of_the_lock(site):
    os.makedirs(site.part()[:-4] + "lock")
    run = site.fetch()
    run.process.wait(10)
    run.readers[1].join()
    run.errors = b""  # the shell's own complaint
    failed(run.end(), "io")
