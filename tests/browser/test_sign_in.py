"""`drivemount login`, with the embedded drive's consent page in a real Chromium."""

import json
import os
import re

import pytest

SIGN_IN_REQUIRED = 3


class Login:
    """A login that a program follows (`--json`)."""

    def __init__(self, runtime, cloud, *options):
        self.process = runtime.start("login", cloud.url, "--client-file", cloud.client_file, "--json", "--no-browser", *options)

    def next(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def paste(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def exit_code(self):
        return self.process.wait(timeout=60)


@pytest.fixture
def login(runtimes, clouds):
    logins = []

    def begin(*options):
        logins.append(Login(runtimes(), clouds(), *options))
        return logins[-1]

    yield begin
    for one in logins:
        one.process.kill()
        one.process.communicate()


def sign_in(runtime, cloud, browser, *options):
    """Signs in with a browser on the same machine."""
    return runtime.run("login", cloud.url, "--client-file", cloud.client_file, *options, BROWSER=browser)


def stored(runtime, account="default"):
    """Where a sign-in is stored."""
    return runtime.home / ".config" / "drivemount" / "accounts" / f"{account}.json"


def mount(runtime, cloud, mountpoint, *options):
    mountpoint.mkdir(exist_ok=True)
    runtime.works("mount", cloud.url, mountpoint, *options)
    return mountpoint


def test_a_browser_on_this_machine_brings_the_answer_back_by_itself(clouds, runtimes, browser, tmp_path):
    cloud, runtime = clouds(), runtimes()
    done = sign_in(runtime, cloud, browser())
    assert done.returncode == 0, done
    assert "owner@drive.localhost" in done.stdout + done.stderr, "it says who signed in"
    assert stored(runtime).stat().st_mode & 0o777 == 0o600
    drive = mount(runtime, cloud, tmp_path / "drive")
    (drive / "note.txt").write_text("written through the mount")
    runtime.works("flush", drive)
    assert cloud.content(cloud.find("note.txt")) == b"written through the mount"


def test_the_address_that_a_browser_elsewhere_shows_is_pasted_back(login, visit):
    it = login()
    event = it.next()
    assert event["event"] == "link"
    address = visit(event["url"])
    assert re.match(r"http://127\.0\.0\.1:\d+/", address)
    it.paste("no address")
    assert it.next()["event"] == "again"
    it.paste(address)
    assert it.next() == {"event": "done", "account": "default", "email": "owner@drive.localhost"}
    assert it.exit_code() == 0


def test_the_code_alone_is_enough(login, visit):
    it = login()
    address = visit(it.next()["url"])
    it.paste(re.search(r"[?&]code=([^&]+)", address)[1])
    assert it.next()["event"] == "done"


def test_a_browser_on_this_machine_answers_while_a_program_waits_for_a_paste(login, browser):
    it = login()
    assert os.spawnl(os.P_WAIT, browser(), "browser", it.next()["url"]) == 0
    assert it.next()["event"] == "done"
    assert it.exit_code() == 0


def test_who_denies_is_told_what_to_do(clouds, runtimes, browser):
    cloud, runtime = clouds(), runtimes()
    done = sign_in(runtime, cloud, browser("--deny"))
    assert done.returncode == SIGN_IN_REQUIRED, done
    assert "drivemount login" in done.stderr, done.stderr
    assert not stored(runtime).exists()


def test_after_a_denial_that_is_pasted_back_the_same_link_can_be_allowed(login, visit):
    it = login()
    link = it.next()["url"]
    it.paste(visit(link, "--deny"))
    event = it.next()
    assert event["event"] == "again" and "allow" in event["message"], event
    it.paste(visit(link))
    assert it.next()["event"] == "done"


def test_a_read_only_sign_in_asks_for_the_read_only_scope(login, visit, tmp_path):
    it = login("--read-only")
    link = it.next()["url"]
    assert "drive.readonly" in link
    it.paste(visit(link))
    assert it.next()["event"] == "done"


def test_two_accounts_are_mounted_at_once_with_caches_of_their_own(clouds, runtimes, browser, tmp_path):
    runtime = runtimes()
    drives = {name: clouds(f"cloud-{name}") for name in ("default", "work")}
    for name, cloud in drives.items():
        done = sign_in(runtime, cloud, browser(), "--account", name)
        assert done.returncode == 0, done
    accounts = runtime.works("accounts")
    assert "default" in accounts and "work" in accounts, accounts
    places = {name: mount(runtime, cloud, tmp_path / name, "--account", name) for name, cloud in drives.items()}
    for name, place in places.items():
        (place / "whose.txt").write_text(name)
    states = {name: json.loads(runtime.works("status", place, "--json")) for name, place in places.items()}
    assert len({state["cache"]["dir"] for state in states.values()}) == 2, states
    for name, place in places.items():
        runtime.works("unmount", place)
        assert drives[name].content(drives[name].find("whose.txt")) == name.encode()


def test_a_stored_sign_in_can_be_carried_to_another_machine(clouds, runtimes, browser, tmp_path):
    cloud, here, there = clouds(), runtimes("here"), runtimes("there")
    assert sign_in(here, cloud, browser()).returncode == 0
    stored(there).parent.mkdir(parents=True)
    # As a secret of Kubernetes is there.
    stored(there).symlink_to(stored(here))
    drive = tmp_path / "drive"
    drive.mkdir()
    there.works("mount", drive)
    (drive / "note.txt").write_text("from another machine")
    there.works("unmount", drive)
    assert cloud.content(cloud.find("note.txt")) == b"from another machine"
