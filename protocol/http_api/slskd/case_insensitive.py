"""Bodies as tools send them: member names in any case, members that nobody knows ignored."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class AnyCase(BaseModel):
    """Base of request bodies. Where two names differ in case only, the one spelled as here counts."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = {(field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()}
        spelled = {names[key.lower()]: one for key, one in value.items() if key.lower() in names}
        return {**spelled, **{name: value[name] for name in names.values() if name in value}}
