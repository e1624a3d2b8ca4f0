"""What signing in costs a turn: without `auth`, and as people who signed in with passwords.

Both are servers of their own that are asked the same turns of two tokens, one after the other, each first as
often as the other. What counts are the ratio and the difference within a pair of rounds, of all pairs the
median: machines are noisy, and what else they do is about the same for both of a pair. Of another provider
the turns cost the same, as they have the same sessions.

    python benchmarks/sign_in.py            # three minutes
    python benchmarks/sign_in.py --rounds 4 --turns 50
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
from pathlib import Path
from statistics import median, quantiles

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
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--turns", type=int, default=100)
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
            for name, one in sorted(apps.items(), reverse=number % 2 == 0):
                os.environ["BENCH_COOKIES"] = json.dumps(cookies[name])
                run = one.measure(pids[name], turns, 0, 2, turns / 20)
                assert not run.lost, f"{name} lost tokens that were sent"
                if number:
                    cpu.setdefault(name, []).append(1000 * run.cpu / turns)
                    firsts.setdefault(name, []).append(run.first(0.5))
    head = ("auth", "server CPU ms a turn", "of none", "first token p50 ms")
    print(line(*head) + "\n" + "| --- " * len(head) + "|")
    ratios = [one / other for one, other in zip(cpu["basic"], cpu["none"], strict=True)]
    later = median(one - other for one, other in zip(firsts["basic"], firsts["none"], strict=True))
    ratio = median(ratios)
    for name, costs in cpu.items():
        of_none = ratio if name == "basic" else 1
        print(line(name, f"{median(costs):.2f}", f"{of_none:.3f}", f"{median(firsts[name]):.1f}"))
    met = ratio <= _MOST_RATIO and later <= _MOST_MS
    low, _, high = quantiles(ratios, n=4)
    print(
        f"\n{ratio:.3f} times the CPU (half of the pairs between {low:.3f} and {high:.3f}; at most "
        f"{_MOST_RATIO}), {later:+.1f} ms (at most {_MOST_MS}): ",
        end="",
    )
    print("met" if met else "not met")


if __name__ == "__main__":
    main()
