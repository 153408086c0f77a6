"""json: the page from an agent, the question to a model over a real socket, the answer held to the schema."""

import contextlib
import logging

import orjson
import pytest

from browserpool.model import agentapi, errors
from browserpool.model.wire import envelope
from support import models, routers, waiting

PATH = "/v1/json"
TEXT = "# Shop\n\nApples cost 3.\n"
SCHEMA = {
    "type": "object",
    "properties": {"fruit": {"type": "string"}, "price": {"type": "number"}},
    "required": ["fruit"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": SCHEMA}
BODY = {"url": "https://example.com/shop", "prompt": "What is for sale?", "response_format": FORMAT}
FRUIT = {"fruit": "apple", "price": 3}
GOOD = models.says(orjson.dumps(FRUIT).decode())


def a_page(text=TEXT, title="Shop"):
    body = orjson.dumps(envelope.success(text, meta={"status": 200, "title": title}))
    return routers.answers(body, content_type="application/json", **{agentapi.BROWSER_MS_USED: "34"})


@pytest.fixture
async def world():
    async with models.world(own=GOOD, one=GOOD, two=GOOD) as made:
        yield made


def knowing(world, **changes):
    return {
        "ai_url": world.base("own"),
        "ai_model": "house-1",
        "ai_key": "the-operators-key",
        "ai_providers": (f"one={world.base('one')}", f"two={world.base('two')}"),
        "ai_timeout": 5.0,
        **changes,
    }


@contextlib.asynccontextmanager
async def serving(dsn, database, **changes):
    async with routers.rig(dsn, database, **changes) as made:
        [agent] = await made.make_pool()
        agent.does = a_page()
        yield made


@pytest.fixture
async def rig(dsn, database, world):
    async with serving(dsn, database, **knowing(world)) as made:
        yield made


def custom(*names, authorization="Bearer the-callers-key"):
    return {**BODY, "custom_ai": [{"model": name, "authorization": authorization} for name in names]}


# ---------------------------------------------------------------- what is asked, and answered
async def test_an_answer_comes_with_the_pages_meta(rig, world):
    answer = await rig.post(PATH, BODY)
    assert answer.status == 200
    assert answer.json == {
        "success": True,
        "result": FRUIT,
        "errors": [],
        "messages": [],
        "meta": {"status": 200, "title": "Shop"},
    }
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers[agentapi.BROWSER_MS_USED] == "34"
    assert answer.headers["X-Browserpool-Pool"] == "small"


async def test_the_model_is_told_the_page_the_wish_and_the_form(rig, world):
    await rig.post(PATH, BODY)
    [asked] = world.asked
    assert (asked.model, asked.authorization) == ("house-1", "Bearer the-operators-key")
    assert asked.format == {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    assert all(part in asked.words for part in (TEXT, "What is for sale?", orjson.dumps(SCHEMA).decode(), '"Shop"'))
    assert "stream" not in asked.body


async def test_the_agent_is_asked_for_the_page_and_not_told_what_is_for_the_model(rig):
    await rig.post(PATH, {**custom("one/m"), "userAgent": "me", "cacheTTL": 7})
    [(action, body)] = rig.agents[0].served
    assert (action, orjson.loads(body)) == ("markdown", {"url": BODY["url"], "userAgent": "me"})


@pytest.mark.parametrize(
    "given",
    [
        {"type": "json_schema", "schema": SCHEMA},
        {"type": "json_schema", "json_schema": SCHEMA},
        {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}},
    ],
    ids=["documented", "the SDKs' types", "OpenAI's"],
)
async def test_a_schema_stands_where_docs_sdks_or_openai_have_it(rig, world, given):
    assert (await rig.post(PATH, {"html": "x", "response_format": given})).json["result"] == FRUIT
    assert world.asked[0].format["json_schema"]["schema"] == SCHEMA


@pytest.mark.parametrize("extra", [{}, {"response_format": {"type": "json_object"}}])
async def test_a_prompt_alone_gives_any_object(rig, world, extra):
    assert (await rig.post(PATH, {"html": "x", "prompt": "all", **extra})).json["result"] == FRUIT
    assert world.asked[0].format == {"type": "json_object"}


async def test_the_browser_is_given_back_before_the_model_is_asked(rig, world):
    world.replies["own"] = models.hangs
    task = rig.background.spawn(rig.post(PATH, BODY), name="asking")
    await waiting.until(lambda: len(world.asked) == 1, deadline=5)
    await rig.until_ready()
    task.cancel()


async def test_a_caller_that_goes_away_takes_the_question_with_it(rig, world):
    world.replies["own"] = models.hangs
    task = rig.background.spawn(rig.post(PATH, BODY), name="impatient")
    await waiting.until(lambda: len(world.asked) == 1, deadline=5)
    task.cancel()
    await waiting.until(lambda: world.asked[0].request.transport is None, deadline=5)
    await waiting.until(lambda: rig.running.services.quotas.running("tester") == 0, deadline=5)


async def test_the_answer_is_kept_for_its_ttl(dsn, database, world):
    async with serving(dsn, database, **knowing(world, cache="memory")) as rig:
        first, again = await rig.post(PATH, BODY), await rig.post(PATH, BODY)
        other = await rig.post(PATH, custom("one/m"))
    assert (again.body, len(world.asked)) == (first.body, 2)
    said = [one.headers["X-Browserpool-Cache"] for one in (first, again, other)]
    assert said == ["miss", "hit", "miss"]
    assert again.headers["Content-Type"] == "application/json"
    assert again.headers[agentapi.BROWSER_MS_USED] == "0"


async def test_a_long_page_is_cut_and_both_are_told(dsn, database, world):
    async with serving(dsn, database, **knowing(world, ai_page_chars=1000)) as rig:
        rig.agents[0].does = a_page("ä" * 999 + "beyond" * 100)
        answer = await rig.post(PATH, BODY)
    assert answer.json["result"] == FRUIT
    assert "1599" in answer.json["messages"][0]["message"]
    assert "ä" * 999 + "b\n" in world.asked[0].words
    assert "1599" in world.asked[0].words


async def test_a_page_that_fails_is_the_agents_answer_and_no_model_is_asked(rig, world):
    rig.agents[0].does = routers.refuses(errors.PageFailed("net::ERR_NAME_NOT_RESOLVED", code=errors.Code.DNS))
    answer = await rig.post(PATH, BODY)
    assert (answer.status, answer.json["errors"][0]["code"], world.asked) == (422, 5005, [])
    assert answer.headers["x-should-retry"] == "false"
    await rig.until_ready()


# ---------------------------------------------------------------- what the model may say
SAYINGS = {
    "bare": orjson.dumps(FRUIT).decode(),
    "indented": '\n  {\n "fruit": "apple", "price": 3 }\n',
    "fenced": 'Here it is:\n```json\n{"fruit": "apple", "price": 3}\n```\nAnything else?',
    "after thinking": '<think>{"no": 1} hm</think>\n{"fruit": "apple", "price": 3}',
    "among words": 'The page says {"fruit": "apple", "price": 3}.',
    "in parts": [{"type": "text", "text": '{"fruit": "apple",'}, {"type": "text", "text": ' "price": 3}'}],
}


@pytest.mark.parametrize("content", SAYINGS.values(), ids=SAYINGS)
async def test_json_is_found_in_what_models_say(rig, world, content):
    world.replies["own"] = models.says(content)
    assert (await rig.post(PATH, BODY)).json["result"] == FRUIT


USELESS = {
    "words": (models.says("I cannot see any fruit."), "no JSON", "I cannot see any fruit."),
    "a number": (models.says("3"), "no JSON", "3"),
    "another form": (models.says('{"price": 3}'), "'fruit' is a required property", '{"price": 3}'),
    "too much": (models.says('{"fruit": "a", "x": 1}'), "'x' is not one of its properties", '{"fruit": "a", "x": 1}'),
    "nothing": (models.says(""), "said nothing", ""),
    "a refusal": (models.says(None, refusal="I will not."), "would not answer", "I will not."),
    "half": (models.says('{"fruit": "a', finish_reason="length"), "cut off", '{"fruit": "a'),
}


@pytest.mark.parametrize(("reply", "why", "raw"), USELESS.values(), ids=USELESS)
async def test_an_answer_of_no_use_is_422_with_what_was_said_and_no_retry(rig, world, reply, why, raw):
    world.replies["own"] = reply
    answer = await rig.post(PATH, BODY)
    assert answer.status == 422
    assert (answer.json["success"], answer.json["result"], answer.json["rawAiResponse"]) == (False, None, raw)
    assert answer.json["errors"][0]["code"] == errors.Code.MODEL_FAILED
    assert why in answer.message
    assert answer.headers["x-should-retry"] == "false"
    assert "Retry-After" not in answer.headers
    assert answer.headers[agentapi.BROWSER_MS_USED] == "34"
    assert answer.headers["Content-Type"] == "application/json"


# ---------------------------------------------------------------- what endpoints do
FAULTS = {
    "its key": (models.refuses(401, "Incorrect API key provided: the-operators-key"), 422, "does not take the key"),
    "no such model": (models.refuses(404, "no model house-1"), 422, "no model house-1"),
    "too many": (models.refuses(429, "slow down", **{"Retry-After": "17"}), 503, "slow down"),
    "its own fault": (models.refuses(500, "oops"), 503, "oops"),
    "no JSON": (models.answers(b"<html>", content_type="text/html"), 422, "no chat completion"),
    "other JSON": (models.answers(b'{"choices": []}'), 422, "no chat completion"),
    "a list": (models.answers(b"[1]"), 422, "no chat completion"),
    "led elsewhere": (models.answers(b"", status=302, Location="/elsewhere"), 422, "302"),
    "half": (models.breaks_off, 503, "went away"),
    "without an end": (models.answers(bytes(5 * 1024 * 1024)), 422, "more than"),
    "strange errors": (models.answers(b'{"error": [7]}', status=400), 422, "answered 400"),
}


@pytest.mark.parametrize(("reply", "status", "why"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_of_the_endpoint_is_told(rig, world, caplog, reply, status, why):
    world.replies["own"] = reply
    with caplog.at_level(logging.DEBUG):
        answer = await rig.post(PATH, BODY)
    assert (answer.status, why in answer.message) == (status, True), answer.message
    assert len(world.asked) == 1
    assert "the-operators-key" not in answer.body.decode()
    assert all("the-operators-key" not in str(vars(record)) for record in caplog.records)
    if status == 422:
        assert answer.headers["x-should-retry"] == "false"
    else:
        assert answer.headers["Retry-After"] == ("17" if "slow down" in why else "1")
    await rig.until_ready()


async def test_an_endpoint_that_does_not_answer_has_its_time_and_no_more(dsn, database, world):
    world.replies["own"] = models.hangs
    async with serving(dsn, database, **knowing(world, ai_timeout=0.3)) as rig:
        answer = await rig.post(PATH, BODY)
    assert (answer.status, "within 0.3 s" in answer.message) == (422, True)


async def test_an_endpoint_that_is_not_there(dsn, database, world):
    async with serving(dsn, database, **knowing(world, ai_url="http://127.0.0.1:1/v1")) as rig:
        answer = await rig.post(PATH, BODY)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "cannot be reached" in answer.message


async def test_an_endpoint_without_structured_output_is_asked_in_words(rig, world):
    def picky(asked):
        if asked.format is not None:
            return models.refuses(400, "This response_format type is unavailable now")(asked)
        return GOOD(asked)

    world.replies["own"] = picky
    assert (await rig.post(PATH, BODY)).json["result"] == FRUIT
    assert [asked.format is not None for asked in world.asked] == [True, False]
    assert orjson.dumps(SCHEMA).decode() in world.asked[1].words


# ---------------------------------------------------------------- custom_ai
async def test_the_callers_models_are_asked_in_their_order_until_one_answers(rig, world):
    world.replies["one"] = models.refuses(500)
    body = custom("one/family/large", "two/small", "two/never")
    assert (await rig.post(PATH, body)).json["result"] == FRUIT
    assert [(asked.provider, asked.model) for asked in world.asked] == [("one", "family/large"), ("two", "small")]
    assert {asked.authorization for asked in world.asked} == {"Bearer the-callers-key"}


async def test_an_answer_that_is_no_json_leads_to_the_next_too(rig, world):
    world.replies["one"] = models.says("no")
    assert (await rig.post(PATH, custom("one/a", "two/b"))).json["result"] == FRUIT


async def test_when_none_answers_each_ones_trouble_is_told(rig, world):
    world.replies |= {"one": models.refuses(429, "busy"), "two": models.says("sorry")}
    answer = await rig.post(PATH, custom("one/a", "two/b"))
    assert (answer.status, answer.json["rawAiResponse"]) == (422, "sorry")
    assert "one/a: its endpoint answered 429. It says: busy two/b: the model's answer is no JSON" in answer.message


@pytest.mark.parametrize(
    ("given", "sent"),
    [("Bearer k", "Bearer k"), ("k", "Bearer k"), (" k ", "Bearer k"), ("Token k", "Token k"), (None, None)],
)
async def test_a_bare_key_is_a_bearer_token_and_none_is_none(rig, world, given, sent):
    await rig.post(PATH, custom("one/m", authorization=given))
    assert world.asked[0].authorization == sent


async def test_a_callers_key_is_in_no_answer_and_no_log(rig, world, caplog):
    world.replies["one"] = models.refuses(400, "bad key the-callers-key given")
    with caplog.at_level(logging.DEBUG):
        answer = await rig.post(PATH, custom("one/m"))
    assert answer.status == 422
    assert "the-callers-key" not in answer.body.decode()
    assert "bad key … given" in answer.message
    assert all("the-callers-key" not in str(vars(record)) for record in caplog.records)


async def test_an_unknown_provider_is_400_before_any_browser(rig, world):
    answer = await rig.post(PATH, custom("one/m", "nowhere/m"))
    assert answer.status == 400
    assert "custom_ai[1]" in answer.message
    assert "nowhere" in answer.message
    assert all(name in answer.message for name in ("one", "two", "openai", "anthropic"))
    assert (world.asked, rig.agents[0].served) == ([], [])


async def test_the_well_known_can_be_left_out(dsn, database, world):
    async with serving(dsn, database, **knowing(world, ai_well_known=False)) as rig:
        answer = await rig.post(PATH, custom("openai/gpt-4o"))
    assert (answer.status, "known here: one, two." in answer.message) == (400, True)


async def test_without_a_model_it_is_501_that_says_how_to_set_one_and_is_not_retried(dsn, database):
    async with serving(dsn, database) as rig:
        answer = await rig.post(PATH, BODY)
        assert rig.agents[0].served == []
    assert (answer.status, answer.headers["x-should-retry"]) == (501, "false")
    assert answer.json["errors"][0]["code"] == errors.Code.NOT_CONFIGURED
    assert all(word in answer.message for word in ("BROWSERPOOL_AI_URL", "BROWSERPOOL_AI_MODEL", "custom_ai"))


# ---------------------------------------------------------------- bodies
WRONG = {
    "nothing to do": ({}, "prompt or response_format is required"),
    "an empty prompt": ({"prompt": ""}, "prompt"),
    "no schema": ({"response_format": {"type": "json_schema"}}, "prompt or response_format is required"),
    "two schemas": ({"response_format": {**FORMAT, "schema": {}}}, "send the schema once"),
    "an unknown form": ({"response_format": {"type": "xml"}}, "response_format.type"),
    "no JSON Schema": (
        {"response_format": {"type": "json_schema", "schema": {"type": "fruit"}}},
        "no JSON Schema at type",
    ),
    "a schema elsewhere": (
        {"response_format": {"type": "json_schema", "schema": {"$ref": "http://a/b"}}},
        "its own parts only",
    ),
    "a model without provider": ({"prompt": "x", "custom_ai": [{"model": "gpt-4o"}]}, "custom_ai[0].model"),
    "a line break": ({"prompt": "x", "custom_ai": [{"model": "a/b", "authorization": "secret\r\nX: y"}]}, "one line"),
    "another field": ({"prompt": "x", "promt": "y"}, "did you mean prompt?"),
}


@pytest.mark.parametrize(("extra", "why"), WRONG.values(), ids=WRONG)
async def test_a_wrong_body_is_400_with_its_reason(rig, world, extra, why):
    answer = await rig.post(PATH, {"html": "x", **extra})
    assert (answer.status, why in answer.message) == (400, True), answer.message
    assert "secret" not in answer.message
    assert (world.asked, rig.agents[0].served) == ([], [])


async def test_it_is_counted(rig):
    await rig.post(PATH, BODY)
    text = (await rig.request("GET", "/metrics")).body.decode()
    assert 'browserpool_model_seconds_count{outcome="ok",provider="default"}' in text
    assert 'action="json",outcome="ok",pool="small"' in text


async def test_a_models_failure_is_not_counted_as_the_pages(rig, world):
    for does, outcome in ((models.says("no"), "model_failed"), (GOOD, "page_failed")):
        world.replies["own"] = does
        if outcome == "page_failed":
            rig.agents[0].does = routers.refuses(errors.PageFailed("it failed", code=errors.Code.DNS))
        assert (await rig.post(PATH, BODY)).status == 422
        text = (await rig.request("GET", "/metrics")).body.decode()
        assert f'action="json",outcome="{outcome}",pool="small"' in text
