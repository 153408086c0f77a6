"""The API's document and its page, as they are served."""

import orjson

from browserpool.router import routes
from browserpool.router.openapi import documentation, said
from support import routers


async def test_the_document_is_served_to_everybody(rig: routers.Rig) -> None:
    async with rig.client.get(f"{rig.url}/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        body = await answer.read()
    assert orjson.loads(body) == orjson.loads(documentation.Documentation(routes.ROUTES, said=said.SAID).json)


async def test_the_page_is_served_to_everybody_and_holds_the_callers_address(rig: routers.Rig) -> None:
    async with rig.client.get(f"{rig.url}/docs", headers={"Host": "pool.example:81"}) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
        text = await answer.text()
    assert "http://pool.example:81/v1/screenshot" in text
    assert rig.secret not in text
