"""Uses a drive with Google's own Python client while it is mounted: each sees what the other does, without a remount.

Takes DRIVE_URL, DRIVE_TOKEN and MOUNT (the mountpoint) from the environment. Ends with 0, or with a message and 1.
"""

import io
import os
import sys
import time
from pathlib import Path

from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload, MediaIoBaseUpload

from contract import Failure, connect, expect
from official_client import FOLDER

MOUNT = Path(os.environ["MOUNT"])

# Far beyond what it takes: a bound against hanging, not a measure.
SOON = 60


def eventually(what, look):
    end = time.monotonic() + SOON
    while not look():
        expect(time.monotonic() < end, f"did not come true: {what}")
        time.sleep(0.02)


def names(drive, folder):
    query = f"'{folder}' in parents and trashed = false"
    found, token = [], None
    while True:
        page = drive.files().list(q=query, pageSize=3, pageToken=token, fields="nextPageToken,files(name)").execute()
        found += [file["name"] for file in page["files"]]
        token = page.get("nextPageToken")
        if not token:
            return sorted(found)


def find(drive, name):
    found = drive.files().list(q=f"name = '{name}' and trashed = false", fields="files(id,name,md5Checksum,size)").execute()["files"]
    return found[0] if found else None


def download(drive, file):
    buffer = io.BytesIO()
    loader = MediaIoBaseDownload(buffer, drive.files().get_media(fileId=file), chunksize=1 << 20)
    done = False
    while not done:
        _, done = loader.next_chunk()
    return buffer.getvalue()


def main():
    drive, _ = connect(os.environ["DRIVE_URL"], os.environ["DRIVE_TOKEN"])
    expect(os.listdir(MOUNT) == [], "the drive is not empty")

    # What the mount writes, the client lists and reads.
    (MOUNT / "models").mkdir()
    content = os.urandom(7_000_000)
    (MOUNT / "models" / "last.ckpt").write_bytes(content)
    (MOUNT / "models" / "notes").write_text("from the mount")
    eventually("the client finds the file", lambda: find(drive, "last.ckpt"))
    eventually("and the other", lambda: find(drive, "notes"))
    models = find(drive, "models")["id"]
    expect(names(drive, models) == ["last.ckpt", "notes"], "the client lists what the mount wrote")
    expect(download(drive, find(drive, "last.ckpt")["id"]) == content, "and reads its bytes")

    # What the client writes, the mount shows: a folder, a simple and a resumable upload.
    folder = drive.files().create(body={"name": "data", "mimeType": FOLDER}, fields="id").execute()["id"]
    simple = MediaInMemoryUpload(b"from the client", mimetype="text/plain", resumable=False)
    note = drive.files().create(body={"name": "note.txt", "parents": [folder]}, media_body=simple, fields="id").execute()["id"]
    large = os.urandom(3_000_000)
    media = MediaIoBaseUpload(io.BytesIO(large), mimetype="application/octet-stream", chunksize=1 << 20, resumable=True)
    request = drive.files().create(body={"name": "large.bin", "parents": [folder]}, media_body=media, fields="id")
    answer = None
    while answer is None:
        _, answer = request.next_chunk()
    eventually("the mount shows both", lambda: (MOUNT / "data").exists() and sorted(os.listdir(MOUNT / "data")) == ["large.bin", "note.txt"])
    expect((MOUNT / "data" / "note.txt").read_text() == "from the client", "the mount reads it")
    expect((MOUNT / "data" / "large.bin").read_bytes() == large, "and the large one")

    # Changes of the client arrive: new content, a new name, another folder, the trash.
    rewritten = MediaInMemoryUpload(b"rewritten by the client", mimetype="text/plain")
    drive.files().update(fileId=note, media_body=rewritten).execute()
    eventually("new content", lambda: (MOUNT / "data" / "note.txt").read_text() == "rewritten by the client")
    drive.files().update(fileId=note, body={"name": "moved.txt"}, addParents=models, removeParents=folder).execute()
    eventually("a new place", lambda: (MOUNT / "models" / "moved.txt").exists())
    expect(not (MOUNT / "data" / "note.txt").exists(), "it left the old one")
    drive.files().update(fileId=note, body={"trashed": True}).execute()
    eventually("the trash", lambda: not (MOUNT / "models" / "moved.txt").exists())

    # Changes of the mount arrive at the client.
    (MOUNT / "models" / "notes").rename(MOUNT / "data" / "renamed")
    (MOUNT / "data" / "large.bin").unlink()
    eventually("the client sees them", lambda: names(drive, folder) == ["renamed"])
    eventually("in both folders", lambda: names(drive, models) == ["last.ckpt"])
    print("the client and the mount see the same drive")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"beside_a_mount: {failure}")
