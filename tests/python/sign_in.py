"""Signs in to a drive with Google's own library: with the key of a service account, and with a refresh token.

Takes DRIVE_URL, DRIVE_DATA (the drive's data folder) and REFRESH_TOKEN from the environment. Ends with 0, or with a message and 1.
"""

import datetime
import json
import os
import sys
from pathlib import Path

import google_auth_httplib2
import httplib2
from google.auth import crypt, exceptions, jwt
from google.oauth2 import credentials, service_account
from googleapiclient import discovery
from googleapiclient.errors import HttpError

from contract import Failure, discovery_document, expect

URL, DATA = os.environ["DRIVE_URL"], Path(os.environ["DRIVE_DATA"])
SCOPE = "https://www.googleapis.com/auth/"


def service(creds):
    http = google_auth_httplib2.AuthorizedHttp(creds, http=httplib2.Http())
    return discovery.build_from_document(discovery_document(URL), http=http)


def names(creds):
    return [file["name"] for file in service(creds).files().list().execute()["files"]]


def assertion_refused(key, what, **changed):
    now = int(datetime.datetime.now(datetime.timezone.utc).timestamp())
    claims = {"iss": key["client_email"], "scope": SCOPE + "drive", "aud": key["token_uri"], "iat": now, "exp": now + 3600}
    signer = crypt.RSASigner.from_service_account_info(key)
    assertion = jwt.encode(signer, {**claims, **changed}).decode()
    body = f"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={assertion}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response, content = httplib2.Http().request(key["token_uri"], "POST", body=body, headers=headers)
    expect(response.status in (400, 401), f"{what}: {response.status} {content!r}")


def main():
    key = json.loads((DATA / "service-account.json").read_text())
    account = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE + "drive"])
    expect(names(account) == [], "the service account finds nothing that was not shared with it")
    acting = service_account.Credentials.from_service_account_info(
        key, scopes=[SCOPE + "drive"], subject="owner@drive.localhost"
    )
    expect(names(acting) == ["found"], "the service account finds the file when it acts for the person of the drive")
    found = service(acting).files().list().execute()["files"][0]["id"]
    grant = {"type": "user", "role": "reader", "emailAddress": key["client_email"]}
    service(acting).permissions().create(fileId=found, body=grant).execute()
    expect(names(account) == ["found"], "the service account finds what was shared with it")
    reader = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE + "drive.readonly"])
    try:
        service(reader).files().create(body={"name": "x"}).execute()
        raise Failure("who may read only has created a file")
    except HttpError as error:
        expect(error.resp.status == 403, f"not refused, but {error}")
    assertion_refused(key, "for another server", aud="https://example.com/token")
    assertion_refused(key, "too long", exp=2**31)
    assertion_refused(key, "of the past", iat=0, exp=3600)
    assertion_refused(key, "for another person", sub="somebody@example.com")
    assertion_refused(key, "of another account", iss="nobody@example.com")
    other = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE + "drive"], subject="somebody@example.com")
    try:
        names(other)
        raise Failure("a service account acts for a stranger")
    except exceptions.RefreshError:
        pass

    installed = json.loads((DATA / "client-secret.json").read_text())["installed"]
    person = credentials.Credentials(
        None,
        refresh_token=os.environ["REFRESH_TOKEN"],
        token_uri=installed["token_uri"],
        client_id=installed["client_id"],
        client_secret=installed["client_secret"],
    )
    expect(names(person) == ["found"], "the person's application finds the file")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"sign_in: {failure}")
