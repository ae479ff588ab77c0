"""What hosted notebooks do not have: waiting for the drive, knowing what is at risk, ending without loss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import pid_of

from drivemount import _mounts, _session, drive

#: A drive that takes a megabyte a second.
SLOW = ("--trouble", "*:bandwidth,up=1M,shared=true")


def names_on(cloud) -> set[str]:
    """What the drive itself lists, asked without a mount."""
    import json
    import urllib.request

    token = (cloud.data / "token").read_text().strip()
    request = urllib.request.Request(
        f"{cloud.url}/drive/v3/files?pageSize=1000", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request) as answer:
        return {file["name"] for file in json.load(answer)["files"]}


def test_flush_returns_when_the_drive_has_everything(mount, cloud):
    place = mount()
    (place / "a.bin").write_bytes(os.urandom(500_000))
    assert not drive.status().synced
    drive.flush()
    assert drive.status().synced
    assert "a.bin" in names_on(cloud)


def test_flush_of_a_path_waits_for_that_alone(serve, place):
    cloud = serve(*SLOW)
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    (place / "large.bin").write_bytes(os.urandom(8_000_000))
    (place / "small").mkdir()
    (place / "small" / "a.txt").write_text("a")
    drive.flush(place / "small", timeout=20)
    assert "a.txt" in names_on(cloud)
    assert drive.status().at_risk_bytes > 0


def test_too_short_a_time_is_a_timeout_that_names_what_is_left(serve, place):
    cloud = serve(*SLOW)
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    (place / "large.bin").write_bytes(os.urandom(8_000_000))
    with pytest.raises(TimeoutError, match=r"large\.bin") as caught:
        drive.flush(timeout=0.5)
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_code == 5
    with pytest.raises(TimeoutError):
        drive.wait_synced(place / "large.bin", timeout=0.5)


def test_what_the_drive_refuses_is_named_with_the_reason(serve, place):
    cloud = serve("--quota", "1M")
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    (place / "large.bin").write_bytes(os.urandom(2_000_000))
    with pytest.raises(drive.NotSent, match=r"large\.bin.*(full|storage|quota)") as caught:
        drive.flush(timeout=30)
    assert not isinstance(caught.value, TimeoutError)


def test_waiting_for_a_file_that_is_not_there_is_an_error(mount):
    with pytest.raises(FileNotFoundError):
        drive.wait_synced(mount() / "none")


def test_a_path_outside_of_any_mount_is_an_error(tmp_path):
    for call in (drive.flush, drive.status, drive.checkpoint(tmp_path).__enter__):
        with pytest.raises(drive.DriveError, match="is not in a drivemount"):
            call(*([] if call.__name__ == "__enter__" else [tmp_path]))


def test_a_path_is_found_in_its_mount_through_links_and_without_a_look_at_it(mount, place, tmp_path, monkeypatch):
    mount()
    (tmp_path / "link").symlink_to(place / "run")
    (tmp_path / "further").symlink_to("link")
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(place.parent)
    for path, below in {
        str(place): "",
        str(place / "run" / "a"): "run/a",
        str(tmp_path / "further" / "a"): "run/a",
        "drive/run/../b": "b",
        "./drive/": "",
    }.items():
        found, rest = _mounts.around(path)
        assert (found.mountpoint, rest) == (str(place), below), path
    for path in (str(tmp_path), str(tmp_path / "circle"), "drive/..", f"{place}-other"):
        assert _mounts.around(path) is None, path


def test_a_checkpoint_is_left_when_it_is_on_the_drive(mount, cloud):
    place = mount()
    with drive.checkpoint(place / "run"):
        (place / "run").mkdir()
        (place / "run" / "last.pt").write_bytes(os.urandom(300_000))
    assert "last.pt" in names_on(cloud)


def test_a_checkpoint_hides_no_exception(mount):
    place = mount()
    with pytest.raises(ZeroDivisionError), drive.checkpoint(place / "run"):
        (place / "a").write_text("a")
        raise ZeroDivisionError
    drive.flush()


def test_a_checkpoint_is_saved_though_the_daemon_is_killed(serve, place):
    cloud = serve(*SLOW)
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    content = os.urandom(5_000_000)
    pid = pid_of(place)
    with drive.checkpoint(place / "last.pt"):
        (place / "last.pt").write_bytes(content)
        threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()
    assert pid_of(place) != pid
    assert "last.pt" in names_on(cloud)
    assert (place / "last.pt").read_bytes() == content


def test_a_checkpoint_whose_mount_is_killed_is_not_said_to_be_saved(serve, place):
    cloud = serve(*SLOW)
    # No other daemon follows.
    options = {"source": cloud.url, "token_file": cloud.token_file, "keeper": "never"}
    drive.mount(place, **options)
    content = os.urandom(5_000_000)
    pid = pid_of(place)

    def save() -> None:
        with drive.checkpoint(place / "last.pt"):
            (place / "last.pt").write_bytes(content)
            threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()

    with pytest.raises(drive.DriveError):
        save()
    # The dead mount is no obstacle to the next, which sends the rest.
    drive.mount(place, **options)
    drive.flush(timeout=60)
    assert (place / "last.pt").read_bytes() == content
    assert "last.pt" in names_on(cloud)


def test_a_program_killed_within_a_checkpoint_leaves_the_mount_to_send_it(serve, place, tmp_path):
    cloud = serve(*SLOW)
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    code = f"""
import os
from drivemount import drive
with drive.checkpoint({str(place)!r}):
    with open({str(place / "last.pt")!r}, "wb") as file:
        file.write(os.urandom(4_000_000))
    print("saved", flush=True)
"""
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert program.stdout.readline() == "saved\n"
    time.sleep(0.5)
    program.kill()
    program.communicate()
    assert drive.status().at_risk_bytes > 0
    drive.flush(timeout=60)
    assert "last.pt" in names_on(cloud)


def test_an_interrupt_ends_the_wait_and_not_the_mount(serve, place):
    cloud = serve(*SLOW)
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    (place / "large.bin").write_bytes(os.urandom(8_000_000))
    threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        drive.flush()
    assert drive.status().state == "mounted"


def test_a_forced_remount_sends_everything_first(serve, place, capfd):
    cloud = serve("--trouble", "*:bandwidth,up=2M,shared=true")
    options = {"source": cloud.url, "token_file": cloud.token_file}
    drive.mount(place, **options, cache_dir=place.parent / "one")
    first = pid_of(place)
    (place / "a.bin").write_bytes(os.urandom(4_000_000))
    capfd.readouterr()
    # With another cache, nothing but the drive can have it.
    drive.mount(place, force_remount=True, **options, cache_dir=place.parent / "two")
    assert capfd.readouterr() == (f"Mounted at {place}\n", "")
    assert pid_of(place) != first
    assert (place / "a.bin").stat().st_size == 4_000_000


def test_what_is_about_to_end_is_waited_for_and_mounted_again(serve, place, capfd):
    cloud = serve("--trouble", "*:bandwidth,up=2M,shared=true")
    options = {"source": cloud.url, "token_file": cloud.token_file}
    drive.mount(place, **options)
    (place / "a.bin").write_bytes(os.urandom(4_000_000))
    other = threading.Thread(target=drive.flush_and_unmount)
    other.start()
    while drive.status(place).state != "draining":
        time.sleep(0.05)
    capfd.readouterr()
    drive.mount(place, **options)
    other.join()
    assert capfd.readouterr().out == f"Mounted at {place}\n"
    assert drive.status(place).state == "mounted"


def test_unmounting_in_too_short_a_time_says_what_is_left_and_the_next_mount_sends_it(serve, place, capfd):
    cloud = serve(*SLOW)
    options = {"source": cloud.url, "token_file": cloud.token_file}
    drive.mount(place, **options)
    (place / "a.bin").write_bytes(os.urandom(4_000_000))
    with pytest.raises(ValueError, match=r"(?s)^flush_and_unmount failed: .*a\.bin"):
        drive.flush_and_unmount(timeout_ms=300)
    assert not place.is_mount()
    capfd.readouterr()
    drive.mount(place, **options)
    assert "left by the last mount" in capfd.readouterr().out
    drive.flush(timeout=60)
    assert "a.bin" in names_on(cloud)


def test_a_mount_for_reading_cannot_be_written(mount):
    place = mount(readonly=True)
    assert drive.status().read_only
    with pytest.raises(OSError, match="Read-only file system"):
        (place / "a").touch()


def test_mounted_already_with_other_settings_says_what_differs(mount, place, cloud, capfd):
    mount()
    capfd.readouterr()
    drive.mount(place, source="http://127.0.0.1:1", readonly=True)
    first, second = capfd.readouterr().out.splitlines()
    assert first.startswith(f"Drive already mounted at {place};")
    assert cloud.url in second
    assert "http://127.0.0.1:1" in second
    assert "read-only" in second


def test_a_restarted_program_finds_the_mount_and_ends_it(mount, place, run):
    mount()
    code = f"from drivemount import drive\ndrive.mount({str(place)!r})\ndrive.flush_and_unmount()"
    done = run(code)
    assert done.stdout.startswith("Drive already mounted at")
    assert not place.is_mount()


def test_two_mounts_at_once_are_told_apart(mount, place, serve):
    mount()
    other, second = serve(), place.parent / "other"
    drive.mount(second, source=other.url, token_file=other.token_file)
    assert {str(place), str(second)} <= {mount.mountpoint for mount in drive.mounts()}
    assert drive.status().mountpoint == str(second)
    assert drive.status(place).mountpoint == str(place)
    for path, name in ((place, "first"), (second, "second")):
        (path / name).write_text("x")
    drive.flush()
    assert drive.status(place).synced
    assert drive.status(second).synced
    drive.flush_and_unmount()
    assert not place.is_mount()
    assert not second.is_mount()


def test_an_option_that_is_not_there_is_a_type_error(place, cloud):
    with pytest.raises(TypeError, match="unexpected keyword argument 'cache_syze'"):
        drive.mount(place, source=cloud.url, token_file=cloud.token_file, cache_syze="20G")


def test_a_bad_value_is_said_with_the_command_s_own_words(place, cloud):
    with pytest.raises(ValueError, match=r"^mount failed: .*--cache-size"):
        drive.mount(place, source=cloud.url, token_file=cloud.token_file, cache_size="much")


def test_a_token_is_never_an_argument(place, cloud, tmp_path, monkeypatch):
    spy = tmp_path / "spy"
    spy.write_text('#!/bin/sh\nprintf "%s " "$@" >>"$SPY.arguments"\nexec "$REAL" "$@"\n')
    spy.chmod(0o755)
    from drivemount import _binary

    monkeypatch.setenv("REAL", _binary.find())
    monkeypatch.setenv("SPY", str(spy))
    monkeypatch.setenv("DRIVEMOUNT", str(spy))
    monkeypatch.setenv("DRIVEMOUNT_TOKEN_FILE", "/nowhere")
    token = (cloud.data / "token").read_text().strip()
    drive.mount(place, source=cloud.url, token=token)
    assert token not in (tmp_path / "spy.arguments").read_text()


def test_false_outdoes_a_variable(mount, monkeypatch):
    monkeypatch.setenv("DRIVEMOUNT_READ_ONLY", "yes")
    (mount(read_only=False) / "a").touch()


def test_the_status_is_an_object_and_a_dictionary(mount, place, cloud):
    mount()
    (place / "a.bin").write_bytes(b"x" * 3_000_000)
    now = drive.status()
    assert now.at_risk_bytes == now["unsent"]["bytes"] == now.json["unsent"]["bytes"] > 0
    assert [item.path for item in now.unsent.items] == ["a.bin"]
    assert (now.mountpoint, now.source, now.state) == (str(place), cloud.url, "mounted")
    assert now.cache.cap_bytes == 10 << 30
    assert now.drive.total_bytes is None
    assert now.sign_in is None
    assert "2.8 MiB in 1 entry" in repr(now)
    drive.flush()
    assert "everything is on the drive" in repr(drive.status())


def test_leaving_with_bytes_at_risk_is_said_with_their_number(serve, place, run):
    cloud = serve(*SLOW)
    code = f"""
from drivemount import drive
drive.mount({str(place)!r}, source={cloud.url!r}, token_file={cloud.token_file!r})
open({str(place / "a.bin")!r}, "wb").write(bytes(4 << 20))
"""
    done = run(code)
    assert done.returncode == 0
    assert done.stderr.startswith("drivemount: ")
    assert f" in 1 file at {place} are not on the drive yet. The mount outlives this program" in done.stderr
    # And so it does.
    assert place.is_mount()
    drive.flush(place, timeout=60)
    assert "a.bin" in names_on(cloud)


def test_leaving_with_everything_on_the_drive_is_silent(mount, place, run):
    mount()
    done = run(f"from drivemount import drive\ndrive.mount({str(place)!r})\ndrive.flush()")
    assert done.stderr == ""


def test_a_mount_that_hangs_delays_the_exit_by_little(mount, place, monkeypatch):
    mount()
    pid = pid_of(place)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        _session.warn_at_exit()
        assert time.monotonic() - began < 5
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_cannot_be_sent_is_said_once(serve, place, monkeypatch, capfd):
    cloud = serve("--quota", "1M")
    drive.mount(place, source=cloud.url, token_file=cloud.token_file)
    monkeypatch.setattr(_session, "EVERY", 0)
    _session.look()
    assert capfd.readouterr().err == ""
    for name in ("a.bin", "b.bin"):
        (place / name).write_bytes(os.urandom(2_000_000))
    with pytest.raises(drive.NotSent):
        drive.flush(timeout=30)
    _session.look()
    _session.look()
    said = capfd.readouterr().err
    assert said.startswith("drivemount: 2 files cannot be sent: a.bin (")
    assert said.count("cannot be sent") == 1
    _session.look()
    assert capfd.readouterr().err == ""


def test_a_sign_in_that_is_gone_is_said_once_with_the_way_back(monkeypatch, capfd):
    gone = {
        "state": "sign-in required",
        "source": "google",
        "sign_in": {"reason": "it was revoked", "remedy": "log in"},
    }
    well = {"state": "mounted", "source": "google"}
    answers = iter([gone, gone, well, gone])
    monkeypatch.setattr(_session, "EVERY", 0)
    monkeypatch.setattr(_session, "_owner", os.getpid())
    monkeypatch.setattr("drivemount._mounts.mounted_here", lambda: ["/content/drive"])
    monkeypatch.setattr("drivemount._status.ask", lambda *_, **__: drive.Status(next(answers)))
    line = "drivemount: sign-in required at /content/drive: it was revoked; drive.login() signs in again\n"
    for said in (line, "", "", line):
        _session.look()
        assert capfd.readouterr().err == said


def test_a_terminal_gets_a_bar_of_its_own(serve, place):
    from test_sign_in import in_terminal

    cloud = serve(*SLOW)
    code = f"""
import os
from drivemount import drive
drive.mount({str(place)!r}, source={cloud.url!r}, token_file={cloud.token_file!r})
open({str(place / "a.bin")!r}, "wb").write(os.urandom(3 << 20))
drive.flush()
"""
    ended, said = in_terminal(code, lambda *_: None)
    assert ended == 0
    assert "\rSending [" in said
    assert "of 3 MiB" in said or "/3 MiB" in said


def test_what_is_prefetched_needs_no_network(mount, place, cloud):
    mount(cache_dir=place.parent / "one")
    (place / "data").mkdir()
    (place / "data" / "a.bin").write_bytes(os.urandom(3_000_000))
    drive.flush_and_unmount()
    mount(cache_dir=place.parent / "two")
    drive.prefetch(place / "data")
    before = drive.status().traffic.downloaded_bytes
    assert len((place / "data" / "a.bin").read_bytes()) == 3_000_000
    assert drive.status().traffic.downloaded_bytes == before >= 3_000_000


def test_refresh_shows_at_once_what_was_made_elsewhere(mount, place, cloud):
    mount(cache_dir=place.parent / "one", poll_interval="1h")
    second = place.parent / "second"
    drive.mount(second, source=cloud.url, token_file=cloud.token_file, cache_dir=place.parent / "two")
    (second / "new.txt").write_text("new")
    drive.flush(second)
    drive.refresh(place)
    assert (place / "new.txt").read_text() == "new"
    drive.flush_and_unmount()
