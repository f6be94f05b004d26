"""A system that has nothing left: no descriptors, no room on the disk under the log."""

import asyncio
import os
import re
from pathlib import Path

import pytest

from tests.hostile.child import MIB, serving
from tests.hostile.peers import CLEAR, good_clients
from tests.server.harness import in_loop

CONNECTIONS = 300
SPARE = 100


@in_loop
async def test_without_descriptors_those_who_are_in_are_served_and_others_wait(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, CLEAR, timeout_head=60, timeout_keep_alive=60) as child:
        first = [await CLEAR.connect(child) for _ in range(10)]
        for number, peer in enumerate(first):
            await CLEAR.ask(peer, f"early-{number}")
        child.limit_descriptors(child.descriptors + SPARE)
        crowd = [await CLEAR.dial(child) for _ in range(CONNECTIONS)]
        late = asyncio.ensure_future(CLEAR.ask(await CLEAR.connect(child), "late"))
        before = child.processor_time
        for turn in range(20):  # for two seconds, so that it has to try again
            for number, peer in enumerate(first):
                await CLEAR.ask(peer, f"while-{turn}-{number}")
            await asyncio.sleep(0.1)
        assert child.processor_time - before < 0.5, "it spins"
        lines = [line for line in child.log.splitlines() if "Cannot accept" in line]
        assert 1 <= len(lines) <= 4
        assert "raise the limit of open files" in lines[0]
        assert not late.done()
        for peer in crowd:
            peer.close()
        await late
        for peer in list(child.peers):
            peer.close()
        async with good_clients(child) as good:
            await good.complete(20)
        await child.settled()
        await child.assert_quiet()
        assert child.peak < 8 * MIB


FULL = "/dev/full"


@pytest.mark.skipif(not Path(FULL).exists(), reason=f"needs {FULL}, a disk that is always full")
@pytest.mark.parametrize("which", ["access log", "error log", "both"])
@in_loop
async def test_a_full_disk_under_the_log_stops_no_request(which: str, tmp_path: Path) -> None:
    full = os.open(FULL, os.O_WRONLY)
    stdout = full if which != "error log" else None
    stderr = full if which != "access log" else None
    try:
        async with serving(tmp_path, access_log=True, stdout=stdout, stderr=stderr) as child:
            async with good_clients(child, 8) as good:
                peer = await CLEAR.dial(child)
                for _ in range(200):
                    await peer.send(b"GET /fail HTTP/1.1\r\nHost: h\r\n\r\n")
                    assert (await peer.read_response()).status == 500
                peer.close()
                await good.complete(500)
            await child.settled()
            assert child.peak < 8 * MIB
            await child.assert_quiet()
            if which == "access log":
                log = child.log
                assert log.count("exception in the ASGI application") == 200
                assert "Logging error" not in log
                assert "access log" in log
                assert log.count("No space left on device") == 1
            if which == "error log":
                assert child.access_log.count('"POST /good HTTP/1.1" 200') == len(good.answered)
    finally:
        os.close(full)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@in_loop
async def test_once_there_is_room_again_the_log_says_what_it_lacks(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = await asyncio.create_subprocess_exec(
        *("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    if await mount.wait():
        pytest.skip("this root may not mount")
    try:
        log = os.open(disk / "access", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            async with serving(tmp_path, access_log=True, stdout=log) as child:
                async with good_clients(child, 8) as good:
                    await good.complete(2_000)  # more lines than there is room for
                    assert (disk / "access").stat().st_size <= 65_536
                    os.ftruncate(log, 0)
                    await good.complete(100)
                text = (disk / "access").read_text()
                *lines, end = text.split("\n")
                assert end == ""
                assert all(re.match(r"\d{4}-\d\d-\d\d ", line) for line in lines[1:]), "torn lines"
                assert "entries are missing here" in text
                assert text.count("POST /good") >= 100
        finally:
            os.close(log)
    finally:
        await (await asyncio.create_subprocess_exec("umount", str(disk))).wait()
