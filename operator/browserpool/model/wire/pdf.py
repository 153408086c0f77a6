"""``POST /pdf``."""

import re
from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from browserpool.model.wire import shared
from browserpool.model.wire.scalars import Flag, Number, Part, Text

PAPER: Final = {
    "letter": (8.5, 11.0),
    "legal": (8.5, 14.0),
    "tabloid": (11.0, 17.0),
    "ledger": (17.0, 11.0),
    "a0": (33.1102, 46.811),
    "a1": (23.3858, 33.1102),
    "a2": (16.5354, 23.3858),
    "a3": (11.6929, 16.5354),
    "a4": (8.2677, 11.6929),
    "a5": (5.8268, 8.2677),
    "a6": (4.1339, 5.8268),
}
"""Inches, width by height."""

_PIXELS: Final = {"px": 1.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "": 1.0}
_PIXELS_PER_INCH: Final = 96.0
_LENGTH = re.compile(r"(\d+(?:\.\d+)?|\.\d+) *(px|in|cm|mm|)", re.IGNORECASE)
_PAGE_RANGES = re.compile(
    r"\s*|\s*\d{1,6}(\s*-\s*\d{0,6})?(\s*,\s*\d{1,6}(\s*-\s*\d{0,6})?)*\s*|\s*-\s*\d{1,6}\s*", re.ASCII
)


def _inches(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value / _PIXELS_PER_INCH
    if isinstance(value, str) and (length := _LENGTH.fullmatch(value.strip())):
        return float(length[1]) * _PIXELS[length[2].lower()] / _PIXELS_PER_INCH
    raise PydanticCustomError("length", 'must be a number of pixels, or a length with px, in, cm or mm like "10cm"')


_MOST_INCHES: Final = 200
_Pixels = Annotated[float, Field(ge=0, le=_MOST_INCHES * _PIXELS_PER_INCH)]
_WithUnit = Annotated[
    str, Field(pattern=r"^\s*(\d+(\.\d+)?|\.\d+) *([pP][xX]|[iI][nN]|[cC][mM]|[mM][mM])?\s*$", examples=["10cm"])
]

Length = Annotated[
    float,
    pydantic.BeforeValidator(_inches, json_schema_input_type=_Pixels | _WithUnit),
    Field(ge=0, le=_MOST_INCHES, allow_inf_nan=False),
]
"""Inches; a number on the wire is in CSS pixels, 96 to the inch."""
PaperSide = Annotated[Length, Field(gt=0)]


class Margin(Part):
    """Blank borders, in inches."""

    top: Length = 0.0
    right: Length = 0.0
    bottom: Length = 0.0
    left: Length = 0.0


class PdfOptions(Part):
    """The paper and what is printed on it. ``format`` beats ``width`` and ``height``. ``timeout`` is in ms; 0 is the most."""

    format: Literal["letter", "legal", "tabloid", "ledger", "a0", "a1", "a2", "a3", "a4", "a5", "a6"] | None = None
    width: PaperSide | None = None
    height: PaperSide | None = None
    landscape: Flag = False
    scale: Annotated[Number, Field(ge=0.1, le=2)] = 1.0
    margin: Margin = Margin()
    page_ranges: Annotated[Text, Field(max_length=1000)] = ""
    print_background: Flag = False
    omit_background: Flag = False
    prefer_css_page_size: Flag = Field(default=False, alias="preferCSSPageSize")
    display_header_footer: Flag = False
    header_template: Text = ""
    footer_template: Text = ""
    outline: Flag = False
    tagged: Flag = True
    timeout: Annotated[Number, Field(ge=0, le=300_000)] = 30_000

    @pydantic.field_validator("format", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @pydantic.field_validator("page_ranges")
    @classmethod
    def _ranges(cls, value: str) -> str:
        if _PAGE_RANGES.fullmatch(value) is None:
            raise PydanticCustomError("ranges", "must be page numbers and ranges like 1-5, 8, 11-13")
        return value

    @property
    def paper(self) -> tuple[float, float]:
        """Width and height in inches, before ``landscape`` turns them."""
        if self.format is not None:
            return PAPER[self.format]
        width, height = PAPER["letter"]
        return self.width or width, self.height or height


class Pdf(shared.QuickAction):
    """The body."""

    pdf_options: PdfOptions = PdfOptions()
