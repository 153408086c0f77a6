"""AdmissionReview of ``admission.k8s.io/v1``: what is asked, and the answer. Pure."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.model import errors

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"
MOST_WARNING: Final = 250
"""Characters: kubectl shows a warning on one line, and the API server cuts what is much longer."""

Operation = Mapping[str, Any]
"""One operation of a JSON patch (RFC 6902)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody wants to do. ``object`` is what he sent: for an eviction the Eviction, not the pod."""

    uid: str
    namespace: str
    name: str
    operation: str
    dry_run: bool
    object: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``code`` and ``message`` say why not. ``outcome`` is one word for the metric and the log."""

    outcome: str
    allowed: bool = True
    patch: tuple[Operation, ...] = ()
    warning: str = ""
    code: int = 403
    reason: str = "Forbidden"
    message: str = ""


def asked(review: object) -> Request:
    """Read a review.

    Raises:
        errors.InvalidRequest: it is none.
    """
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str):
        raise errors.InvalidRequest("The body must be an AdmissionReview with a request and its uid.")
    given = request.get("object")
    return Request(
        uid=request["uid"],
        namespace=str(request.get("namespace") or ""),
        name=str(request.get("name") or ""),
        operation=str(request.get("operation") or ""),
        dry_run=request.get("dryRun") is True,
        object=given if isinstance(given, dict) else {},
    )


def answered(request: Request, answer: Answer) -> dict[str, Any]:
    """The review that goes back."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": answer.allowed}
    if answer.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(list(answer.patch))).decode()
    if answer.warning:
        response["warnings"] = [answer.warning[:MOST_WARNING]]
    if not answer.allowed:
        response["status"] = {
            "status": "Failure",
            "code": answer.code,
            "reason": answer.reason,
            "message": answer.message,
        }
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}
