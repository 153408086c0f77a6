"""Settings from the environment: ``BROWSERPOOL_<FIELD>`` fills the field of a pydantic model.

A process's whole configuration is one frozen model; this reads it, and names the variable in every complaint. ``plain`` does the same
for a process that must start faster than pydantic does.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pydantic

PREFIX = "BROWSERPOOL_"

Model = TypeVar("Model", bound="pydantic.BaseModel")


class SettingsError(ValueError):
    """A variable of the environment is missing or wrong. The message names each one, and why."""


def variable(field: str) -> str:
    """The environment variable that fills ``field``."""
    return PREFIX + field.upper()


def from_environment(model: type[Model], environment: Mapping[str, str]) -> Model:
    """Read ``model`` from ``environment``; variables that name no field are left alone.

    Raises:
        SettingsError: one line for each variable that is missing or does not parse.
    """
    import pydantic

    values = {field: environment[variable(field)] for field in model.model_fields if variable(field) in environment}
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        lines = [
            f"{variable(str(problem['loc'][0])) if problem['loc'] else PREFIX + '*'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise SettingsError("The settings in the environment cannot be used:\n  " + "\n  ".join(lines)) from error


def to_environment(settings: "pydantic.BaseModel") -> dict[str, str]:
    """The variables from which ``from_environment`` makes ``settings`` again; ``None`` is left out.

    Collections are written as JSON, so their fields need a JSON-reading type (``pydantic.Json`` or a validator).
    """
    dumped = settings.model_dump(mode="json", exclude_none=True)
    return {variable(field): value if isinstance(value, str) else str(value) for field, value in dumped.items()}
