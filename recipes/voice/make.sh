#!/usr/bin/env bash
# The bundled voice from nothing: about 2 hours on two cores. Every step resumes where it stopped.
#   apt-get install festival festvox-us-slt-hts festlex-cmu festlex-poslex wordnet-base
#   pip install 'portavoz[torch,train]'
set -euo pipefail
cd "$(dirname "$0")/../.."
voice=src/portavoz/families/compact/voice/slt

python recipes/voice/teacher.py --out corpus --count 4500 --workers 2
portavoz train recipes/voice/acoustic.yaml --out runs/acoustic &
acoustic=$!
portavoz train recipes/voice/vocoder.yaml --out runs/vocoder
wait "$acoustic"
portavoz train recipes/voice/vocoder-tune.yaml --out runs/vocoder-tune
python recipes/voice/bundle.py runs/acoustic/acoustic.safetensors runs/vocoder-tune/vocoder.safetensors "$voice"
python recipes/voice/evaluate.py --corpus corpus --voice "$voice" --json runs/report.json
# Once more, with the figures on the card.
python recipes/voice/bundle.py runs/acoustic/acoustic.safetensors runs/vocoder-tune/vocoder.safetensors "$voice" \
    --report runs/report.json
