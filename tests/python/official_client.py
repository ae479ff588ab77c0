"""Drives an embedded drive with Google's own Python client, and holds every answer against Google's own schemas.

    python3 -m venv venv && venv/bin/pip install google-api-python-client
    drivemount serve --data DIR          # says where it is
    DRIVE_URL=http://127.0.0.1:PORT DRIVE_TOKEN=$(cat DIR/token) venv/bin/python tests/python/official_client.py

The drive may hold other files; what this makes, it deletes. It ends with 0, or with a message and 1.
"""

import hashlib
import io
import json
import os
import re
import sys
import uuid
from pathlib import Path

import googleapiclient
from google.auth.exceptions import GoogleAuthError
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload, MediaIoBaseUpload

UNIT = 256 * 1024
FOLDER = "application/vnd.google-apps.folder"
SHORTCUT = "application/vnd.google-apps.shortcut"
TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")


class Failure(Exception):
    """Something is not as Google has it."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def discovery_document(url):
    """The document that ships with the client, led to another server."""
    package = Path(googleapiclient.__file__).parent
    document = json.loads((package / "discovery_cache/documents/drive.v3.json").read_text())
    document["rootUrl"] = url + "/"
    document["baseUrl"] = url + "/drive/v3/"
    document.pop("mtlsRootUrl", None)
    return document


def connect(url, token):
    """Google's client for the drive at this address."""
    return discovery.build_from_document(discovery_document(url), credentials=Credentials(token))


class Schemas:
    """Checks values against the schemas of a discovery document: types, formats, no field that is not listed."""

    def __init__(self, document):
        self.schemas = document["schemas"]
        self.checked = 0

    def check(self, name, value):
        self.checked += 1
        self._check({"$ref": name}, value, name)
        return value

    def _check(self, schema, value, where):
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"]]
        kind = schema["type"]
        if kind == "object":
            self._object(schema, value, where)
        elif kind == "array":
            expect(isinstance(value, list), f"{where}: no array: {value!r}")
            for index, element in enumerate(value):
                self._check(schema["items"], element, f"{where}[{index}]")
        elif kind == "string":
            self._string(schema.get("format"), value, where)
        elif kind == "boolean":
            expect(isinstance(value, bool), f"{where}: no boolean: {value!r}")
        elif kind in ("integer", "number"):
            expect(isinstance(value, (int, float)) and not isinstance(value, bool), f"{where}: no number: {value!r}")
        else:
            raise Failure(f"{where}: the schema has an unknown type {kind}")

    def _object(self, schema, value, where):
        expect(isinstance(value, dict), f"{where}: no object: {value!r}")
        for key, field in value.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            expect(inner is not None, f"{where}: there is no field {key!r}")
            self._check(inner, field, f"{where}.{key}")

    @staticmethod
    def _string(form, value, where):
        expect(isinstance(value, str), f"{where}: no string: {value!r}")
        if form in ("int64", "uint64"):
            expect(re.fullmatch(r"-?\d+", value), f"{where}: no 64-bit number: {value!r}")
        if form == "date-time":
            expect(TIME.fullmatch(value), f"{where}: no time in milliseconds and UTC: {value!r}")


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
        self.schemas = Schemas(discovery_document(url))
        self.service = connect(url, token)
        self.files = self.service.files()
        self.folder = None

    def file(self, request):
        return self.schemas.check("File", request.execute())

    def about(self):
        about = self.schemas.check("About", self.service.about().get(fields="*").execute())
        expect(about["kind"] == "drive#about" and about["user"]["me"], f"about: {about}")
        expect("usage" in about["storageQuota"] and "maxUploadSize" in about, f"about: {about}")
        request = self.service.about().get(fields="kind")
        request.uri = request.uri.split("?")[0]
        refused(request, 400, "required")

    def folders(self):
        body = {"name": f"official-client-{uuid.uuid4()}", "mimeType": FOLDER}
        folder = self.file(self.files.create(body=body, fields="*"))
        expect(folder["parents"] == [self.files.get(fileId="root").execute()["id"]], f"in the root: {folder}")
        expect("size" not in folder and "md5Checksum" not in folder, f"a folder has no content: {folder}")
        self.folder = folder["id"]
        default = self.file(self.files.get(fileId=self.folder))
        expect(set(default) == {"kind", "id", "name", "mimeType"}, f"default fields: {default}")

    def uploads(self):
        simple = MediaInMemoryUpload(b"simple content", mimetype="text/plain", resumable=False)
        bare = self.file(self.files.create(media_body=simple, fields="*"))
        expect(bare["name"] == "Untitled" and bare["mimeType"] == "text/plain", f"a bare upload: {bare}")
        self.files.delete(fileId=bare["id"]).execute()

        # The client separates parts with line feeds alone, and such contents are easily cut at the wrong place.
        for name, content in [("multipart", b"\r\n--content\r\n\r"), ("empty", b""), ("binary", content_of(70_000))]:
            media = MediaInMemoryUpload(content, mimetype="application/x-test", resumable=False)
            body = {"name": name, "parents": [self.folder], "modifiedTime": "2020-01-02T03:04:05.678Z"}
            file = self.file(self.files.create(body=body, media_body=media, fields="*"))
            self.same(file, content)
            expect(file["modifiedTime"] == "2020-01-02T03:04:05.678Z", f"its time: {file}")
            expect(file["mimeType"] == "application/x-test", f"its type: {file}")

    def same(self, file, content):
        """The file has this content, by its description and by download, whole and in pieces."""
        expect(file["size"] == str(len(content)), f"size of {file}")
        for field, algorithm in [("md5Checksum", "md5"), ("sha1Checksum", "sha1"), ("sha256Checksum", "sha256")]:
            expect(file[field] == hashlib.new(algorithm, content).hexdigest(), f"{field} of {file}")
        request = self.files.get_media(fileId=file["id"])
        expect(request.execute() == content, f"content of {file['name']}")
        received = io.BytesIO()
        download = MediaIoBaseDownload(received, self.files.get_media(fileId=file["id"]), chunksize=UNIT // 3)
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
            self.same(self.schemas.check("File", response), content)
        update = MediaIoBaseUpload(io.BytesIO(b"x" * (UNIT + 1)), "text/plain", chunksize=UNIT, resumable=True)
        request = self.files.update(fileId=response["id"], body={"name": "updated"}, media_body=update, fields="*")
        updated = None
        while updated is None:
            _, updated = request.next_chunk()
        self.same(self.schemas.check("File", updated), b"x" * (UNIT + 1))
        expect(updated["id"] == response["id"] and updated["name"] == "updated", f"an update: {updated}")
        expect(updated["headRevisionId"] != response["headRevisionId"], "new content is a new revision")

    def listing(self):
        query = f"'{self.folder}' in parents and trashed = false"
        whole = self.files.list(q=query, pageSize=1000, orderBy="name", fields="*").execute()
        self.schemas.check("FileList", whole)
        names = [file["name"] for file in whole["files"]]
        expect(len(names) == 8 and names == sorted(names), f"a listing: {names}")
        paged, request = [], self.files.list(q=query, pageSize=3, orderBy="name")
        while request is not None:
            page = self.schemas.check("FileList", request.execute())
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
        file = self.file(create)
        body = {"name": "new", "starred": True, "properties": {"k": "v"}, "appProperties": {"a": "b"}, "description": "d"}
        updated = self.file(self.files.update(fileId=file["id"], body=body, fields="*"))
        expect(int(updated["version"]) > int(file["version"]), "the version grows")
        expect({key: updated[key] for key in body} == body, f"updated: {updated}")
        found = self.files.list(q="properties has { key='k' and value='v' } and name = 'new'").execute()["files"]
        expect(file["id"] in [one["id"] for one in found], f"found by its property: {found}")
        cleared = self.files.update(fileId=file["id"], body={"properties": {"k": None}}, fields="*")
        expect("properties" not in self.file(cleared), "a property is deleted by null")
        inner = self.file(self.files.create(body={"name": "inner", "mimeType": FOLDER, "parents": [self.folder]}))
        move = {"addParents": inner["id"], "removeParents": self.folder, "fields": "*"}
        moved = self.file(self.files.update(fileId=file["id"], **move))
        expect(moved["parents"] == [inner["id"]], f"moved: {moved}")
        refused(self.files.update(fileId=file["id"], addParents=self.folder), 403, "cannotAddParent")
        refused(self.files.update(fileId=file["id"], body={"parents": [self.folder]}), 403, "fieldNotWritable")
        shortcut = {"mimeType": SHORTCUT, "parents": [self.folder], "shortcutDetails": {"targetId": inner["id"]}}
        shortcut = self.file(self.files.create(body=shortcut, fields="*"))
        expect(shortcut["shortcutDetails"]["targetMimeType"] == FOLDER, f"a shortcut: {shortcut}")
        refused(self.files.get_media(fileId=shortcut["id"]), 403, "fileNotDownloadable")

    def copies(self):
        source = self.files.list(q=f"name = 'binary' and '{self.folder}' in parents", fields="files").execute()["files"][0]
        copy = self.file(self.files.copy(fileId=source["id"], body={"name": "copy"}, fields="*"))
        self.same(copy, content_of(70_000))
        expect(copy["id"] != source["id"] and copy["parents"] == source["parents"], f"a copy: {copy}")
        revisions = self.service.revisions().list(fileId=copy["id"], fields="*").execute()
        self.schemas.check("RevisionList", revisions)
        expect(revisions["revisions"][-1]["id"] == copy["headRevisionId"], f"revisions: {revisions}")
        refused(self.files.copy(fileId=self.folder, body={}), 403, "cannotCopyFile")

    def documents(self):
        body = {"name": "document", "mimeType": "application/vnd.google-apps.document", "parents": [self.folder]}
        document = self.file(self.files.create(body=body, fields="*"))
        exported = self.files.export(fileId=document["id"], mimeType="text/plain").execute()
        expect(isinstance(exported, bytes), f"an export: {exported}")
        refused(self.files.get_media(fileId=document["id"]), 403, "fileNotDownloadable")

    def generated_ids(self):
        generated = self.files.generateIds(count=2, space="drive").execute()
        self.schemas.check("GeneratedIds", generated)
        first, second = generated["ids"]
        body = {"id": first, "name": "generated", "parents": [self.folder]}
        expect(self.file(self.files.create(body=body))["id"] == first, "a file bears the id it was given")
        refused(self.files.create(body=body), 409, "fileIdInUse")
        media = MediaInMemoryUpload(b"again", resumable=True)
        refused(self.files.create(body=body, media_body=media), 409, "fileIdInUse")
        self.file(self.files.create(body={"id": second, "parents": [self.folder]}, media_body=media))
        refused(self.files.create(body={"id": "1" + "A" * 32}), 400, "invalid")

    def changes(self):
        changes = self.service.changes()
        start = self.schemas.check("StartPageToken", changes.getStartPageToken().execute())["startPageToken"]
        made = self.file(self.files.create(body={"name": "made", "parents": [self.folder]}))["id"]
        gone = self.file(self.files.create(body={"name": "gone", "parents": [self.folder]}))["id"]
        trashed = self.file(self.files.update(fileId=made, body={"trashed": True}, fields="*"))
        expect(trashed["trashed"] and trashed["explicitlyTrashed"], f"trashed: {trashed}")
        expect(self.files.delete(fileId=gone).execute() == "", "a delete has no answer")
        refused(self.files.get(fileId=gone), 404, "notFound")
        seen, request = [], changes.list(pageToken=start, pageSize=1, fields="*")
        while request is not None:
            page = self.schemas.check("ChangeList", request.execute())
            expect(("nextPageToken" in page) != ("newStartPageToken" in page), f"one token: {page}")
            seen += page["changes"]
            request = changes.list_next(request, page)
        mine = [(change["fileId"], change["removed"]) for change in seen if change["fileId"] in (made, gone)]
        expect(mine == [(made, False), (gone, True)], f"changes: {mine}")
        untrashed = self.file(self.files.update(fileId=made, body={"trashed": False}, fields="*"))
        expect(not untrashed["trashed"], f"untrashed: {untrashed}")
        refused(changes.list(pageToken="garbage"), 400, "invalid")

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
        run.listing,
        run.metadata,
        run.copies,
        run.documents,
        run.generated_ids,
        run.changes,
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
    print(f"{run.schemas.checked} answers fit their schemas")


if __name__ == "__main__":
    main()
