"""One model after another, until one gives what was asked for. One request each, under a deadline; nothing of it is kept."""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final, Self

import aiohttp
import orjson

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.wire import extract
from browserpool.router.ai import asking, conforming, providers

log = logging.getLogger(__name__)

MAX_ANSWER: Final = 4 * 1024 * 1024
"""Bytes of a provider's answer."""
_CONNECT: Final = 10.0
"""Seconds until a provider takes a connection."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of whom; checked, so that it can be answered."""

    models: tuple[providers.Model, ...]
    prompt: str | None
    schema: Mapping[str, Any] | None


class Models:
    """The client. Close it by leaving its context. ``timeout``: seconds that one model has for one answer."""

    def __init__(self, table: providers.Table, *, timeout: float) -> None:
        self._table = table
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECT)
        self._session = aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": "browserpool"})
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def question(self, wanted: extract.Extraction) -> Question:
        """What is to be asked, before anything is done for it.

        Raises:
            errors.InvalidRequest: a provider that nobody knows, or no JSON Schema.
            errors.NotConfigured: no model is named, and the installation has none.
        """
        models = providers.chosen(wanted, self._table)
        if (schema := wanted.schema_wanted) is not None:
            await asyncio.to_thread(conforming.refuse_unfit, schema)
        return Question(models=models, prompt=wanted.prompt, schema=schema)

    async def answer(self, question: Question, page: asking.Page) -> dict[str, Any] | list[Any]:
        """What the first model that can says about the page, as JSON that conforms to the schema.

        Raises:
            errors.ModelFailed: none did, and asking again is of no use.
            errors.ModelUnavailable: none did, and the last may later.
            errors.InvalidRequest: the schema cannot be decided.
        """
        troubles: list[errors.ModelFailed | errors.ModelUnavailable] = []
        for model in question.models:
            try:
                with _measured(model):
                    return await self._one(model, question, page)
            except (errors.ModelFailed, errors.ModelUnavailable) as trouble:
                log.info("a model gave no answer", extra={"model": model.shown, "why": trouble.message})
                troubles.append(trouble)
        raise _summed(troubles)

    async def _one(self, model: providers.Model, question: Question, page: asking.Page) -> dict[str, Any] | list[Any]:
        text = asking.said(model, await self._completion(model, question, page))
        value = asking.value(model, text)
        if question.schema is not None:
            problem = await asyncio.to_thread(conforming.complaint, value, question.schema)
            if problem is not None:
                raise errors.ModelFailed(
                    f"{model.shown}: the model's answer does not conform to the schema: {problem}",
                    raw=text[: asking.MAX_RAW],
                )
        return value

    async def _completion(self, model: providers.Model, question: Question, page: asking.Page) -> bytes:
        for plain in (False, True):
            body = asking.request(page, model=model.name, prompt=question.prompt, schema=question.schema, plain=plain)
            status, answer, retry_after = await self._post(model, orjson.dumps(body))
            if status == 200:
                return answer
            if plain or not asking.minds_the_form(status, answer):
                raise asking.refusal(model, status, answer, retry_after=retry_after)
        raise AssertionError("the second time it is raised")

    async def _post(self, model: providers.Model, body: bytes) -> tuple[int, bytes, str | None]:
        """Status, body and Retry-After of the endpoint's answer."""
        assert self._session is not None, "used outside of its context"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if model.authorization is not None:
            headers["Authorization"] = model.authorization
        try:
            # Not led on elsewhere: the key is for this address.
            async with self._session.post(model.url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status, await _read(answer, model), answer.headers.get("Retry-After")
        except aiohttp.ConnectionTimeoutError as error:
            raise errors.ModelUnavailable(f"{model.shown}: its endpoint takes no connection.", retry_after=1) from error
        except TimeoutError as error:
            raise errors.ModelFailed(f"{model.shown}: no answer within {self._timeout:g} s.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise errors.ModelUnavailable(
                f"{model.shown}: its endpoint cannot be reached, or went away ({type(error).__name__}).", retry_after=1
            ) from error


async def _read(answer: aiohttp.ClientResponse, model: providers.Model) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise errors.ModelFailed(f"{model.shown}: its endpoint's answer has more than {MAX_ANSWER} bytes.")
    return bytes(body)


def _summed(
    troubles: list[errors.ModelFailed | errors.ModelUnavailable],
) -> errors.ModelFailed | errors.ModelUnavailable:
    """The last trouble, with the words of all."""
    last = troubles[-1]
    last.message = " ".join(trouble.message for trouble in troubles)
    return last


@contextlib.contextmanager
def _measured(model: providers.Model) -> Iterator[None]:
    started, outcome = clock.monotonic(), "gone"
    try:
        yield
        outcome = "ok"
    except errors.BrowserpoolError as error:
        outcome = "unavailable" if isinstance(error, errors.ModelUnavailable) else "failed"
        raise
    finally:
        metrics.MODEL_SECONDS.labels(model.provider, outcome).observe(clock.monotonic() - started)
