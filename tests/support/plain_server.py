"""The shape of many speech servers, to compare with: FastAPI's StreamingResponse over `Voice.stream`, nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

import portavoz
from portavoz.audio.files import to_pcm16
from portavoz.serve.run import bind

app = FastAPI()
voice = portavoz.load()


class Body(BaseModel):
    input: str
    voice: str
    model: str
    response_format: str
    sample_rate: int


@app.post("/plain")
def plain(body: Body) -> StreamingResponse:
    def sound() -> Iterator[bytes]:
        for piece in voice.stream(body.input, speaker=body.voice):
            yield to_pcm16(piece.samples).tobytes()

    return StreamingResponse(sound(), media_type="audio/pcm")


@app.get("/ready")
def is_ready() -> dict[str, str]:
    return {"status": "ready"}


if __name__ == "__main__":
    listening = bind("127.0.0.1", 0)
    print(f"portavoz: http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False))
    asyncio.run(server.serve(sockets=[listening]))
