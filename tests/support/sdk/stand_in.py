"""Stands in for the Codex CLI: records how it was called beside itself, then does what script.json there says."""

import json
import os
import sys

here = os.path.dirname(os.path.abspath(sys.argv[0]))
if sys.argv[1:] == ["--version"]:
    print("codex-cli 0.163.0")
    sys.exit()
with open("/proc/self/cmdline", "rb") as file:
    argv = file.read().split(b"\0")[3:-1]  # after the interpreter, its option and the script
with open("/proc/self/environ", "rb") as file:
    environment = sorted(file.read().split(b"\0")[:-1])
schema = None
if b"--output-schema" in argv:
    position = argv.index(b"--output-schema") + 1
    with open(argv[position], encoding="utf-8") as file:
        schema = json.load(file)
    argv[position] = b"SCHEMA"
record = {
    "argv": [part.hex() for part in argv],
    "environment": [part.hex() for part in environment],
    "stdin": sys.stdin.buffer.read().hex(),
    "schema": schema,
}
with open(os.path.join(here, "record.json"), "w") as file:
    json.dump(record, file)
with open(os.path.join(here, "script.json")) as file:
    script = json.load(file)
out = sys.stdout.buffer
for chunk in script["stdout"]:  # hexadecimal bytes, or a number of letters
    out.write(bytes.fromhex(chunk) if isinstance(chunk, str) else b"x" * chunk)
out.flush()
sys.stderr.write(script["stderr"])
sys.stderr.flush()
if script["signal"]:
    os.kill(os.getpid(), script["signal"])
sys.exit(script["rc"])
