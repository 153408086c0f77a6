"""A pool's second version of the browser, as the manifest has it."""

from pydantic import Field

from browserpool.model.manifests import Part


class Canary(Part):
    """A second version of the browser, for a share of them. What is left out is as in ``chromium``."""

    image: str = Field(min_length=1, description="The image of the canary's agent and Chromium.")
    version: str | None = Field(default=None, description="As chromium.version, of the canary. Default: that one.")
    args: tuple[str, ...] | None = Field(
        default=None, description="As chromium.args, of the canary, in their place. Default: those."
    )
    percent: int = Field(
        default=10,
        ge=0,
        le=100,
        description="The share of each region's browsers that are the canary's, to the nearest browser: of two or more at least "
        "one unless it is 0, and not all unless it is 100.",
    )
