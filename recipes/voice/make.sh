#!/usr/bin/env bash
# The bundled voice from nothing: some 4 hours on two cores. Every step resumes where it stopped.
#   apt-get install festival festvox-us-slt-hts festlex-cmu festlex-poslex flite wordnet-base
#   pip install 'portavoz[torch,train,evaluate]' pyworld 'setuptools<81'
set -euo pipefail
cd "$(dirname "$0")/../.."
voice=src/portavoz/families/compact/voice/arctic
halves=(runs/wide/acoustic.safetensors runs/wide-tune/vocoder.safetensors)

# One speaker.
python recipes/voice/teacher.py --out corpus --count 4500 --workers 2
portavoz train recipes/voice/acoustic.yaml --out runs/acoustic &
acoustic=$!
portavoz train recipes/voice/vocoder.yaml --out runs/vocoder
wait "$acoustic"
# Two of them: from there, on the recordings of both.
python recipes/voice/teacher.py --out corpus-two --count 4500 --workers 2 --speakers slt rms
portavoz train recipes/voice/two.yaml --out runs/two &
acoustic=$!
portavoz train recipes/voice/two-vocoder.yaml --out runs/two-vocoder
wait "$acoustic"
# The vocoder's last stretch needs the predicted mels of fewer utterances.
python recipes/voice/teacher.py --out corpus-tune --count 900 --workers 2 --speakers slt rms
portavoz train recipes/voice/two-tune.yaml --out runs/two-tune
# Pitch and energy, and the vocoder once more.
portavoz train recipes/voice/pitch.yaml --out runs/pitch
portavoz train recipes/voice/pitch-tune.yaml --out runs/pitch-tune
# Some utterances at other pitches, so that pitch can be moved.
python recipes/voice/shifted.py --corpus corpus-tune --out corpus-pitch --count 800
portavoz train recipes/voice/wide.yaml --out runs/wide
portavoz train recipes/voice/wide-tune.yaml --out runs/wide-tune
python recipes/voice/bundle.py "${halves[@]}" "$voice"
for speaker in rms slt; do
    python recipes/voice/evaluate.py --corpus corpus-two --voice "$voice" --speaker "$speaker" \
        --json "runs/report-$speaker.json"
done
# Once more, with the figures on the card.
python recipes/voice/bundle.py "${halves[@]}" "$voice" --report runs/report-rms.json runs/report-slt.json
