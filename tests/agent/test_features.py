"""What a pool's ``chromium.features`` bring, and what is not there without them, on a real Chromium behind a real agent."""

import pytest

from browserpool.agent import flags
from browserpool.model.pool import Feature
from support import agents

DRAW = """
const gl = document.createElement('canvas').getContext('webgl');
let said = 'none';
if (gl) { gl.clearColor(0, 1, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT);
  const pixel = new Uint8Array(4); gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); said = pixel.join(); }
document.title = said;
"""
OFFER = """
const context = document.modelContext;
const done = said => { document.title = said; document.body.id = 'done'; };
if (!context) done('none');
else context.registerTool({name: 'add', description: 'adds', inputSchema: {type: 'object'}, execute: async () => ({content: []})})
  .then(() => context.getTools()).then(tools => done(tools.map(tool => tool.name).join())).catch(error => done('failed: ' + error));
"""
NOTHING, GREEN = "none", "0,255,0,255"


@pytest.mark.parametrize(
    ("features", "drawn", "offered"),
    [
        (None, GREEN, NOTHING),
        (["WebGL", "WebMCP"], GREEN, "add"),
        (["WebMCP"], NOTHING, "add"),
        ([], NOTHING, NOTHING),
    ],
    ids=["as it is", "both", "WebMCP", "none"],
)
async def test_a_page_has_the_features_of_its_pool(tmp_path, features, drawn, offered):
    settings = {"egress_allow": ["127.0.0.0/8"]} | ({} if features is None else {"chromium_features": features})
    async with agents.router() as router, agents.site() as page, agents.agent(router, tmp_path, **settings) as agent:

        async def title(script, **more):
            body = {"url": page, "addScriptTag": [{"content": script}], **more}
            token = agents.token(agents.FIRST_FENCE + 1)
            status, answer = await agent.post("/v1/actions/content", token, body)
            assert status == 200, answer
            return answer["meta"]["title"]

        assert await title(DRAW) == drawn
        # No picture: what it offers stands in the title once the page has its mark.
        assert await title(OFFER, waitForSelector={"selector": "#done"}) == offered


def test_every_feature_of_the_manifest_is_known_to_the_agent():
    assert set(flags.FEATURES) == {feature.value for feature in Feature}


async def test_an_agent_says_which_feature_it_does_not_know(tmp_path):
    async with agents.router() as router:
        environment = agents.environment(router, base=tmp_path, chromium_features=["WebGL", "Telepathy"])
        process = agents.spawn(environment, tmp_path / "log")
        assert process.wait(20) == 2
    said = (tmp_path / "log").read_text()
    assert "BROWSERPOOL_CHROMIUM_FEATURES: may hold WebGL, WebMCP (given: Telepathy)" in said
