"""What `helm test` does: the router answers, knows the token, and (once there is a pool) renders a page in each pool."""

import json
import os
import sys
import urllib.error
import urllib.request

URL, TOKEN = os.environ["BROWSERPOOL_URL"], os.environ["BROWSERPOOL_TOKEN"]


def ask(path: str, body: object = None) -> dict:
    request = urllib.request.Request(
        URL + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{path}: {error.code} {error.read().decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"{URL}{path} cannot be reached: {error}")


pools = [pool["name"] for pool in ask("/v1/status")["pools"]]
print(f"The router at {URL} answers. Pools: {', '.join(pools) or 'none yet'}.")
for pool in pools:
    answer = ask(f"/v1/content?pool={pool}&cacheTTL=0", {"html": "<p id=it>browserpool</p>"})
    if "browserpool" not in answer["result"]:
        sys.exit(f"The pool {pool} rendered something else: {answer['result']!r}")
    print(f"The pool {pool} renders pages.")
