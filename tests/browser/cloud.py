"""An embedded drive with a person's sign-in, and what is on it, asked of the drive itself and not through a mount."""

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

ROOT = "root"


@dataclass(frozen=True)
class Cloud:
    """A drive that runs, and the folder with its data."""

    url: str
    data: Path

    @property
    def client_file(self):
        """What Google's console would hand out for an app."""
        return self.data / "client-secret.json"

    @property
    def token_file(self):
        return self.data / "token"

    def get(self, path, **query):
        """The bytes that the API answers."""
        address = f"{self.url}{path}?{urlencode(query)}"
        token = self.token_file.read_text().strip()
        with urlopen(Request(address, headers={"Authorization": f"Bearer {token}"}), timeout=60) as answer:
            return answer.read()

    def children(self, folder):
        """The files in a folder, by name."""
        query = {"q": f"'{folder}' in parents and trashed = false", "pageSize": 1000}
        answer = json.loads(self.get("/drive/v3/files", fields="files(id,name,mimeType,md5Checksum)", **query))
        return {file["name"]: file for file in answer["files"]}

    def find(self, path):
        """A file by its path."""
        folder = ROOT
        for name in path.split("/"):
            file = self.children(folder)[name]
            folder = file["id"]
        return file

    def content(self, file):
        return self.get(f"/drive/v3/files/{file['id']}", alt="media")


@contextmanager
def cloud(drivemount, data):
    """A drive whose data are in this folder; it ends with the block."""
    command = [drivemount, "serve", "--data", data, "--sign-in"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        if "ready at " not in ready:
            raise RuntimeError(f"the drive does not start: {ready}")
        yield Cloud(ready.split("ready at ")[1].split()[0], Path(data))
    finally:
        server.terminate()
        server.wait()
