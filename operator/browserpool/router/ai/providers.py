"""Which models to ask for a request, and where they are. Pure.

A caller names a provider, never an address: what this process can reach is the operator's to say. The operator's key goes to the operator's
endpoint and to no other; a caller's goes to the provider that he names with it.
"""

import dataclasses
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Final

from browserpool.model import errors
from browserpool.model.wire import extract

WELL_KNOWN: Final[Mapping[str, str]] = {
    "anthropic": "https://api.anthropic.com/v1",
    "cerebras": "https://api.cerebras.ai/v1",
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "fireworks": "https://api.fireworks.ai/inference/v1",
    "google-ai-studio": "https://generativelanguage.googleapis.com/v1beta/openai",
    "grok": "https://api.x.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "openai": "https://api.openai.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "perplexity-ai": "https://api.perplexity.ai",
    "together": "https://api.together.xyz/v1",
}
"""Their addresses for OpenAI's clients, under the names that Cloudflare's AI Gateway has for them where it has one."""

OWN: Final = "default"
"""How the operator's own endpoint is called in metrics and messages."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model at its endpoint. ``authorization``: the header's whole value, or none. ``own``: the operator's, key and all."""

    provider: str
    name: str
    url: str
    authorization: str | None = dataclasses.field(default=None, repr=False)

    @property
    def own(self) -> bool:
        """Whether it is the operator's, and the caller has no business with its key."""
        return self.provider == OWN

    @property
    def shown(self) -> str:
        """What it is called towards callers."""
        return "the installation's model" if self.own else f"{self.provider}/{self.name}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The operator's endpoint, if there is one, and base addresses by providers' names."""

    own: Model | None
    bases: Mapping[str, str]


def table(*, url: str, model: str, key: str, more: Iterable[str] = (), well_known: bool = True) -> Table:
    """The table of an installation; ``more`` are ``name=url``, which win over those that are well known.

    Raises:
        ValueError: one of them cannot be read.
    """
    if url and urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"ai_url must be like https://host/v1 (given: {url[:60]!r})")
    own = Model(provider=OWN, name=model, url=_endpoint(url), authorization=_bearer(key)) if url else None
    return Table(own=own, bases={**(WELL_KNOWN if well_known else {}), **dict(map(entry, more))})


def entry(text: str) -> tuple[str, str]:
    """``name=url``, read.

    Raises:
        ValueError: it is not like that.
    """
    name, _, url = text.partition("=")
    parts = urllib.parse.urlsplit(url.strip())
    if not name.strip() or "/" in name or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"a provider is written as name=https://host/v1 (given: {text[:60]!r})")
    return name.strip(), url.strip()


def chosen(wanted: extract.Extraction, known: Table) -> tuple[Model, ...]:
    """The models to ask, in their order.

    Raises:
        errors.InvalidRequest: a provider that nobody knows; the message lists those that are known.
        errors.NotConfigured: none is named, and the installation has none.
    """
    if wanted.custom_ai:
        return tuple(_custom(index, one, known) for index, one in enumerate(wanted.custom_ai))
    if known.own is None:
        raise errors.NotConfigured(
            "json asks a language model, and this installation has none. Name one in custom_ai, or have its operator set "
            "BROWSERPOOL_AI_URL and BROWSERPOOL_AI_MODEL at the router (in the chart: router.ai), for any endpoint that "
            "speaks OpenAI's chat completions."
        )
    return (known.own,)


def _custom(index: int, wanted: extract.CustomAi, known: Table) -> Model:
    base = known.bases.get(wanted.provider)
    if base is None:
        listed = ", ".join(sorted(known.bases)) or "none"
        raise errors.InvalidRequest(
            f"custom_ai[{index}].model: there is no provider {wanted.provider[:60]!r}; known here: {listed}. "
            "The operator adds others with BROWSERPOOL_AI_PROVIDERS."
        )
    return Model(
        provider=wanted.provider,
        name=wanted.name,
        url=_endpoint(base),
        authorization=_bearer(wanted.authorization or ""),
    )


def _endpoint(base: str) -> str:
    return f"{base.rstrip('/')}/chat/completions"


def _bearer(secret: str) -> str | None:
    """The header's value. A bare key is taken for a bearer token; ``Basic …`` and the like are left as they are."""
    secret = secret.strip()
    if not secret:
        return None
    return secret if " " in secret else f"Bearer {secret}"
