"""What signing in costs a turn: without `auth`, and as people who signed in with passwords.

Both are servers of their own that are asked the same turns of two tokens, one server after the other, several
times. What counts are the ratio and the difference of one run, of the least of all times: machines are noisy.
Of another provider the turns cost the same, as they have the same sessions.

    python benchmarks/sign_in.py            # two minutes
    python benchmarks/sign_in.py --rounds 2 --turns 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
from pathlib import Path

import httpx2
from streaming import chatlab_app, free_port, line, process

from chatlab.identity.passwords import password_hash

_MODEL = "2-1000"  # tokens of an answer, and how many a second
_PASSWORD = "correct horse"
_LIMITS = """\
  sessions: {visitor: null, address: null, total: null}
  sign_ins_a_minute: {address: null}
  passwords_a_minute: {person: null, address: null, total: null}
"""
_MOST_RATIO, _MOST_MS = 1.05, 5


def people(number: int) -> str:
    """Return the lines by which so many people have the same password."""
    one = json.dumps({"hash": password_hash(_PASSWORD)})
    users = ", ".join(f"person-{each}: {one}" for each in range(number))
    return f"auth: {{type: basic, audit: audit.jsonl, users: {{{users}}}}}\n"


def signed_in(port: int, name: str) -> str:
    """Return the cookie of somebody who signs in there."""
    url = f"http://127.0.0.1:{port}"
    with httpx2.Client(base_url=url, timeout=30) as client:
        page = client.get("/", headers={"accept": "text/html"}, follow_redirects=True)
        form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        data = {**form, "name": name, "password": _PASSWORD}
        client.post("/-/sign-in", data=data, headers={"origin": url})
        return f"chatlab-session={client.cookies['chatlab-session']}"


def main() -> None:
    """Measure, print a table, and say whether the targets are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--turns", type=int, default=200)
    args = parser.parse_args()
    port = free_port()
    upstream = f"http://127.0.0.1:{port}/v1"
    cpu: dict[str, list[float]] = {}
    firsts: dict[str, list[float]] = {}
    with contextlib.ExitStack() as running:
        running.enter_context(process(str(Path(__file__).parent / "upstream.py"), str(port), port=port))
        apps = {
            "none": chatlab_app(upstream, _MODEL, _LIMITS),
            "basic": chatlab_app(upstream, _MODEL, _LIMITS + people(args.turns)),
        }
        pids = {
            name: running.enter_context(process(*one.command, port=one.port)).pid
            for name, one in apps.items()
        }
        several = [signed_in(apps["basic"].port, f"person-{number}") for number in range(args.turns)]
        cookies: dict[str, list[str]] = {"none": [], "basic": several}
        for number in range(args.rounds + 1):  # the first has imports, and first connections
            turns = args.turns if number else 20
            for name, one in apps.items():
                os.environ["BENCH_COOKIES"] = json.dumps(cookies[name])
                run = one.measure(pids[name], turns, 0, 2, turns / 20)
                assert not run.lost, f"{name} lost tokens that were sent"
                if number:
                    cpu.setdefault(name, []).append(1000 * run.cpu / turns)
                    firsts.setdefault(name, []).append(run.first(0.5))
    head = ("auth", "server CPU ms a turn", "of none", "first token p50 ms")
    print(line(*head) + "\n" + "| --- " * len(head) + "|")
    for name, costs in cpu.items():
        ratio = min(costs) / min(cpu["none"])
        print(line(name, f"{min(costs):.2f}", f"{ratio:.3f}", f"{min(firsts[name]):.1f}"))
    ratio, later = min(cpu["basic"]) / min(cpu["none"]), min(firsts["basic"]) - min(firsts["none"])
    met = ratio <= _MOST_RATIO and later <= _MOST_MS
    print(
        f"\n{ratio:.3f} times the CPU (at most {_MOST_RATIO}), {later:+.1f} ms (at most {_MOST_MS}): ", end=""
    )
    print("met" if met else "not met")


if __name__ == "__main__":
    main()
