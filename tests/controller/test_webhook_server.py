"""The webhooks over real TLS: what the API server sends and gets, certificates that change, and how it stops."""

import asyncio
import io
import json
import pathlib
import ssl

import aiohttp
import pytest

from browserpool import metrics
from browserpool.controller.webhooks import review, server
from support import waiting

PEMS = [pathlib.Path(waiting.__file__).with_name(f"webhooks_{number}.pem") for number in (1, 2)]


def written(folder, pem):
    """The pair as a Secret's volume has it: two files."""
    key, _, chain = pem.read_text().partition("-----BEGIN CERTIFICATE-----")
    (folder / "tls.crt").write_text("-----BEGIN CERTIFICATE-----" + chain)
    (folder / "tls.key").write_text(key)


@pytest.fixture
def certificate(tmp_path):
    written(tmp_path, PEMS[0])
    return server.Certificate(chain=tmp_path / "tls.crt", key=tmp_path / "tls.key")


def trusting(pem):
    return ssl.create_default_context(cadata=pem.read_text().partition("-----END PRIVATE KEY-----")[2])


def asked(**more):
    request = {"uid": "u1", "namespace": "apps", "operation": "CREATE", "object": {"metadata": {"name": "p"}}}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request | more}


async def post(port, path, body, *, pem=PEMS[0]):
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{port}{path}"
        sent = io.BytesIO(json.dumps(body).encode())
        async with session.post(url, data=sent, ssl=trusting(pem)) as answer:
            return answer.status, await (answer.json() if answer.status == 200 else answer.text())


def deciding(answer):
    async def decide(request):
        assert request.uid == "u1"
        return answer

    return decide


def serving(certificate, decisions, **more):
    return server.serving(decisions, certificate=certificate, host="127.0.0.1", port=0, **more)


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        (review.Answer(outcome="fine"), {"allowed": True}),
        (review.Answer(outcome="warned", warning="mind"), {"allowed": True, "warnings": ["mind"]}),
        (
            review.Answer(outcome="patched", patch=({"op": "add", "path": "/a", "value": 1},)),
            {"allowed": True, "patchType": "JSONPatch", "patch": "W3sib3AiOiJhZGQiLCJwYXRoIjoiL2EiLCJ2YWx1ZSI6MX1d"},
        ),
        (
            review.Answer(outcome="later", allowed=False, code=429, reason="TooManyRequests", message="again"),
            {
                "allowed": False,
                "status": {"status": "Failure", "code": 429, "reason": "TooManyRequests", "message": "again"},
            },
        ),
    ],
)
async def test_an_answer_goes_through_as_it_is(certificate, answer, response):
    async with serving(certificate, {"ask": deciding(answer)}) as port:
        # The API server adds its own timeout as a query.
        status, body = await post(port, "/ask?timeout=5s", asked())
    assert status == 200
    assert body == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u1"} | response,
    }


async def test_it_is_counted(certificate):
    def seen():
        return metrics.REGISTRY.get_sample_value(
            "browserpool_admission_seconds_count", {"webhook": "counted", "outcome": "fine"}
        )

    async with serving(certificate, {"counted": deciding(review.Answer(outcome="fine"))}) as port:
        await post(port, "/counted", asked())
        await post(port, "/counted", asked())
    assert seen() == 2


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/other", asked(), 404),
        ("/", asked(), 404),
        ("/ask", {}, 400),
        ("/ask", [], 400),
        ("/ask", {"request": {}}, 400),
        ("/ask", {"request": {"uid": 7}}, 400),
        ("/ask", asked(padding="x" * 2**20), 413),
    ],
)
async def test_what_is_no_review_is_refused_and_the_next_one_served(certificate, path, body, status):
    async with serving(certificate, {"ask": deciding(review.Answer(outcome="fine"))}) as port:
        assert (await post(port, path, body))[0] == status
        assert (await post(port, "/ask", asked()))[0] == 200


async def test_what_is_not_json_is_refused(certificate):
    async with (
        serving(certificate, {"ask": deciding(review.Answer(outcome="fine"))}) as port,
        aiohttp.ClientSession() as session,
        session.post(f"https://127.0.0.1:{port}/ask", data=b"\xff{", ssl=trusting(PEMS[0])) as answer,
    ):
        assert answer.status in (400, 500)


async def test_a_bug_in_a_decision_is_a_500_which_the_api_server_lets_pass(certificate):
    async def broken(_):
        raise ZeroDivisionError

    async with serving(certificate, {"ask": broken}) as port:
        assert (await post(port, "/ask", asked()))[0] == 500


async def test_a_decision_that_takes_too_long_is_given_up(certificate):
    async def endless(_):
        await asyncio.Event().wait()

    async with serving(certificate, {"ask": endless}, deadline=0.05) as port:
        status, said = await post(port, "/ask", asked())
    assert status == 504
    assert "Not decided within 0.05 s" in said


async def test_a_review_that_runs_is_decided_before_the_port_is_left(certificate):
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(_):
        begun.set()
        await go.wait()
        return review.Answer(outcome="fine")

    async with asyncio.TaskGroup() as group, serving(certificate, {"ask": slow}) as port:
        asking = group.create_task(post(port, "/ask", asked()))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.1, go.set)
    assert (await asking)[0] == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(port, "/ask", asked())


class TestCertificates:
    @pytest.fixture
    async def port(self, certificate):
        async with serving(certificate, {"ask": deciding(review.Answer(outcome="fine"))}, reload_every=0.02) as made:
            yield made

    async def test_one_that_is_renewed_serves_new_connections_and_old_ones_go_on(self, port, tmp_path):
        async with aiohttp.ClientSession() as old:

            async def again():
                async with old.post(f"https://127.0.0.1:{port}/ask", json=asked(), ssl=trusted) as answer:
                    return answer.status

            trusted = trusting(PEMS[0])
            assert await again() == 200
            written(tmp_path, PEMS[1])
            await waiting.until(lambda: accepted(port, PEMS[1]))
            assert not await accepted(port, PEMS[0]), "a new connection does not get the old certificate"
            assert await again() == 200, "an open connection is not cut"

    async def test_a_pair_that_does_not_fit_is_waited_out(self, port, tmp_path, caplog):
        other = tmp_path / "other"
        other.mkdir()
        written(other, PEMS[1])
        (tmp_path / "tls.crt").write_text((other / "tls.crt").read_text())
        await waiting.until(lambda: "cannot be loaded" in caplog.text)
        assert await accepted(port, PEMS[0]), "the last good one serves on"
        (tmp_path / "tls.key").write_text((other / "tls.key").read_text())
        await waiting.until(lambda: accepted(port, PEMS[1]))

    async def test_files_that_change_while_they_are_loaded_keep_nobody_out(self, port, tmp_path, monkeypatch):
        load, loaded = server._context, []

        def changing(files):
            made = load(files)
            loaded.append(made)
            # Of two pairs, one half each; the next look finds the fitting pair again.
            (tmp_path / "tls.key").write_text(PEMS[0].read_text().partition("-----BEGIN CERTIFICATE-----")[0])
            return made

        monkeypatch.setattr(server, "_context", changing)
        written(tmp_path, PEMS[1])
        await waiting.until(lambda: loaded)
        await waiting.until(lambda: accepted(port, PEMS[1]))

    async def test_files_that_are_away_are_waited_for(self, port, tmp_path, caplog):
        (tmp_path / "tls.key").unlink()
        await waiting.until(lambda: "cannot be loaded" in caplog.text)
        assert await accepted(port, PEMS[0])


async def accepted(port, pem):
    """Whether a client that trusts this certificate alone is served."""
    try:
        return (await post(port, "/ask", asked(), pem=pem))[0] == 200
    except aiohttp.ClientConnectorCertificateError:
        return False


async def test_a_certificate_that_is_not_there_keeps_it_from_starting(tmp_path):
    missing = server.Certificate(chain=tmp_path / "none.crt", key=tmp_path / "none.key")
    with pytest.raises(OSError, match=r"none\.crt"):
        async with serving(missing, {}):
            pass
