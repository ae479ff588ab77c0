"""Drives an embedded drive with Google's own Python client, and holds every request and answer against Google's own schemas.

    python3 -m venv venv && venv/bin/pip install google-api-python-client
    drivemount serve --data DIR          # says where it is
    DRIVE_URL=http://127.0.0.1:PORT DRIVE_TOKEN=$(cat DIR/token) venv/bin/python tests/python/official_client.py

The drive may hold other files; what this makes, it deletes. It ends with 0, or with a message and 1.
"""

import hashlib
import io
import json
import os
import sys
import uuid

from google.auth.exceptions import GoogleAuthError
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload, MediaIoBaseUpload

from contract import Failure, connect, expect

UNIT = 256 * 1024
FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"


def content_of(length):
    return bytes(index * index % 251 for index in range(length))


def refused(request, status, reason):
    """Executes a request that must fail with this status and reason."""
    try:
        request.execute()
    except HttpError as error:
        envelope = json.loads(error.content)["error"]
        found = (error.resp.status, envelope["code"], envelope["errors"][0]["reason"])
        expect(found == (status, status, reason), f"{request.uri}: {found} instead of {(status, reason)}")
        expect(envelope["message"] and envelope["errors"][0]["domain"], f"{request.uri}: no whole envelope: {envelope}")
        return
    raise Failure(f"{request.uri}: no refusal, but {status} {reason} was due")


class Run:
    """One pass over the API, in a folder of its own."""

    def __init__(self, url, token):
        self.service, self.contract = connect(url, token)
        self.files = self.service.files()
        self.folder = None

    def about(self):
        about = self.service.about().get(fields="*").execute()
        expect(about["kind"] == "drive#about" and about["user"]["me"], f"about: {about}")
        expect("usage" in about["storageQuota"] and "maxUploadSize" in about, f"about: {about}")
        request = self.service.about().get(fields="kind")
        request.uri = request.uri.split("?")[0]
        refused(request, 400, "required")

    def folders(self):
        body = {"name": f"official-client-{uuid.uuid4()}", "mimeType": FOLDER}
        folder = self.files.create(body=body, fields="*").execute()
        expect(folder["parents"] == [self.files.get(fileId="root").execute()["id"]], f"in the root: {folder}")
        expect("size" not in folder and "md5Checksum" not in folder, f"a folder has no content: {folder}")
        self.folder = folder["id"]
        default = self.files.get(fileId=self.folder).execute()
        expect(set(default) == {"kind", "id", "name", "mimeType"}, f"default fields: {default}")

    def uploads(self):
        simple = MediaInMemoryUpload(b"simple content", mimetype="text/plain", resumable=False)
        bare = self.files.create(media_body=simple, fields="*").execute()
        expect(bare["name"] == "Untitled" and bare["mimeType"] == "text/plain", f"a bare upload: {bare}")
        self.files.delete(fileId=bare["id"]).execute()

        # The client separates parts with line feeds alone, and such contents are easily cut at the wrong place.
        for name, content in [("multipart", b"\r\n--content\r\n\r"), ("empty", b""), ("binary", content_of(70_000))]:
            media = MediaInMemoryUpload(content, mimetype="application/x-test", resumable=False)
            body = {"name": name, "parents": [self.folder], "modifiedTime": "2020-01-02T03:04:05.678Z"}
            file = self.files.create(body=body, media_body=media, fields="*").execute()
            self.same(file, content)
            expect(file["modifiedTime"] == "2020-01-02T03:04:05.678Z", f"its time: {file}")
            expect(file["mimeType"] == "application/x-test", f"its type: {file}")

    def same(self, file, content, **params):
        """The file has this content, by its description and by download, whole and in pieces."""
        expect(file["size"] == str(len(content)), f"size of {file}")
        for field, algorithm in [("md5Checksum", "md5"), ("sha1Checksum", "sha1"), ("sha256Checksum", "sha256")]:
            expect(file[field] == hashlib.new(algorithm, content).hexdigest(), f"{field} of {file}")
        request = self.files.get_media(fileId=file["id"], **params)
        expect(request.execute() == content, f"content of {file['name']}")
        received = io.BytesIO()
        request = self.files.get_media(fileId=file["id"], **params)
        download = MediaIoBaseDownload(received, request, chunksize=UNIT // 3)
        done = False
        while not done:
            _, done = download.next_chunk()
        expect(received.getvalue() == content, f"content of {file['name']} in pieces")

    def resumable(self):
        for length in (0, 1, UNIT, 3 * UNIT, 3 * UNIT + 17):
            content = content_of(length)
            media = MediaIoBaseUpload(io.BytesIO(content), "application/x-test", chunksize=UNIT, resumable=True)
            body = {"name": f"resumable {length}", "parents": [self.folder]}
            request = self.files.create(body=body, media_body=media, fields="*")
            response, seen = None, []
            while response is None:
                status, response = request.next_chunk()
                if status is not None:
                    seen.append(status.resumable_progress)
            expect(seen == list(range(UNIT, length, UNIT)), f"progress of {length} bytes: {seen}")
            self.same(response, content)
        update = MediaIoBaseUpload(io.BytesIO(b"x" * (UNIT + 1)), "text/plain", chunksize=UNIT, resumable=True)
        request = self.files.update(fileId=response["id"], body={"name": "updated"}, media_body=update, fields="*")
        updated = None
        while updated is None:
            _, updated = request.next_chunk()
        self.same(updated, b"x" * (UNIT + 1))
        expect(updated["id"] == response["id"] and updated["name"] == "updated", f"an update: {updated}")
        expect(updated["headRevisionId"] != response["headRevisionId"], "new content is a new revision")

    def resumed(self):
        content = content_of(2 * UNIT + 100)

        def begin():
            media = MediaIoBaseUpload(io.BytesIO(content), "application/x-test", chunksize=UNIT, resumable=True)
            body = {"name": "resumed", "parents": [self.folder]}
            return self.files.create(body=body, media_body=media, fields="*")

        first = begin()
        expect(first.next_chunk()[0].resumable_progress == UNIT, "the first chunk arrives")
        # As after a crash: all that is left is the address of the session.
        second = begin()
        second.resumable_uri, second._in_error_state = first.resumable_uri, True
        status, response = second.next_chunk()
        expect(response is None and status.resumable_progress == 2 * UNIT, "the second goes on behind it")
        while response is None:
            _, response = second.next_chunk()
        self.same(response, content)
        again = begin()
        again.resumable_uri, again._in_error_state = first.resumable_uri, True
        _, response = again.next_chunk()
        expect(response["name"] == "resumed", f"who asks again is told the same: {response}")
        self.files.delete(fileId=response["id"]).execute()

    def ranges(self):
        media = MediaInMemoryUpload(content_of(1000), mimetype="application/x-test")
        file = self.files.create(body={"name": "ranges", "parents": [self.folder]}, media_body=media).execute()
        for asked, (first, end) in {"0-0": (0, 1), "10-19": (10, 20), "990-2000": (990, 1000), "-7": (993, 1000)}.items():
            request = self.files.get_media(fileId=file["id"])
            request.headers["range"] = f"bytes={asked}"
            expect(request.execute() == content_of(1000)[first:end], f"the range {asked}")
        request = self.files.get_media(fileId=file["id"])
        request.headers["range"] = "bytes=1000-"
        refused(request, 416, "requestedRangeNotSatisfiable")
        self.files.delete(fileId=file["id"]).execute()

    def listing(self):
        query = f"'{self.folder}' in parents and trashed = false"
        whole = self.files.list(q=query, pageSize=1000, orderBy="name", fields="*").execute()
        names = [file["name"] for file in whole["files"]]
        expect(len(names) == 8 and names == sorted(names), f"a listing: {names}")
        paged, request = [], self.files.list(q=query, pageSize=3, orderBy="name")
        while request is not None:
            page = request.execute()
            expect(1 <= len(page["files"]) <= 3, f"a page: {page}")
            paged += [file["name"] for file in page["files"]]
            request = self.files.list_next(request, page)
        expect(paged == names, f"in pages: {paged}")
        long = " or ".join(f"name = 'no such {index}'" for index in range(120)) + " or name = 'EMPTY'"
        found = self.files.list(q=f"({long}) and '{self.folder}' in parents").execute()
        expect([file["name"] for file in found["files"]] == ["empty"], f"a query sent as a form: {found}")
        refused(self.files.list(q="name = 'x"), 400, "invalid")
        refused(self.files.list(fields="files(id,etag)"), 400, "invalidParameter")

    def metadata(self):
        create = self.files.create(body={"name": "it's", "parents": [self.folder]}, fields="*")
        file = create.execute()
        body = {"name": "new", "starred": True, "properties": {"k": "v"}, "appProperties": {"a": "b"}, "description": "d"}
        updated = self.files.update(fileId=file["id"], body=body, fields="*").execute()
        expect(int(updated["version"]) > int(file["version"]), "the version grows")
        expect({key: updated[key] for key in body} == body, f"updated: {updated}")
        found = self.files.list(q="properties has { key='k' and value='v' } and name = 'new'").execute()["files"]
        expect(file["id"] in [one["id"] for one in found], f"found by its property: {found}")
        cleared = self.files.update(fileId=file["id"], body={"properties": {"k": None}}, fields="*")
        expect("properties" not in cleared.execute(), "a property is deleted by null")
        inner = self.files.create(body={"name": "inner", "mimeType": FOLDER, "parents": [self.folder]}).execute()
        move = {"addParents": inner["id"], "removeParents": self.folder, "fields": "*"}
        moved = self.files.update(fileId=file["id"], **move).execute()
        expect(moved["parents"] == [inner["id"]], f"moved: {moved}")
        refused(self.files.update(fileId=file["id"], addParents=self.folder), 403, "cannotAddParent")
        refused(self.files.update(fileId=file["id"], body={"parents": [self.folder]}), 403, "fieldNotWritable")
        shortcut = {"mimeType": SHORTCUT, "parents": [self.folder], "shortcutDetails": {"targetId": inner["id"]}}
        shortcut = self.files.create(body=shortcut, fields="*").execute()
        expect(shortcut["shortcutDetails"]["targetMimeType"] == FOLDER, f"a shortcut: {shortcut}")
        refused(self.files.get_media(fileId=shortcut["id"]), 403, "fileNotDownloadable")

    def copies(self):
        source = self.files.list(q=f"name = 'binary' and '{self.folder}' in parents", fields="files").execute()["files"][0]
        copy = self.files.copy(fileId=source["id"], body={"name": "copy"}, fields="*").execute()
        self.same(copy, content_of(70_000))
        expect(copy["id"] != source["id"] and copy["parents"] == source["parents"], f"a copy: {copy}")
        revisions = self.service.revisions().list(fileId=copy["id"], fields="*").execute()
        expect(revisions["revisions"][-1]["id"] == copy["headRevisionId"], f"revisions: {revisions}")
        refused(self.files.copy(fileId=self.folder, body={}), 403, "cannotCopyFile")

    def revisions(self):
        revisions = self.service.revisions()
        body = {"name": "revised", "parents": [self.folder]}
        file = self.files.create(body=body, media_body=MediaInMemoryUpload(b"one"), keepRevisionForever=True).execute()
        for content in (b"two", b"three"):
            self.files.update(fileId=file["id"], media_body=MediaInMemoryUpload(content)).execute()
        listed = revisions.list(fileId=file["id"], fields="*").execute()["revisions"]
        expect([one["size"] for one in listed] == ["3", "5"], f"those that have bytes, oldest first: {listed}")
        first, head = (one["id"] for one in listed)
        expect(revisions.get_media(fileId=file["id"], revisionId=first).execute() == b"one", "what is kept is there")
        kept = revisions.update(fileId=file["id"], revisionId=head, body={"keepForever": True}, fields="*").execute()
        expect(kept["keepForever"], f"kept: {kept}")
        expect(revisions.get(fileId=file["id"], revisionId=head, fields="*").execute() == kept, "and so shown")
        let_go = revisions.update(fileId=file["id"], revisionId=head, body={"keepForever": False})
        refused(let_go, 400, "illegalKeepForeverModification")
        revisions.delete(fileId=file["id"], revisionId=first).execute()
        refused(revisions.get(fileId=file["id"], revisionId=first), 404, "notFound")
        refused(revisions.delete(fileId=file["id"], revisionId=head), 403, "revisionDeletionNotSupported")
        self.files.delete(fileId=file["id"]).execute()

    def batches(self):
        answers = {}

        def answered(name, response, error):
            answers[name] = response if error is None else error.resp.status

        batch = self.service.new_batch_http_request(callback=answered)
        batch.add(self.files.create(body={"name": "in a batch", "parents": [self.folder]}, fields="*"), request_id="made")
        batch.add(self.files.get(fileId=self.folder, fields="*"), request_id="got")
        batch.add(self.files.list(q=f"'{self.folder}' in parents", pageSize=1), request_id="listed")
        batch.add(self.files.get(fileId="nobody"), request_id="refused")
        batch.execute()
        expect(answers["made"]["name"] == "in a batch", f"made: {answers}")
        expect(answers["got"]["id"] == self.folder and len(answers["listed"]["files"]) == 1, f"looked at: {answers}")
        expect(answers["refused"] == 404, f"refused alone: {answers}")
        batch = self.service.new_batch_http_request(callback=answered)
        batch.add(self.files.update(fileId=answers["made"]["id"], body={"name": "ünd"}), request_id="renamed")
        batch.add(self.files.delete(fileId=answers["made"]["id"]), request_id="deleted")
        batch.execute()
        expect(answers["renamed"]["name"] == "ünd" and answers["deleted"] == "", f"changed: {answers}")

    def documents(self):
        body = {"name": "document", "mimeType": "application/vnd.google-apps.document", "parents": [self.folder]}
        document = self.files.create(body=body, fields="*").execute()
        exported = self.files.export(fileId=document["id"], mimeType="text/plain").execute()
        expect(isinstance(exported, bytes), f"an export: {exported}")
        refused(self.files.get_media(fileId=document["id"]), 403, "fileNotDownloadable")
        text = "Größe: 1 < 2".encode()
        for resumable in (False, True):
            media = MediaInMemoryUpload(text, mimetype="text/plain", resumable=resumable)
            imported = self.files.create(body=body, media_body=media, fields="*").execute()
            expect(imported["mimeType"] == body["mimeType"] and "md5Checksum" not in imported, f"imported: {imported}")
            exported = self.files.export(fileId=imported["id"], mimeType="text/plain").execute()
            expect(exported == text, f"the text it was imported from: {exported}")
        formats = self.service.about().get(fields="exportFormats").execute()["exportFormats"][body["mimeType"]]
        expect(set(formats) == set(imported["exportLinks"]), f"formats: {formats}")
        updated = self.files.update(fileId=imported["id"], media_body=MediaInMemoryUpload(b"<p>", mimetype="text/html"))
        updated.execute()
        expect(self.files.export(fileId=imported["id"], mimeType="text/html").execute() == b"<p>", "imported again")
        operation = self.files.download(fileId=imported["id"], mimeType="application/pdf").execute()
        expect(operation["done"] and not operation["response"]["partialDownloadAllowed"], f"an operation: {operation}")
        asked = self.service.operations().get(name=operation["name"]).execute()
        expect(asked == operation, f"asked again: {asked}")
        refused(self.service.operations().get(name="garbage"), 404, "notFound")

    def generated_ids(self):
        generated = self.files.generateIds(count=2, space="drive").execute()
        first, second = generated["ids"]
        body = {"id": first, "name": "generated", "parents": [self.folder]}
        expect(self.files.create(body=body).execute()["id"] == first, "a file bears the id it was given")
        refused(self.files.create(body=body), 409, "fileIdInUse")
        media = MediaInMemoryUpload(b"again", resumable=True)
        refused(self.files.create(body=body, media_body=media), 409, "fileIdInUse")
        self.files.create(body={"id": second, "parents": [self.folder]}, media_body=media).execute()
        refused(self.files.create(body={"id": "1" + "A" * 32}), 400, "invalid")

    def changes(self):
        changes = self.service.changes()
        start = changes.getStartPageToken().execute()["startPageToken"]
        made = self.files.create(body={"name": "made", "parents": [self.folder]}).execute()["id"]
        gone = self.files.create(body={"name": "gone", "parents": [self.folder]}).execute()["id"]
        trashed = self.files.update(fileId=made, body={"trashed": True}, fields="*").execute()
        expect(trashed["trashed"] and trashed["explicitlyTrashed"], f"trashed: {trashed}")
        expect(self.files.delete(fileId=gone).execute() == "", "a delete has no answer")
        refused(self.files.get(fileId=gone), 404, "notFound")
        seen, request = [], changes.list(pageToken=start, pageSize=1, fields="*")
        while request is not None:
            page = request.execute()
            expect(("nextPageToken" in page) != ("newStartPageToken" in page), f"one token: {page}")
            seen += page["changes"]
            request = changes.list_next(request, page)
        mine = [(change["fileId"], change["removed"]) for change in seen if change["fileId"] in (made, gone)]
        expect(mine == [(made, False), (gone, True)], f"changes: {mine}")
        untrashed = self.files.update(fileId=made, body={"trashed": False}, fields="*").execute()
        expect(not untrashed["trashed"], f"untrashed: {untrashed}")
        refused(changes.list(pageToken="garbage"), 400, "invalid")

    def shared_drives(self):
        drives, changes = self.service.drives(), self.service.changes()
        request = str(uuid.uuid4())
        drive = drives.create(requestId=request, body={"name": "shared"}, fields="*").execute()["id"]
        refused(drives.create(requestId=request, body={"name": "shared"}), 409, "teamDriveAlreadyExists")
        everywhere = {"supportsAllDrives": True, "fields": "*"}
        start = changes.getStartPageToken(driveId=drive, supportsAllDrives=True).execute()["startPageToken"]
        media = MediaInMemoryUpload(b"shared content")
        file = self.files.create(body={"name": "in it", "parents": [drive]}, media_body=media, **everywhere).execute()
        expect(file["driveId"] == drive and "owners" not in file, f"it belongs to the drive: {file}")
        refused(self.files.get(fileId=file["id"]), 404, "notFound")
        self.same(file, b"shared content", supportsAllDrives=True)
        where = {"corpora": "drive", "driveId": drive, "includeItemsFromAllDrives": True, **everywhere}
        found = self.files.list(**where).execute()["files"]
        expect([one["id"] for one in found] == [file["id"]], f"listed there: {found}")
        mine = self.files.list(q="name = 'in it'", fields="files(id)").execute()["files"]
        expect(mine == [], f"and not here: {mine}")
        log = {"driveId": drive, "includeItemsFromAllDrives": True, **everywhere}
        seen = changes.list(pageToken=start, **log).execute()["changes"]
        expect([one.get("fileId") for one in seen] == [file["id"]], f"its own log: {seen}")
        expect(drives.update(driveId=drive, body={"name": "renamed"}).execute()["name"] == "renamed", "renamed")
        expect(drives.hide(driveId=drive, fields="*").execute()["hidden"], "hidden")
        expect(not drives.unhide(driveId=drive, fields="*").execute()["hidden"], "and not hidden any more")
        expect(drive in [one["id"] for one in drives.list(fields="*").execute()["drives"]], "among all drives")
        refused(drives.delete(driveId=drive), 403, "cannotDeleteResourceWithChildren")
        moved = self.files.update(fileId=file["id"], addParents=self.folder, removeParents=drive, **everywhere).execute()
        expect("driveId" not in moved and moved["parents"] == [self.folder], f"moved out: {moved}")
        drives.delete(driveId=drive).execute()
        refused(drives.get(driveId=drive), 404, "notFound")
        self.files.delete(fileId=file["id"]).execute()

    def permissions(self):
        permissions = self.service.permissions()
        file = self.files.create(body={"name": "shared", "parents": [self.folder]}, fields="*").execute()
        expect(not file["shared"] and len(file["permissions"]) == 1, f"shared with nobody: {file}")
        on = {"fileId": file["id"], "fields": "*"}
        body = {"type": "user", "role": "reader", "emailAddress": "somebody@example.com"}
        given = permissions.create(body=body, sendNotificationEmail=False, **on).execute()
        expect({**given, **body} == given, f"as given: {given}")
        anyone = permissions.create(body={"type": "anyone", "role": "reader"}, **on).execute()
        expect(anyone["id"] == "anyoneWithLink" and not anyone["allowFileDiscovery"], f"by link: {anyone}")
        changed = permissions.update(permissionId=given["id"], body={"role": "writer"}, **on).execute()
        expect(changed["role"] == "writer", f"changed: {changed}")
        default = permissions.get(fileId=file["id"], permissionId=given["id"]).execute()
        expect(set(default) == {"kind", "id", "type", "role"}, f"default fields: {default}")
        seen, request = [], permissions.list(pageSize=1, **on)
        while request is not None:
            page = request.execute()
            seen += [one["role"] for one in page["permissions"]]
            request = permissions.list_next(request, page)
        expect(sorted(seen) == ["owner", "reader", "writer"], f"all of them: {seen}")
        file = self.files.get(**on).execute()
        expect(file["shared"] and given["id"] in file["permissionIds"], f"shared: {file}")
        found = self.files.list(q="'somebody@example.com' in writers", fields="files(id)").execute()["files"]
        expect([one["id"] for one in found] == [file["id"]], f"found by who may write it: {found}")
        refused(permissions.create(body={**body, "role": "owner"}, **on), 403, "forbidden")
        permissions.delete(fileId=file["id"], permissionId=given["id"]).execute()
        refused(permissions.get(fileId=file["id"], permissionId=given["id"]), 404, "notFound")

    def app_data(self):
        media = MediaInMemoryUpload(b"hidden content")
        body = {"name": "hidden", "parents": ["appDataFolder"]}
        file = self.files.create(body=body, media_body=media, fields="*").execute()
        expect(file["spaces"] == ["appDataFolder"], f"hidden: {file}")
        self.same(file, b"hidden content")
        found = self.files.list(q="name = 'hidden'", fields="files(id)").execute()["files"]
        expect(file["id"] not in [one["id"] for one in found], f"not among all: {found}")
        found = self.files.list(spaces="appDataFolder", fields="*").execute()["files"]
        expect(file["id"] in [one["id"] for one in found], f"but there: {found}")
        refused(self.files.update(fileId=file["id"], body={"trashed": True}), 403, "notSupportedForAppDataFolderFiles")
        self.files.delete(fileId=file["id"]).execute()

    def clean_up(self):
        if self.folder is not None:
            self.files.delete(fileId=self.folder).execute()
            refused(self.files.get(fileId=self.folder), 404, "notFound")


def main():
    try:
        url, token = os.environ["DRIVE_URL"].rstrip("/"), os.environ["DRIVE_TOKEN"]
    except KeyError as error:
        sys.exit(f"official_client: set {error}")
    run = Run(url, token)
    steps = [
        run.about,
        run.folders,
        run.uploads,
        run.resumable,
        run.resumed,
        run.ranges,
        run.listing,
        run.metadata,
        run.copies,
        run.revisions,
        run.batches,
        run.documents,
        run.generated_ids,
        run.changes,
        run.shared_drives,
        run.permissions,
        run.app_data,
    ]
    try:
        for step in steps:
            try:
                step()
            except (Failure, HttpError) as error:
                sys.exit(f"official_client: {step.__name__}: {error}")
            except GoogleAuthError:
                # The client tries to renew a token that was refused, and cannot.
                sys.exit(f"official_client: {step.__name__}: the token was refused; is DRIVE_TOKEN right?")
            except OSError as error:
                sys.exit(f"official_client: {step.__name__}: {url} cannot be reached: {error}")
            print(f"{step.__name__}: ok")
    finally:
        run.clean_up()
    print(f"{run.contract.checked} answers of {len(run.contract.methods)} methods fit their schemas")


if __name__ == "__main__":
    main()
