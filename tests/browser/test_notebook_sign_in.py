"""Signing in from a cell: what a person sees and does, with a real Jupyter and a real Chromium."""

import subprocess

import nbformat
import pytest

from conftest import link_in
from runtime import Session

MOUNT = "from drivemount import drive"


@pytest.fixture
def cell(clouds, runtimes, tmp_path):
    """Executes one cell that mounts, on a machine where nobody has signed in; returns the session."""

    def execute(answer):
        cloud = clouds()
        runtime = runtimes(DRIVEMOUNT_API_URL=cloud.url, DRIVEMOUNT_CLIENT_FILE=str(cloud.client_file))
        source = f"{MOUNT}\n\ndrive.mount({str(tmp_path / 'drive')!r})"
        path = tmp_path / "one.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
        session = Session(runtime, path, answer)
        try:
            session.run()
        except Exception as error:
            session.error = str(error)
        return session

    return execute


def mounted(session):
    return f"Mounted at {session.runtime.folder.parent}/drive" in session.output(MOUNT)


def test_what_is_pasted_into_the_box_signs_in(cell, paste):
    session = cell(paste)
    assert mounted(session)
    assert "owner@drive.localhost" in session.output(MOUNT, "text/html")
    assert "code=" not in session.output(MOUNT, "text/html"), "the link is gone"


def test_a_browser_on_this_machine_ends_the_question(cell, browser):
    def answer(_, shown):
        subprocess.run([browser(), link_in(shown)], check=True)

    assert mounted(cell(answer))


def test_what_cannot_be_used_is_asked_for_again(cell, paste):
    typed = iter(["http://127.0.0.1/?nothing=1"])
    asked = []

    def answer(question, shown):
        asked.append(shown)
        return next(typed, None) or paste(question, shown)

    assert mounted(cell(answer))
    assert len(asked) == 2 and asked[1] != asked[0], "it says why it asks again"


def test_who_denies_in_a_browser_on_this_machine_gets_an_error_with_what_to_do(cell, browser):
    def answer(_, shown):
        subprocess.run([browser("--deny"), link_in(shown)], check=True)

    session = cell(answer)
    assert "allow" in session.error and "SignInRequired" in session.error


def test_a_notebook_that_nobody_watches_says_how_to_sign_in_without_a_prompt(cell):
    session = cell(None)
    assert "DRIVEMOUNT_SERVICE_ACCOUNT_FILE" in session.error
