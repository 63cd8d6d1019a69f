"""The whole chain on a folder of photographs, each command's real output kept for the README.

    python benchmarks/chain.py DIR      DIR holds train/ and test/, one sub-folder a label

Without DIR it runs on the demo's insects. Prints the outputs, then one JSON object.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lodisc.insects.specimens import write_specimens

RESULT = Path(__file__).parent / "results" / "chain.json"
COMMANDS = (
    "lodisc train quick --data photos/train --out run",
    "lodisc export run --out bundle",
    "lodisc index build catalogue --images photos/train --bundle bundle",
    "lodisc index stats catalogue",
    "lodisc evaluate run --data photos/test",
    "lodisc search catalogue photos/test/{picture} -k 5",
)


def main() -> None:
    """Run the commands one after the other in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else write_specimens(work / "insects")
        (work / "photos").symlink_to(data)
        picture = next(iter(sorted((data / "test").rglob("*.*")))).relative_to(data / "test")
        steps = [run(command.format(picture=picture), work) for command in COMMANDS]
    result = {"data": data.name, "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "steps": steps}
    RESULT.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result))


def run(command: str, work: Path) -> dict[str, object]:
    """Run one command; its last lines of progress are not kept, what it prints in the end is."""
    started = time.monotonic()
    program = shutil.which("lodisc") or str(Path(sys.executable).parent / "lodisc")
    environment = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run(
        [program, *command.split()[1:]], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr}")
    output = re.sub(re.escape(str(work.resolve())), "...", done.stdout)
    output = "\n".join(line.rstrip() for line in output.strip().splitlines())
    print(f"$ {command}\n{output}\n", flush=True)
    return {"command": command, "output": output, "seconds": round(time.monotonic() - started, 1)}


if __name__ == "__main__":
    main()
