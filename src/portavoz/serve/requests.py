"""The schemas of requests. Unknown keys are errors; every length is bounded before anything else is done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_WORDS = 1000  # of a lexicon that comes with a request


def _whole_text(text: str) -> str:
    """JSON may hold half of a surrogate pair, which is not a character and cannot be written anywhere."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("half of a surrogate pair, which is not a character")
    return text


Text = Annotated[str, AfterValidator(_whole_text)]
Short = Annotated[Text, Field(min_length=1, max_length=256)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Setting = bool | int | Number | Annotated[Text, Field(max_length=4096)] | None
FORMATS = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


class Strict(BaseModel):
    """No unknown keys, no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class VoiceReference(Strict):
    """A voice by its id."""

    id: Short


class Manner(Strict):
    """How to speak: OpenAI's fields, and those of `Voice.speak`. Unsupported values are refused."""

    model: Short
    voice: Short | VoiceReference
    speed: Annotated[Number, Field(ge=0.25, le=4.0)] = 1.0
    response_format: FORMATS = "mp3"
    instructions: Annotated[Text, Field(max_length=4096)] | None = None
    pitch: Annotated[Number, Field(ge=-24, le=24)] = Field(
        0.0, description="semitones; voices with a pitch of their own"
    )
    pauses: Annotated[Number, Field(ge=0, le=100)] = Field(1.0, description="a factor on silences")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="the same number, the same sound")
    options: Annotated[dict[Short, Setting], Field(max_length=64)] = Field({}, description="the family's own settings")
    lexicon: Annotated[dict[Short, Short], Field(max_length=MOST_WORDS)] = Field(
        {}, description="own pronunciations: word to phonemes (ARPAbet or IPA)"
    )
    markup: Literal["auto", "plain", "markdown", "html", "ssml"] | None = Field(
        None, description="how the text is marked up; auto, where it is not given, reads markup that is certain"
    )
    sample_rate: Annotated[int, Field(ge=8000, le=48000)] | None = Field(
        None, description="Hz; without it 24000 for pcm, and the voice's own for the rest"
    )

    @property
    def voice_id(self) -> str:
        """The voice's id, whichever way it was given."""
        return self.voice if isinstance(self.voice, str) else self.voice.id


class SpeechRequest(Manner):
    """The body of POST /v1/audio/speech: OpenAI's fields and portavoz's own."""

    input: Text
    stream_format: Literal["audio", "sse"] = "audio"
    stream: bool = Field(True, description="false: one body with its length, whose headers are exact")
    timestamps: bool = Field(False, description="with sse: events with the words and when they sound")


def given(request: BaseModel) -> dict[str, Any]:
    """The fields that the client has set."""
    return {name: getattr(request, name) for name in request.model_fields_set}
