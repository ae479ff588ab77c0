"""What checks the drive is itself checked: each of these must be found.

Ends with 0, or with a message and 1.
"""

import json
import sys

from contract import Contract, Failure, discovery_document, expect

URL = "http://drive"


def found(what, check):
    try:
        check()
    except Failure:
        return
    raise Failure(f"not found: {what}")


def main():
    contract = Contract(discovery_document(URL))

    def ask(target, method="GET", body=None):
        return contract.asked(URL + target, method, {"Content-Type": "application/json"}, body)

    def answer(target, content, status=200, method="GET", content_type="application/json; charset=UTF-8"):
        call = ask(target, method)
        return contract.answered(call, status, {"content-type": content_type}, json.dumps(content).encode())

    for target, method, body in [
        ("/drive/v2/files", "GET", None),
        ("/drive/v3/files", "PUT", None),
        ("/drive/v3/files?nothing=1", "GET", None),
        ("/drive/v3/files?pageSize=0", "GET", None),
        ("/drive/v3/files?corpora=elsewhere&supportsAllDrives=maybe", "GET", None),
        ("/drive/v3/changes", "GET", None),
        ("/drive/v3/files", "POST", '{"nothing": 1}'),
        ("/drive/v3/files", "POST", '{"size": 1}'),
    ]:
        found(f"{method} {target} {body}", lambda: ask(target, method, body))

    file = "/drive/v3/files/x"
    for content in [
        {"nothing": 1},
        {"size": 1},
        {"size": "1.5"},
        {"trashed": "true"},
        {"modifiedTime": "2020-01-02T03:04:05Z"},
        {"parents": "root"},
        {"capabilities": {"canFly": True}},
        {"imageMediaMetadata": {"width": "1"}},
        [],
    ]:
        found(content, lambda: answer(file, content))
    whole = {"domain": "global", "reason": "notFound", "message": "m"}
    for error in [{}, {"code": 403, "message": "m", "errors": [whole]}, {"code": 404, "message": "m", "errors": [{}]}]:
        found(error, lambda: answer(file, {"error": error}, 404))
    found("a refusal that is no JSON", lambda: answer(file, {}, 404, content_type="text/html"))
    found("an answer to a delete", lambda: answer(file, {}, 200, "DELETE"))
    found("a 308 to something else", lambda: answer(file, {}, 308))

    good = {"size": "1", "modifiedTime": "2020-01-02T03:04:05.678Z", "properties": {"any": "thing"}, "parents": ["a"]}
    answer(file, good)
    answer(file, {"error": {"code": 404, "message": "m", "errors": [whole]}}, 404)
    expect(contract.methods == {"drive.files.get", "drive.files.delete"}, f"the methods: {contract.methods}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"test_contract: {failure}")
