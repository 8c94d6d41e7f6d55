"""Settings of the public pages and of the pictures callers send."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.llm.addresses import check_address


class VisionSettings(BaseModel):
    """A vision model behind an OpenAI-compatible server, for pictures in which nothing that is known was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = None
    """Address of the server, up to before /chat/completions; none describes nothing. The picture is sent there."""
    model: str | None = None
    """Name of the model at the server."""
    timeout_s: float = Field(20.0, gt=0, le=120)
    """Longest time for one description; the caller is answered without one then."""
    max_tokens: int = Field(120, ge=16, le=1024)
    """Longest description; two or three sentences take about 60."""

    @model_validator(mode="after")
    def _whole(self) -> VisionSettings:
        if (self.base_url is None) != (self.model is None):
            raise ValueError("chat.vision.base_url and chat.vision.model go together; give both or neither")
        if self.base_url is not None:
            check_address(self.base_url)
        return self


class ChatSettings(BaseModel):
    """The public pages /chat and /call, and the pictures callers send."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = False
    """Off serves none of it: anybody who reaches the server may talk to the agent by these pages."""
    calls: bool = True
    """Serve /call, where the visitor speaks, beside /chat, where the visitor types."""
    pictures: bool = True
    """Take pictures, where the extra `pictures` is installed."""
    most: int = Field(8, ge=1)
    """Conversations by the pages at a time; they also count for `server.max_calls`, so leave room for telephones."""
    most_per_address: int = Field(3, ge=1)
    """The same from one address (IPv6: one /64)."""
    new_per_minute: int = Field(6, ge=1)
    """New conversations a minute from one address; more are refused with 429."""
    idle_s: float = Field(600.0, gt=0, le=3600)
    """A chat in which nothing was typed for so long is ended, so that open tabs do not hold the places."""
    picture_mb: float = Field(8.0, gt=0, le=32)
    """Largest picture in millions of bytes; telephones make 2 to 6."""
    picture_megapixels: float = Field(50.0, gt=0, le=100)
    """Largest picture in millions of pixels, told from its header before anything is decoded."""
    pictures_per_call: int = Field(10, ge=1, le=100)
    """Pictures that are taken in one call, refused ones included."""
    sure: float = Field(0.8, ge=0, le=1)
    """Confidence from which a number that was read goes to the dialogue by itself; below, the caller is asked first."""
    vision: VisionSettings = VisionSettings()
