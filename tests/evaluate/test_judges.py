"""The neural judges' process: what is sent and answered, a missing environment, and a report that they make."""

import json
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from portavoz.errors import BackendError, InputError, MissingExtra
from portavoz.evaluate import judges
from portavoz.evaluate.objective_metrics import Mos
from portavoz.evaluate.report import evaluate
from portavoz.evaluate.sentences import Sentence
from portavoz.evaluate.speaking import Subject
from portavoz.flow import Wave

# Stands in for the judges' Python: it gets the real program's arguments, and answers as the real one does.
STAND_IN = """\
import base64, json, sys
assert sys.argv[2].endswith("judge_process.py"), sys.argv
print(json.dumps({"ready": sys.argv[3:]}), flush=True)
for line in sys.stdin:
    size = len(base64.b64decode(json.loads(line)["samples"])) // 2
    answers = {"asr": {"heard": "It is 12 o'clock."}, "mos": {"mos": size / 16000}}
    print(json.dumps({k: v for name in sys.argv[3:] for k, v in answers[name].items()}), flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    (tmp_path / "judge.py").write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/judge.py" "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(judges.VARIABLE, str(python))
    return python


def test_waves_go_out_at_16_khz_and_answers_come_back(stand_in):
    with judges.Judges(["asr", "mos"]) as both:
        for seconds in (1, 3):
            answer = both(Wave(np.zeros(24000 * seconds, np.float32), 24000))
            assert answer == {"heard": "It is 12 o'clock.", "mos": seconds}


def test_without_an_environment_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(judges.VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(MissingExtra, match=r"nothing .*scripts/judges\.sh"):
        Mos("distillmos")


def test_a_process_that_ends_is_an_error(stand_in):
    stand_in.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(BackendError, match=r"scripts/judges\.sh"):
        judges.Judges(["mos"])


def test_a_report_by_the_neural_judges(stand_in):
    said = [Sentence("001", "It is twelve o'clock.")]
    found = evaluate(
        [Subject()], said, only=["word_error", "mos_estimate"], mos=Mos("distillmos"), asr="whisper"
    ).report()
    figures = found["columns"][0]["figures"]
    assert figures["word_error"]["value"] == 0  # a figure and its word are one
    assert figures["mos_estimate"]["value"] > 0.5
    assert "Whisper" in found["judge"] and found["mos_model"] == {"name": "distillmos"}
    json.dumps(found)
    with pytest.raises(InputError, match="choose from pocketsphinx, whisper"):
        evaluate([Subject()], said, asr="ear")


def test_the_program_imports_nothing_of_the_package():
    source = Path(judges.judge_process.__file__).read_text(encoding="utf-8")
    assert "from ." not in source and "import portavoz" not in source
