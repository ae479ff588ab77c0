"""Signing in, with the embedded drive's own pages of consent and the real `drivemount login`."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from kernels import Kernel, executed

from drivemount import drive


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args, **kwargs):
        return None


def consent(link: str, decision: str = "allow") -> str:
    """Do at the page of consent what a person does; where the browser is sent then."""
    with urllib.request.urlopen(link) as answer:
        page = answer.read().decode()
    ticket = re.search(r'name="ticket" value="([^"]+)"', page)[1]
    form = urllib.parse.urlencode({"ticket": ticket, "drive": "on", "decision": decision}).encode()
    target = urllib.parse.urljoin(link, "/o/oauth2/consent")
    request = urllib.request.Request(target, form, {"Origin": target.removesuffix("/o/oauth2/consent")})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.build_opener(NoRedirect).open(request)
    caught.value.close()
    assert caught.value.code in (302, 303), page
    return caught.value.headers["Location"]


def follow(address: str) -> None:
    """Be the browser of this machine."""
    with urllib.request.urlopen(address) as answer:
        answer.read()


@pytest.fixture
def cloud(serve):
    return serve("--sign-in")


def cell(cloud, place) -> str:
    return (
        "from drivemount import drive\n"
        f"drive.mount({str(place)!r}, source={cloud.url!r}, client_file={cloud.client_file!r})"
    )


#: Consents as a browser on this machine would.
BROWSER = """
import sys
sys.path.insert(0, {tests!r})
import test_sign_in
test_sign_in.follow(test_sign_in.consent(sys.argv[1]))
"""


@pytest.fixture
def browser(tmp_path):
    program = tmp_path / "browser"
    code = BROWSER.format(tests=os.path.dirname(__file__))
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(0o755)
    return str(program)


def test_a_browser_named_by_its_variable_signs_in_and_it_is_mounted(cloud, place, browser, monkeypatch, capfd):
    monkeypatch.setenv("BROWSER", browser)
    monkeypatch.setattr("drivemount._notebook.is_terminal", lambda: False)
    drive.mount(place, source=cloud.url, client_file=cloud.client_file)
    assert capfd.readouterr().out == f"Signed in as owner@drive.localhost\nMounted at {place}\n"
    drive.flush_and_unmount()
    # It is remembered.
    monkeypatch.delenv("BROWSER")
    drive.mount(place, source=cloud.url)


def test_a_program_that_nobody_watches_is_told_the_ways_without_a_prompt(cloud, place, run):
    done = run(cell(cloud, place))
    assert "SignInRequired: mount failed: sign-in required" in done.stderr
    for way in ("token_file=", "service_account_file=", "drivemount login"):
        assert way in done.stderr
    assert not place.is_mount()


def test_a_credential_that_is_refused_asks_nobody(cloud, place, browser, monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER", browser)
    (tmp_path / "token").write_text("wrong")
    with pytest.raises(drive.SignInRequired, match="^mount failed: "):
        drive.mount(place, source=cloud.url, token_file=tmp_path / "token")


def test_a_drive_without_a_client_says_how_to_make_one(cloud, place, monkeypatch):
    monkeypatch.setenv("BROWSER", "true")
    with pytest.raises(ValueError, match="^mount failed: .*client"):
        drive.mount(place, source=cloud.url)


def in_terminal(code: str, act) -> tuple[int, str]:
    """Run a program at a terminal; `act` gets all that it says until it ends, and what writes to it."""
    control, terminal = pty.openpty()
    program = subprocess.Popen([sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said, end = "", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([control], [], [], 0.1)[0]:
            try:
                said += os.read(control, 65536).decode()
            except OSError:
                break
            act(said, lambda text: os.write(control, text.encode()))
    program.kill() if program.poll() is None and time.monotonic() >= end else None
    os.close(control)
    return program.wait(), said


class Person:
    """Reacts to the link once."""

    def __init__(self, then) -> None:
        self.then, self.steps = then, 0

    def __call__(self, said: str, write) -> None:
        link = re.search(r"(http://\S+/o/oauth2/auth\S+)\s", said)
        if link and said.rstrip().endswith("Address or code:") and said.count("Address or code:") > self.steps:
            self.steps += 1
            self.then(self.steps, link[1], write)


def test_at_a_terminal_the_address_is_pasted(cloud, place):
    def paste(step, link, write):
        write("nonsense\n" if step == 1 else consent(link) + "\n")

    person = Person(paste)
    code, said = in_terminal(cell(cloud, place), person)
    assert code == 0, said
    assert person.steps == 2
    assert f"Mounted at {place}" in said


def test_at_a_terminal_a_browser_of_this_machine_is_enough(cloud, place):
    def browse(step, link, write):
        threading.Thread(target=lambda: follow(consent(link))).start()

    code, said = in_terminal(cell(cloud, place), Person(browse))
    assert code == 0, said
    assert f"Mounted at {place}" in said


def test_who_denies_is_not_signed_in(cloud, place):
    def deny(step, link, write):
        threading.Thread(target=lambda: follow(consent(link, "deny"))).start()

    code, said = in_terminal(cell(cloud, place), Person(deny))
    assert code == 1
    assert "SignInRequired: mount failed: " in said


def test_in_a_notebook_the_link_is_a_link_and_the_address_goes_into_a_box(cloud, place):
    with Kernel() as kernel:
        answers = iter(["nonsense", None])

        def answer(prompt):
            assert prompt.startswith("Paste the address or code here")
            return next(answers) or consent(kernel.link())

        kernel.run(cell(cloud, place), answer)
        assert 'target="_blank"' in kernel.shown_first()
        assert "Signed in as owner@drive.localhost" in kernel.html()
        assert "/o/oauth2/auth" not in kernel.html()
        assert "code=" not in str(
            [message["content"] for message in kernel.messages if message["msg_type"] == "stream"]
        )
        assert kernel.stdout() == f"Mounted at {place}\n"


def test_in_a_notebook_a_browser_of_this_machine_ends_the_box_by_itself(cloud, place):
    with Kernel() as kernel:

        def browse(prompt):
            follow(consent(kernel.link()))

        kernel.run(cell(cloud, place), browse)
        # A frontend that runs scripts was asked to press Enter; nothing of that is left in the notebook.
        assert any("KeyboardEvent" in str(message["content"]) for message in kernel.messages)
        assert "<script" not in kernel.html()
        assert "Signed in as owner@drive.localhost" in kernel.html()
        assert kernel.stdout() == f"Mounted at {place}\n"
        # The kernel is none the worse for the interrupt.
        kernel.run("import time; time.sleep(0.5); print('well')")
        assert kernel.stdout() == "well\n"


def test_in_a_notebook_who_stops_the_cell_stops_the_sign_in(cloud, place):
    with Kernel() as kernel:
        kernel.run(cell(cloud, place), lambda prompt: kernel.interrupt(), error="KeyboardInterrupt")
        assert "Not signed in" in kernel.html()


def test_a_notebook_that_a_program_executes_does_not_wait_for_anybody(cloud, place):
    _, error = executed([cell(cloud, place)])
    assert error.ename == "SignInRequired"
    assert "token_file=" in error.evalue


def test_a_notebook_that_a_program_executes_signs_in_with_the_browser_it_names(cloud, place, browser, monkeypatch):
    monkeypatch.setenv("BROWSER", browser)
    outputs, error = executed([cell(cloud, place)])
    assert error is None, error
    assert outputs[0][-1]["text"].endswith(f"Mounted at {place}\n")
