#!/usr/bin/env bash
# The bundled voice from nothing: about 3 hours on two cores. Every step resumes where it stopped.
#   apt-get install festival festvox-us-slt-hts festlex-cmu festlex-poslex flite wordnet-base
#   pip install 'portavoz[torch,train,evaluate]'
set -euo pipefail
cd "$(dirname "$0")/../.."
voice=src/portavoz/families/compact/voice/slt
halves=(runs/two/acoustic.safetensors runs/two-tune/vocoder.safetensors)

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
python recipes/voice/bundle.py "${halves[@]}" "$voice"
for speaker in slt rms; do
    python recipes/voice/evaluate.py --corpus corpus-two --voice "$voice" --speaker "$speaker" \
        --json "runs/report-$speaker.json"
done
# Once more, with the figures on the card.
python recipes/voice/bundle.py "${halves[@]}" "$voice" --report runs/report-slt.json runs/report-rms.json
