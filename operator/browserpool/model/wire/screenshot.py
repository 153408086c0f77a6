"""``POST /screenshot``."""

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import shared
from browserpool.model.wire.scalars import Flag, Number, Part, Text

Coordinate = Annotated[Number, Field(ge=-1_000_000, le=1_000_000)]
Side = Annotated[Number, Field(gt=0, le=1_000_000)]


class Clip(Part):
    """A part of the page, in CSS pixels from its top left corner; ``scale`` multiplies the picture's size."""

    x: Coordinate
    y: Coordinate
    width: Side
    height: Side
    scale: Annotated[Number, Field(gt=0, le=10)] = 1.0

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        pixels = self.width * self.height * self.scale**2
        if pixels > shared.MAX_PIXELS:
            raise PydanticCustomError(
                "size",
                "has {pixels} pixels; the most is {most}: lower width, height or scale",
                {"pixels": round(pixels), "most": shared.MAX_PIXELS},
            )
        return self


class ScreenshotOptions(Part):
    """What the picture shows and how it is written. ``quality`` is for jpeg and webp, 0 to 100."""

    type: Literal["png", "jpeg", "webp"] = "png"
    quality: Annotated[Number, Field(ge=0, le=100)] | None = None
    full_page: Flag = False
    clip: Clip | None = None
    omit_background: Flag = False
    capture_beyond_viewport: Flag | None = None
    from_surface: Flag = True
    optimize_for_speed: Flag = False
    encoding: Literal["binary", "base64"] = "binary"

    @pydantic.model_validator(mode="after")
    def _agree(self) -> Self:
        if self.type == "png" and self.quality is not None:
            raise PydanticCustomError(
                "agree",
                "has quality with type png, which loses nothing; set type to jpeg or webp, or leave quality out",
            )
        if self.full_page and self.clip is not None:
            raise PydanticCustomError("agree", "has fullPage and clip; leave one of them out")
        return self


class Screenshot(shared.QuickAction):
    """The body. ``selector`` pictures one element; ``scroll_page`` scrolls to the end first, so that lazy pictures load."""

    screenshot_options: ScreenshotOptions = ScreenshotOptions()
    selector: Annotated[Text, Field(min_length=1)] | None = None
    scroll_page: Flag = False

    @pydantic.model_validator(mode="after")
    def _one_subject(self) -> Self:
        if self.selector is not None and self.screenshot_options.full_page:
            raise PydanticCustomError(
                "body", "selector and screenshotOptions.fullPage exclude each other; leave one out"
            )
        if self.selector is not None and self.screenshot_options.clip is not None:
            raise PydanticCustomError("body", "selector and screenshotOptions.clip exclude each other; leave one out")
        return self
