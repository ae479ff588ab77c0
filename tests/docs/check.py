"""Checks that the documentation is true. Started by scripts/check-docs.

Each block of shell commands (```console, commands begin with `$ `) has a comment before it that says what becomes of it:

    <!-- run -->                 each command succeeds
    <!-- run: exit 4 -->         the last one ends with that code
    <!-- run: stays -->          the first one runs on until the end of the page; it is ready when it says something
    <!-- not run: REASON -->     REASON is one of REASONS
    <!-- before: COMMAND -->     runs COMMAND first, which the reader of the page has done already; may be there again

A block without one is an error. Lines between the commands are what these print, in that order; more may be printed, and `…` stands
for anything.

A page is read by a new user on a new machine: an empty home folder, nothing mounted, empty /content and /mnt, and in the working
folder the files `token` and `client_secret.json`. Google Drive is played by an embedded drive with the data set of the demo on it:
$DRIVEMOUNT_API_URL names it to all commands but those that name a drive of their own (http://, local:), and it is where one signs in;
who is asked in the browser allows it. All commands of a page go to one shell.

Each ```text block of docs/TROUBLESHOOTING.md quotes messages of ours: each piece of a line between `…` must be in a text in src/.
"""

import argparse
import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("DRIVEMOUNT", str(TOP / "target/debug/drivemount"))

# Why a block may not be run. What needs something that no machine of ours has is read by people before each release.
REASONS = {
    "needs a Google account",
    "needs a browser",
    "needs a hosted notebook",
    "needs Docker",
    "needs Kubernetes",
    "needs systemd",
    "changes the machine",
    "holds a placeholder",
    "takes too long",
    "scripts/test runs it",
}

# Longer than any command in the documentation takes, shorter than anybody's patience.
PATIENCE = 180

# Flags of other programs that stand alone in prose.
OTHER_FLAGS = {"--cap-add", "--device", "--network", "--security-opt"}

# Those of our scripts stand in the comments at their heads.
for script in (TOP / "scripts").iterdir():
    head = script.read_text().split("\n\n")[0]
    OTHER_FLAGS.update(re.findall(r"--[a-z][a-z-]+", "".join(re.findall(r"(?m)^#.*", head))))

# Variables of ours that people never set, or that only programs of ours read.
OTHER_VARIABLES = re.compile(r"DRIVEMOUNT_TEST_\w+")


class Failure(Exception):
    pass


# What pages say ------------------------------------------------------------------------------------------------------------------


class Block:
    """A block of code in a page."""

    def __init__(self, line, language, comments, text):
        self.line, self.language, self.comments, self.text = line, language, comments, text

    def commands(self):
        """Its commands, each with the lines that it prints."""
        commands = []
        for line in self.text:
            if line.startswith("$ "):
                commands.append([line[2:], []])
            elif commands and commands[-1][0].endswith("\\"):
                commands[-1][0] += "\n" + line
            elif commands:
                commands[-1][1].append(line)
            else:
                raise Failure(f"line {self.line}: the block begins with what no command printed")
        return commands


def blocks(text):
    """The blocks of a page."""
    found, comments, lines = [], [], enumerate(text.splitlines(), 1)
    for number, line in lines:
        fence = re.match(r"^(\s*)```(\w*)\s*$", line)
        if fence:
            indent, body = len(fence[1]), []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                body.append(inner[indent:] if not inner[:indent].strip() else inner)
            found.append(Block(number, fence[2], comments, body))
            comments = []
        elif comment := re.match(r"^\s*<!--\s*(.*?)\s*-->\s*$", line):
            comments.append(comment[1])
        elif line.strip():
            comments = []
    return found


def prose(text):
    """A page without its blocks."""
    return re.sub(r"^\s*```.*?^\s*```\s*$", "", text, flags=re.S | re.M)


# What the program has ------------------------------------------------------------------------------------------------------------


class Reference:
    """The flags of each command, and the variables, as the program tells them."""

    def __init__(self):
        text = subprocess.run([PROGRAM, "reference"], check=True, capture_output=True, text=True).stdout
        self.flags, command = {}, None
        for line in text.splitlines():
            if heading := re.match(r"^#+ drivemount (.+)$", line):
                command = heading[1]
                self.flags[command] = {"--help", "--version"}
            elif re.match(r"^#+ ", line):
                command = None
            elif command and line.startswith("Also: "):
                self.flags |= {alias: self.flags[command] for alias in re.findall(r"`drivemount ([^`]+)`", line)}
            elif command and (flag := re.match(r"^- `(?:-\w, )?(--[\w-]+)", line)):
                self.flags[command].add(flag[1])
        self.variables = set(re.findall(r"\bDRIVEMOUNT_\w+", text))
        self.all_flags = set().union(*self.flags.values())
        self.hidden = {"daemon", "reference", "ask"}

    def has_command(self, name):
        return name in self.flags or name in self.hidden

    def check_line(self, line, problem):
        """Checks a command line: what follows the name of the program, up to the next command of a shell."""
        for part in re.split(r"(?<!from )\bdrivemount(?= )", line)[1:]:
            part = re.split(r"[|;&<>)`]", part)[0]
            words = part.split()
            name = next((word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")), None)
            if not words or name != words[0].strip(".,:"):
                continue
            if not self.has_command(name):
                problem(f"`drivemount {name}` is no command")
                continue
            below = f"{name} {words[1]}" if len(words) > 1 and f"{name} {words[1]}" in self.flags else name
            self.check_flags(words, below, problem)

    def check_flags(self, words, command, problem):
        known = self.flags.get(command)
        for word in words:
            flag = re.match(r"--[a-z][a-z-]+", word)
            if flag and known is not None and flag[0] not in known:
                problem(f"{flag[0]} is no flag of `drivemount {command}`")

    def check_span(self, span, problem):
        """Checks a piece of code in the prose."""
        if flag := re.match(r"^--[a-z][a-z-]+", span):
            if flag[0] not in self.all_flags | OTHER_FLAGS:
                problem(f"{flag[0]} is a flag of no command")
        elif "drivemount " in span:
            self.check_line(span, problem)
        elif (name := span.split(" ")[0]) in self.flags and name != "mount":
            self.check_flags(span.split(), name, problem)


def check_words(text, reference, problem):
    """Checks the flags, commands and variables that a page mentions."""
    rest = prose(text)
    for span in re.findall(r"`([^`\n]+)`", rest):
        reference.check_span(span, problem)
    for flag in re.findall(r"(?<![\w`-])--[a-z][a-z-]+", re.sub(r"`[^`\n]*`|<!--.*?-->", "", rest, flags=re.S)):
        if flag not in reference.all_flags | OTHER_FLAGS:
            problem(f"{flag} is a flag of no command")
    for block in blocks(text):
        for line in "\n".join(block.text).replace("\\\n", " ").splitlines():
            if block.language in ("console", "bash", "sh", ""):
                reference.check_line(re.sub(r"\s#\s.*", "", line), lambda what, at=block.line: problem(f"line {at}: {what}"))
    for variable in set(re.findall(r"\bDRIVEMOUNT_\w+", text)):
        known = variable in reference.variables or OTHER_VARIABLES.fullmatch(variable)
        if not known and not variable.endswith("_"):
            problem(f"{variable} is no variable of ours")


# Links ---------------------------------------------------------------------------------------------------------------------------


def anchors(text):
    """The places in a page that links can lead to, as GitHub names them."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?)\s*$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), flags=re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(name)
    return found


def check_links(page, text, problem):
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"^(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists():
            problem(f"the link to {target} leads nowhere")
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text()):
            problem(f"the link to {target}: there is no such heading")


# Messages ------------------------------------------------------------------------------------------------------------------------


def texts_in_source():
    """All texts in the source."""
    texts = []
    for path in sorted((TOP / "src").rglob("*.rs")):
        # Neither a comment nor a quote as a single character begins a text.
        source = re.sub(r"^\s*//.*$", "", path.read_text(), flags=re.M)
        source = re.sub(r"""'\\?"'""", "", re.sub(r'r#"(.*?)"#', "", source, flags=re.S))
        for text in re.findall(r'"((?:[^"\\]|\\.)*)"', source, flags=re.S):
            text = re.sub(r"\\\n\s*", "", text)
            texts.append(text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\"))
    return texts


def check_messages(text, problem):
    texts = texts_in_source()
    for block in blocks(text):
        if block.language != "text":
            continue
        for line in block.text:
            for piece in filter(None, (piece.strip(" :;,.()") for piece in line.split("…"))):
                if not any(piece in text for text in texts):
                    problem(f"line {block.line}: no text in src/ has {piece!r}")


# Commands ------------------------------------------------------------------------------------------------------------------------


class Drive:
    """An embedded drive that plays Google's."""

    def __init__(self, folder):
        self.folder = folder
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--sign-in", "--data", str(folder / "cloud")], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        ready = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", ready)[0]
        self.token = (folder / "cloud/token").read_text()

    def fill(self):
        """Puts the data set of the demo on it."""
        place, cache = self.folder / "filling", self.folder / "filling-cache"
        token = self.folder / "cloud/token"
        for words in (
            ["mount", self.url, str(place), "--token-file", str(token), "--cache-dir", str(cache)],
            ["demo", "--sample", str(place)],
            ["unmount", str(place)],
        ):
            subprocess.run([PROGRAM, *words], check=True, capture_output=True, text=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Shell:
    """The shell of the reader of a page."""

    END = "this-command-ended-with"

    def __init__(self, home, drive):
        work = home / "work"
        work.mkdir()
        (work / "token").write_text(drive.token)
        (work / "token").chmod(0o600)
        shutil.copy(drive.folder / "cloud/client-secret.json", work / "client_secret.json")
        foreign = ("DRIVEMOUNT", "XDG_", "KUBERNETES", "GOOGLE_", "COLAB", "KAGGLE")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        programs = [str(pathlib.Path(PROGRAM).parent), str(pathlib.Path(sys.executable).parent), environment["PATH"]]
        browser = f"{sys.executable} -B {pathlib.Path(__file__).with_name('consent.py')}"
        environment |= {"HOME": str(home), "PATH": ":".join(programs), "BROWSER": browser}
        self.url, self.staying = drive.url, 0
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=work, env=environment, start_new_session=True, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )

    def run(self, command):
        """Runs a command; says its exit code and what it printed."""
        drive = "" if re.search(r"\b(http|https|local):", command) else self.url
        self.process.stdin.write(
            f"export DRIVEMOUNT_API_URL={drive}\n{{ {command}\n}} </dev/null\nprintf '\\n%s %s\\n' {self.END} $?\n"
        )
        self.process.stdin.flush()
        return self.read(command)

    def read(self, command):
        printed = []
        signal.alarm(PATIENCE)
        try:
            for line in self.process.stdout:
                if line.startswith(self.END):
                    return int(line.split()[1]), printed
                printed.append(line.rstrip("\n"))
        except TimeoutError as error:
            raise Failure(f"$ {command}\ndid not end within {PATIENCE} s") from error
        finally:
            signal.alarm(0)
        raise Failure(f"$ {command}\nended the shell")

    def start(self, command):
        """Starts a command that runs on; says the first line that it prints."""
        self.staying += 1
        said = f"$HOME/.said-{self.staying}"
        return self.run(
            f"mkfifo {said}; {{ {command}\n}} >{said} 2>&1 & exec {{descriptor}}<>{said}; "
            f"read -r -t 30 -u $descriptor first; echo \"$first\""
        )

    def end(self):
        # With all that it started and that stays; mounts have left its group.
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.communicate()


def mounts():
    """The mounts of ours that this process sees."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if " fuse.drivemount " in line]


def printed_as_shown(shown, printed):
    """The first line that is shown and was not printed."""
    rest = iter(printed)
    for line in filter(str.strip, shown):
        pattern = re.compile(".*".join(re.escape(piece) for piece in line.strip().split("…")))
        if not any(pattern.fullmatch(other.strip()) for other in rest):
            return line
    return None


def run_block(block, shell, how):
    expected = int(how.split()[-1]) if how.startswith("run: exit ") else 0
    commands = block.commands()
    for number, (command, shown) in enumerate(commands):
        start = how == "run: stays" and number == 0
        code, printed = shell.start(command) if start else shell.run(command)
        want = expected if number == len(commands) - 1 else 0
        everything = "\n".join(printed)
        if code != want:
            raise Failure(f"line {block.line}: $ {command}\nended with {code} and not {want}:\n{everything}")
        if missing := printed_as_shown(shown, printed):
            raise Failure(f"line {block.line}: $ {command}\ndid not print {missing!r}, but:\n{everything}")
    return len(commands)


def how_of(block):
    hows = [comment for comment in block.comments if re.match(r"(run|not run)\b", comment)]
    if len(hows) != 1:
        raise Failure(f"line {block.line}: a block of commands without a comment that says how it is run (see tests/docs/check.py)")
    how = hows[0]
    reason = how.removeprefix("not run: ")
    if how.startswith("not run") and reason not in REASONS:
        raise Failure(f"line {block.line}: {how!r}; a reason is one of {', '.join(sorted(REASONS))}")
    if how.startswith("run") and not re.fullmatch(r"run(: exit \d+|: stays)?", how):
        raise Failure(f"line {block.line}: {how!r} is no way to run a block")
    return how


def run_page(text):
    """Runs the commands of a page. Says how many were run, and how many blocks were not."""
    console = [(block, how_of(block)) for block in blocks(text) if block.language == "console"]
    ran, left = 0, sum(how.startswith("not") for _, how in console)
    if all(how.startswith("not") for _, how in console):
        return ran, left
    with tempfile.TemporaryDirectory(prefix="drivemount-docs.") as folder:
        folder = pathlib.Path(folder)
        home = folder / "home"
        home.mkdir()
        drive = Drive(folder)
        shell = None
        before = mounts()
        try:
            drive.fill()
            shell = Shell(home, drive)
            for block, how in console:
                if how.startswith("not"):
                    continue
                for comment in block.comments:
                    if comment.startswith("before: "):
                        command = comment.removeprefix("before: ")
                        code, printed = shell.run(command)
                        if code:
                            raise Failure(f"line {block.line}: before: {command}\nended with {code}:\n" + "\n".join(printed))
                ran += run_block(block, shell, how)
        finally:
            for place in set(mounts()) - set(before):
                subprocess.run([PROGRAM, "unmount", place, "--timeout", "10s"], capture_output=True)
                subprocess.run(["umount", "-l", place], capture_output=True)
            if shell:
                shell.end()
            drive.stop()
    return ran, left


def own_machine():
    """Goes on in a place of its own for mounts, with an empty /content and /mnt, and with all ports of this machine free."""
    if os.environ.get("DRIVEMOUNT_DOCS_APART") != "yes":
        words = ["unshare", "--mount", "--net", "--propagation", "private"]
        if os.geteuid() != 0:
            words.append("--map-root-user")
        os.environ["DRIVEMOUNT_DOCS_APART"] = "yes"
        os.execvp("unshare", [*words, sys.executable, "-B", *sys.argv])
    # netdevice(7): takes the flags of `lo` (SIOCGIFFLAGS), and sets them with IFF_UP (SIOCSIFFLAGS).
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        name, flags = struct.unpack("16sH", fcntl.ioctl(anything, 0x8913, struct.pack("16sH14x", b"lo", 0))[:18])
        fcntl.ioctl(anything, 0x8914, struct.pack("16sH14x", name, flags | 1))
    # What others have mounted is none of the reader's: it goes from here, and stays where it is.
    for place in mounts():
        subprocess.run(["umount", "-l", place], check=True)
    for place in ("/content", "/mnt"):
        if not os.path.isdir(place):
            os.mkdir(place)
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without-running", action="store_true", help="only look for flags, links and messages")
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()

    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    if not arguments.without_running:
        own_machine()
    pages = arguments.pages or [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
    reference, failures = Reference(), []
    for page in (page.resolve() for page in pages):
        name, text = os.path.relpath(page, TOP), page.read_text()

        def problem(what):
            failures.append(f"{name}: {what}")

        check_words(text, reference, problem)
        check_links(page, text, problem)
        if page.name == "TROUBLESHOOTING.md":
            check_messages(text, problem)
        told = ""
        if not arguments.without_running:
            try:
                ran, left = run_page(text)
                told = f"  {ran} commands run" + (f", {left} blocks not run" if left else "") if ran or left else ""
            except Failure as failure:
                problem(failure)
        print(f"{name}{told}", flush=True)
    for failure in failures:
        print(f"\n{failure}", file=sys.stderr)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
