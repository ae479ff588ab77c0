"""A reader who allows what a page asks: the browser of scripts/check-docs. Takes the link, as $BROWSER does."""

import re
import sys
import urllib.parse
import urllib.request

link = sys.argv[1]
page = urllib.request.urlopen(link, timeout=30).read().decode()
form = {"ticket": re.search(r'name="ticket" value="([^"]+)"', page)[1], "decision": "allow"}
form |= dict.fromkeys(re.findall(r'type="checkbox" name="([^"]+)"', page), "on")
# Goes where the answer sends a browser: back to the program that asks.
urllib.request.urlopen(
    urllib.parse.urljoin(link, "/o/oauth2/consent"), urllib.parse.urlencode(form).encode(), timeout=30
).read()
