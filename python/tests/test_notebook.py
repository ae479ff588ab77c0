"""What a notebook shows, with real kernels."""

from __future__ import annotations

import os

from kernels import Kernel, executed

SLOW = ("--trouble", "*:bandwidth,up=1M,shared=true")


def cell(cloud, place) -> str:
    return (
        "from drivemount import drive\n"
        f"drive.mount({str(place)!r}, source={cloud.url!r}, token_file={cloud.token_file!r})"
    )


def test_the_two_lines_of_the_tutorial_mount(cloud, place, monkeypatch):
    monkeypatch.setenv("DRIVEMOUNT_API_URL", cloud.url)
    monkeypatch.setenv("DRIVEMOUNT_TOKEN_FILE", cloud.token_file)
    first = f"from google.colab import drive\ndrive.mount('{place}')"
    outputs, error = executed([f"import drivemount.colab\n{first}", f"!ls -d {place}/MyDrive", first])
    assert error is None, error
    assert outputs[0][0]["text"] == f"Mounted at {place}\n"
    assert outputs[1][0]["text"].strip() == f"{place}/MyDrive"
    assert outputs[2][0]["text"].startswith(f"Drive already mounted at {place}; ")


def test_errors_are_plain_though_kernels_force_colors(cloud, place):
    for option, kind, text in (
        ("cache_syze='1'", "TypeError", "mount() got an unexpected keyword argument 'cache_syze'"),
        ("cache_size='much'", "DriveError", "mount failed: invalid value 'much' for '--cache-size"),
    ):
        _, error = executed([cell(cloud, place)[:-1] + f", {option})"])
        assert error.ename == kind
        assert error.evalue.startswith(text)
        assert "\x1b" not in error.evalue
        assert "Usage" not in error.evalue


def test_the_status_is_a_small_table(cloud, place):
    cells = [
        cell(cloud, place),
        f"open('{place}/<b>.txt', 'w').write('x' * 1000)\ndrive.status()",
        "drive.flush()\ndrive.status()",
    ]
    outputs, error = executed(cells)
    assert error is None, error
    risky, safe = (outputs[n][-1]["data"]["text/html"] for n in (1, 2))
    assert "1000 B in 1 entry" in risky
    assert "&lt;b&gt;.txt" in risky
    assert "everything is on the drive" in safe
    order = [safe.index(f">{name}<") for name in ("At risk", "Traffic", "Cache", "Drive", "Account")]
    assert order == sorted(order)


def test_long_work_shows_a_bar(serve, place):
    cloud = serve(*SLOW)
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.run(f"import os; open('{place}/a.bin', 'wb').write(os.urandom(4 << 20))")
        kernel.run("drive.flush()")
        drawn = [m["content"]["data"]["text/html"] for m in kernel.messages if m["msg_type"] == "update_display_data"]
        assert any("of 4 MiB, 1 entry" in html for html in drawn), drawn
        assert "is on the drive (4 MiB, " in kernel.html()
        kernel.run("drive.flush()")
        assert kernel.html() == ""


def test_a_kernel_that_ends_with_bytes_at_risk_says_so_and_the_mount_goes_on(serve, place):
    cloud = serve(*SLOW)
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.run(f"import os; open('{place}/a.bin', 'wb').write(os.urandom(4 << 20))")
        kernel.shut_down()
        assert f" in 1 file at {place} are not on the drive yet. The mount outlives this kernel" in kernel.stderr()
    assert place.is_mount()
    assert (place / "a.bin").stat().st_size == 4 << 20


def test_a_kernel_that_ends_with_everything_on_the_drive_says_nothing(cloud, place):
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.shut_down()
        assert kernel.stderr() == ""


def test_the_cell_after_a_failed_upload_says_so_once(serve, place):
    cloud = serve("--quota", "1M")
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.run("from drivemount import _session; _session.EVERY = 0")
        assert kernel.stderr() == ""
        kernel.run(f"import os; open('{place}/a.bin', 'wb').write(os.urandom(2 << 20))")
        kernel.run("drive.flush(timeout=30)", error="NotSent")
        kernel.run("1 + 1")
        said = [kernel.stderr()]
        kernel.run("1 + 1")
        said.append(kernel.stderr())
        assert said[-1] == ""


def test_a_cell_is_hardly_slower_for_the_look_after_it(cloud, place):
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.run(
            "import time, drivemount._session as s\n"
            "began = time.perf_counter()\n"
            "for _ in range(1000): s.look()\n"
            "print((time.perf_counter() - began) / 1000 < 1e-4)"
        )
        assert kernel.stdout() == "True\n"


def test_the_stop_button_ends_a_wait(serve, place):
    import threading

    cloud = serve(*SLOW)
    with Kernel() as kernel:
        kernel.run(cell(cloud, place))
        kernel.run(f"import os; open('{place}/a.bin', 'wb').write(os.urandom(8 << 20))")
        threading.Timer(2, kernel.interrupt).start()
        kernel.run("drive.flush()", error="KeyboardInterrupt")
        kernel.run("print(drive.status().state)")
        assert kernel.stdout() == "mounted\n"
    assert os.path.ismount(place)
