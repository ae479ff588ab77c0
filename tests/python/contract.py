"""Google's own Python client, led to another server, with every request and every answer held against the discovery document
that ships with the client: paths, parameters, bodies, answers, refusals.
"""

import email.parser
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import googleapiclient
import httplib2
from google.oauth2.credentials import Credentials
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient import discovery

TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
JSON = "application/json"
# What every upload may say beside what the document lists for its method.
OF_UPLOADS = {"uploadType": {"type": "string"}, "upload_id": {"type": "string"}}


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
    """Google's client for the drive at this address, and what checks all that it says and hears."""
    document = discovery_document(url)
    contract = Contract(document)
    # The client knows how to read an answer by its status; it must not follow a 308 as if it led elsewhere.
    http = httplib2.Http()
    http.redirect_codes = http.redirect_codes - {308}
    checked = CheckedHttp(AuthorizedHttp(Credentials(token), http=http), contract)
    return discovery.build_from_document(document, http=checked), contract


class CheckedHttp:
    """Passes requests on, and looks at both ways. What the client thinks of it, httplib2 is."""

    def __init__(self, inner, contract):
        self.inner, self.contract = inner, contract

    def request(self, uri, method="GET", body=None, headers=None, **others):
        call = self.contract.asked(uri, method, headers or {}, body)
        response, content = self.inner.request(uri, method, body=body, headers=headers, **others)
        self.contract.answered(call, response.status, response, content)
        return response, content

    def __getattr__(self, name):
        return getattr(self.inner, name)


class Call:
    """A request as the document knows it: the method, and whether its answer is content."""

    def __init__(self, told, method, params):
        self.told, self.method = told, method
        self.is_media = params.get("alt") == "media" or (method or {}).get("id") == "drive.files.export"
        self.is_upload = "uploadType" in params or "upload_id" in params


class Contract:
    """What the discovery document says, asked of requests and answers."""

    def __init__(self, document):
        self.schemas, self.common = document["schemas"], document["parameters"]
        self.batch = "/" + document["batchPath"]
        self.paths = []
        self.methods = set()
        self.checked = 0
        self._learn(document, "/" + document["servicePath"])

    def _learn(self, resource, base):
        for method in resource.get("methods", {}).values():
            # A '+' stands for a value that may hold slashes; this API has none.
            paths = [base + method["path"]]
            paths += [kind["path"] for kind in method.get("mediaUpload", {}).get("protocols", {}).values()]
            for path in paths:
                pattern = re.sub(r"\{\+?(\w+)\}", r"(?P<\1>[^/]+)", path)
                self.paths.append((method["httpMethod"], re.compile(pattern.replace("/resumable/", "/")), method))
        for inner in resource.get("resources", {}).values():
            self._learn(inner, base)

    # Requests

    def asked(self, uri, http_method, headers, body):
        """Checks a request; what its answer is to be checked as."""
        parts = urlsplit(uri)
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        headers = {name.lower(): value for name, value in headers.items()}
        told = f"{http_method} {parts.path}"
        if parts.path == self.batch:
            expect(http_method == "POST", f"{told}: a batch is sent with POST")
            return [self.asked(*inner) for inner in self._inner_requests(headers, body)]
        if "upload_id" in params:
            # The address of a session is the server's own.
            expect(parts.path.startswith("/upload/drive/v3/files"), f"{told}: no address of a session")
            return Call(told, None, params)
        if headers.get("x-http-method-override"):
            http_method = headers["x-http-method-override"]
            params.update(parse_qsl(body))
            body = None
        method, values = self._find(http_method, parts.path, told)
        known = {**self.common, **method.get("parameters", {}), **(OF_UPLOADS if "uploadType" in params else {})}
        for name, value in {**values, **params}.items():
            expect(name in known, f"{told}: there is no parameter {name!r}")
            self._parameter(known[name], value, f"{told}: {name}")
        for name, parameter in method.get("parameters", {}).items():
            expect(not parameter.get("required") or name in values or name in params, f"{told}: {name} is missing")
        if body and headers.get("content-type", "").startswith(JSON) and "request" in method:
            self._check(method["request"], json.loads(body), f"{told}: body")
        self.methods.add(method["id"])
        return Call(told, method, params)

    def _find(self, http_method, path, told):
        matches = [(method, found) for verb, pattern, method in self.paths
                   if verb == http_method and (found := pattern.fullmatch(path))]
        # A literal path has the shape of an id, too.
        matches.sort(key=lambda match: len(match[1].groupdict()))
        expect(matches, f"{told}: there is no such method")
        method, found = matches[0]
        return method, {name: unquote(value) for name, value in found.groupdict().items()}

    @staticmethod
    def _parameter(parameter, value, where):
        kind = parameter["type"]
        if kind == "boolean":
            expect(value in ("true", "false"), f"{where}: no boolean: {value!r}")
        if kind == "integer":
            least, most = int(parameter.get("minimum", 0)), int(parameter.get("maximum", 2**63))
            expect(re.fullmatch(r"-?\d+", value) and least <= int(value) <= most, f"{where}: not in range: {value!r}")
        if "enum" in parameter:
            expect(value in parameter["enum"], f"{where}: none of {parameter['enum']}: {value!r}")

    @staticmethod
    def _inner_requests(headers, body):
        for inner in _parts(headers["content-type"], body):
            head, _, content = inner.replace("\r\n", "\n").partition("\n\n")
            line, _, fields = head.partition("\n")
            http_method, path, version = line.split(" ")
            expect(path.startswith("/") and version == "HTTP/1.1", f"no request line of a batch: {line}")
            yield path, http_method, dict(email.parser.HeaderParser().parsestr(fields)), content

    # Answers

    def answered(self, call, status, headers, content):
        """Checks the answer to a request."""
        if isinstance(call, list):
            expect(status == 200, f"a batch: {status}")
            answers = _parts(headers["content-type"], content.decode())
            expect(len(answers) == len(call), f"a batch of {len(call)}: {len(answers)} answers")
            for inner, answer in zip(call, answers):
                head, _, body = answer.replace("\r\n", "\n").partition("\n\n")
                line, _, fields = head.partition("\n")
                fields = {name.lower(): value for name, value in email.parser.HeaderParser().parsestr(fields).items()}
                self.answered(inner, int(line.split(" ")[1]), fields, body.encode())
            return
        self.checked += 1
        if status >= 400:
            self._refusal(call.told, status, headers, content)
        elif status == 308:
            stored = headers.get("range")
            expect(call.method is None and not content, f"{call.told}: a 308 is for sessions, and is empty")
            expect(stored is None or re.fullmatch(r"bytes=0-\d+", stored), f"{call.told}: no range: {stored}")
        elif call.is_media:
            expect(status in (200, 206), f"{call.told}: {status}")
        elif call.is_upload and "location" in headers:
            expect(status == 200 and not content, f"{call.told}: {status} and a body, for a session")
        elif call.method is None:
            self._json({"$ref": "File"}, headers, content, call.told)
        elif "response" in call.method:
            expect(status == 200, f"{call.told}: {status}")
            self._json(call.method["response"], headers, content, call.told)
        else:
            expect(status == 204 and not content, f"{call.told}: {status} {content!r}, and nothing was due")

    def _json(self, schema, headers, content, where):
        expect(headers.get("content-type", "").startswith(JSON), f"{where}: {headers.get('content-type')}")
        self._check(schema, json.loads(content), where)

    @staticmethod
    def _refusal(told, status, headers, content):
        expect(headers.get("content-type", "").startswith(JSON), f"{told}: {status} {headers.get('content-type')}")
        error = json.loads(content)["error"]
        whole = error.get("code") == status and error.get("message") and error.get("errors")
        whole = whole and all(each.get(key) for each in error["errors"] for key in ("domain", "reason", "message"))
        expect(whole, f"{told}: no envelope: {content!r}")

    def check(self, name, value):
        """Checks a value against a schema of the document."""
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
            self._string(schema, value, where)
        elif kind == "boolean":
            expect(isinstance(value, bool), f"{where}: no boolean: {value!r}")
        elif kind in ("integer", "number"):
            expect(isinstance(value, (int, float)) and not isinstance(value, bool), f"{where}: no number: {value!r}")
        elif kind != "any":
            raise Failure(f"{where}: the schema has an unknown type {kind}")

    def _object(self, schema, value, where):
        expect(isinstance(value, dict), f"{where}: no object: {value!r}")
        for key, field in value.items():
            inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            expect(inner is not None, f"{where}: there is no field {key!r}")
            # In a request, null takes a value away.
            if field is not None or not where.split(".")[0].endswith(": body"):
                self._check(inner, field, f"{where}.{key}")

    @staticmethod
    def _string(schema, value, where):
        form = schema.get("format")
        expect(isinstance(value, str), f"{where}: no string: {value!r}")
        if form in ("int64", "uint64"):
            expect(re.fullmatch(r"-?\d+", value), f"{where}: no 64-bit number: {value!r}")
        if form == "date-time":
            expect(TIME.fullmatch(value), f"{where}: no time in milliseconds and UTC: {value!r}")
        if "enum" in schema:
            expect(value in schema["enum"], f"{where}: none of {schema['enum']}: {value!r}")


def _parts(content_type, text):
    message = email.parser.Parser().parsestr(f"Content-Type: {content_type}\n\n{text}")
    expect(message.is_multipart(), f"no batch: {content_type}")
    for part in message.get_payload():
        expect(part.get_content_type() == "application/http", f"a part of a batch: {part.get_content_type()}")
    return [part.get_payload() for part in message.get_payload()]
