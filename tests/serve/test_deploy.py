"""The Dockerfile and the systemd unit: parsed, and what they name is there. Neither is run here."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

from portavoz.serve.settings import Settings

KEYWORDS = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of each instruction, continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(keyword.upper(), rest.strip()) for keyword, _, rest in (line.partition(" ") for line in lines)]


def test_the_dockerfile(root: Path) -> None:
    found = instructions(root / "deploy" / "Dockerfile")
    assert {keyword for keyword, _ in found} <= KEYWORDS
    assert found[0][0] == "FROM"
    stages = [rest for keyword, rest in found if keyword == "FROM"]
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+(?: AS \w+)?", stage) and ":latest" not in stage for stage in stages)
    for keyword, rest in found:
        if keyword == "COPY" and not rest.startswith("--from"):
            assert all((root / name).exists() for name in rest.split()[:-1]), rest
        if keyword == "ENV":
            for name in re.findall(r"PORTAVOZ_SERVE_(\w+)=", rest):
                assert name.lower() in Settings.model_fields
    (entry,) = (json.loads(rest) for keyword, rest in found if keyword == "ENTRYPOINT")
    assert entry[-2:] == ["/opt/portavoz/bin/portavoz", "serve"]
    (check,) = (json.loads(rest.partition("CMD ")[2]) for keyword, rest in found if keyword == "HEALTHCHECK")
    compile(check[-1], "healthcheck", "exec")
    # It does not run as root, and holds no key.
    assert [rest for keyword, rest in found if keyword == "USER"] == ["portavoz"]
    assert not any("API_KEY" in rest for _, rest in found)


def test_the_unit(root: Path) -> None:
    unit = configparser.ConfigParser(strict=True, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((root / "deploy" / "portavoz.service").read_text(encoding="utf-8"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    assert service["ExecStart"].split()[1:3] == ["serve", "--config"]
    assert service["KillSignal"] == "SIGTERM"
    # systemd waits for as long as the server may take to end.
    assert int(service["TimeoutStopSec"]) > Settings().drain_timeout + Settings().drain_delay
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    if program := shutil.which("systemd-analyze"):
        done = subprocess.run(
            [program, "verify", str(root / "deploy" / "portavoz.service")], capture_output=True, text=True
        )
        wrong = [
            line for line in done.stderr.splitlines() if "portavoz.service" in line and "not executable" not in line
        ]
        assert wrong == []
