"""What the parts of manifests have in common."""

import pydantic
from pydantic.alias_generators import to_camel


class Part(pydantic.BaseModel):
    """An object in a manifest: camelCase there, snake_case here, frozen, and no unknown fields."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )
