"""The digest that a transfer finds on the way, and when publish believes it."""
import hashlib
import os

from harness import BODY, test, until, write, read, failed, succeeded

UNUSABLE = {name: "echo 'hashed again' >&2; exit 1" for name in ("openssl", "sha512sum")}


def sum_of(site):
    return site.part()[:-4] + "sum"


@test
def the_transfer_brings_its_digest(site):
    without_python = {"PATH": site.tools(without=["python3"])}
    for env in (None, without_python):
        for start in (site.fetch, lambda **more: site.copy(site.peer_file(), **more)):
            brings_its_digest(site, start(env=env))


def brings_its_digest(site, run):
    succeeded(run.end())
    assert read(sum_of(site)).split()[1].decode() == hashlib.sha512(BODY).hexdigest()
    assert os.stat(sum_of(site)).st_uid == 0 and not site.strays()
    # No tool could hash it now, and none has to.
    succeeded(site.publish(env={"PATH": site.tools(**UNUSABLE)}).end(), existing=False, digest=hashlib.sha512(BODY).hexdigest())
    assert read(site.base()) == BODY and site.left() == []
    os.unlink(site.base())


@test
def a_resumed_transfer_brings_it_too(site):
    site.put_part(BODY[:1_234_567])
    succeeded(site.fetch().end(), offset=1_234_567)
    assert read(sum_of(site)).split()[1].decode() == hashlib.sha512(BODY).hexdigest()


@test
def it_counts_for_those_very_bytes_alone(site):
    def changed():
        state = os.stat(site.part())
        with open(site.part(), "r+b") as file:
            file.write(b"\0\0\0\0")
        os.utime(site.part(), ns=(state.st_atime_ns, state.st_mtime_ns))

    def replaced():
        os.rename(site.part(), site.part() + "x")
        site.put_part(bytes(len(BODY)))
        os.unlink(site.part() + "x")

    def forged():
        write(sum_of(site), read(sum_of(site)).split()[0] + b" " + b"0" * 128 + b"\n")
        changed()

    for spoil in (changed, replaced, forged):
        succeeded(site.fetch().end())
        spoil()
        failed(site.publish().end(), "digest_mismatch")
        assert not os.path.exists(site.base())
    # A sum that is not right does no harm to good bytes.
    for text in (b"", b"\n", b"nonsense", b"x" * 100_000):
        site.put_part(BODY)
        write(sum_of(site), text)
        succeeded(site.publish().end(), existing=False)
        os.unlink(site.base())
    assert site.left() == []


@test
def a_transfer_that_fails_leaves_no_sum(site):
    failed(site.fetch("stall", stall_timeout=2).end(), "network")
    assert not os.path.exists(sum_of(site)) and not site.strays(), site.strays()
    run = site.fetch("stall", stall_timeout=60)
    until(lambda: os.path.exists(sum_of(site)), "the sum is begun")
    run.close_input()
    failed(run.end(5), "interrupted")
    until(lambda: not site.strays(), "no strays")
    succeeded(site.start("sweep", cache_dir=site.cache, older_than=0).end())
    assert site.left() == []
