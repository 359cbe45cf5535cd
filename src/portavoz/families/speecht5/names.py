"""What stands in a SpeechT5 checkpoint: names are the reference's, letter for letter, so there is no table of them.

The model's file has the trees `speecht5` and `speech_decoder_postnet`, the vocoder's file a tree of its own. Some
files hold tensors that speaking does not need; each is left aside for a reason.
"""

from __future__ import annotations

from ...weights.cursor import Weights

ENCODER, DECODER, HEADS = "speecht5.encoder", "speecht5.decoder", "speech_decoder_postnet"
# Path in the model's file → why nobody takes it. (Counters of batch norms are ignored where the norms are taken.)
IGNORED = {
    f"{ENCODER}.prenet.encode_positions.pe": "a table of sines, which is worked out",
    f"{DECODER}.prenet.encode_positions.pe": "a table of sines, which is worked out",
}


def ignore(w: Weights) -> None:
    """Leave aside what speaking does not need; `w` stands at the root of the model's file."""
    for path, why in IGNORED.items():
        w.ignore(path, why=why)
