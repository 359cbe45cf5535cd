#!/usr/bin/env bash
# The bundled voice from nothing: corpus, training, folder, judgement. Every step resumes where it stopped.
#   apt-get install wordnet-base
#   pip install 'portavoz[train]' hibari-tts onnx && scripts/judges.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
voice=src/portavoz/families/compact/voice/heart
kokoro=${KOKORO:-runs/open/kokoro}  # recipes/open_voices.sh makes it
weights=runs/heart/source_filter.safetensors

python recipes/voice/neural.py --out corpus-heart --hours 12
python recipes/voice/speakers.py "$kokoro" --style af_bella --name bella --out corpus-heart
python recipes/voice/speakers.py "$kokoro" --style am_eric --name eric --pitch 1 --skip 1500 --hours 1 --out corpus-heart
python recipes/voice/speakers.py "$kokoro" --style am_michael --name michael --share 0.25 --pitch 3 --skip 1500 --hours 1 --out corpus-heart
portavoz train recipes/voice/heart.yaml --out runs/heart
python recipes/voice/heart.py "$weights" "$voice"
# On held-out sentences, of which the training has seen none, beside the teacher's recordings.
portavoz evaluate "$voice" --corpus corpus-heart --count 100 --only word_error,mos_estimate --asr whisper --mos distillmos \
    --json runs/heart/judged.json
# Once more, with the figures on the card.
python recipes/voice/heart.py "$weights" "$voice" --report heart=runs/heart/judged.json
