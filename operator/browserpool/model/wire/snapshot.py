"""``POST /snapshot``: several views of one page, loaded once."""

from typing import Annotated, Literal

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import screenshot, shared

Format = Literal["content", "screenshot", "markdown", "accessibilityTree"]


class Snapshot(shared.QuickAction):
    """The body. A single format has an action of its own, which costs less."""

    formats: Annotated[tuple[Format, ...], Field(min_length=2)] = ("content", "screenshot")
    screenshot_options: screenshot.ScreenshotOptions = screenshot.ScreenshotOptions()

    @pydantic.field_validator("formats")
    @classmethod
    def _each_once(cls, formats: tuple[Format, ...]) -> tuple[Format, ...]:
        if len(set(formats)) != len(formats):
            raise PydanticCustomError("formats", "names a format twice")
        return formats
