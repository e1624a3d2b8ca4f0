"""What the first load of the chat page costs: chatlab beside a plain `gr.ChatInterface` of the same Gradio.

Starts both as processes of their own on loopback, and opens their pages in turns in one headless Chromium,
each time as a browser that has nothing cached, and once more with what it has cached. Prints the median of
each: bytes that came over the wire, requests, and milliseconds until the message box can be typed in.
Machines are noisy, so what counts are the ratios of one run.

    python benchmarks/page_load.py            # about a minute
    python benchmarks/page_load.py --rounds 20
    python benchmarks/page_load.py --latency 40  # as from a server that is not on the same machine
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streaming import HERE, free_port, line, process

from tests.web.pages import CHROMIUM, FLAGS

CONFIG = """\
version: 1
backends:
  first: {kind: echo}
  second: {kind: echo}
"""
# When a box takes what is typed where one sees it, and nothing lies over it: looked at with each frame.
READY = """(() => {
  const usable = (box) => {
    const { x, y, width, height } = box.getBoundingClientRect();
    return box.placeholder && width && document.elementFromPoint(x + width / 2, y + height / 2) === box;
  };
  const look = () => {
    const boxes = [...document.querySelectorAll("textarea:enabled")];
    if (boxes.some(usable)) window.boxReady = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();"""


@dataclass
class Loads:
    """What the loads of one app came to. ready: milliseconds until the box could be typed in."""

    sizes: list[int] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)

    def medians(self) -> tuple[float, float, float]:
        return statistics.median(self.sizes), statistics.median(self.requests), statistics.median(self.ready)


def load(context: Any, url: str, loads: Loads, *, latency: float, list_all: bool) -> None:
    """Open a page and note what it took, until nothing more is asked. latency: milliseconds that the browser
    adds to each request."""
    page = context.new_page()
    page.add_init_script(READY)
    devtools = context.new_cdp_session(page)
    devtools.send("Network.enable")
    if latency:
        network = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1, "latency": latency}
        devtools.send("Network.emulateNetworkConditions", network)
    asked: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def requested(event: Any) -> None:
        asked[event["requestId"]] = event["request"]["url"]

    def came(event: Any) -> None:
        sizes[event["requestId"]] = int(event["encodedDataLength"])

    devtools.on("Network.requestWillBeSent", requested)
    devtools.on("Network.loadingFinished", came)
    page.goto(url)
    page.wait_for_function("() => window.boxReady")
    page.wait_for_timeout(1500)  # the connection that stays open is not waited for
    loads.ready.append(page.evaluate("window.boxReady"))
    loads.sizes.append(sum(sizes.values()))
    loads.requests.append(len([one for one in asked.values() if one.startswith("http")]))
    if list_all:
        for request, size in sorted(sizes.items(), key=lambda one: -one[1]):
            print(f"{size:>9} {asked.get(request, '')[:120]}")
        print()
    page.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=9, help="how often each page is opened with nothing cached"
    )
    parser.add_argument("--latency", type=float, default=0, help="milliseconds that each request takes more")
    parser.add_argument("--list", action="store_true", help="print each request of the first round, too")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    plain, ours = free_port(), free_port()
    folder = Path(tempfile.mkdtemp())
    config = folder / "page.yaml"
    config.write_text(CONFIG, "utf-8")
    serve = f"from chatlab.web.server import serve; serve({str(config)!r}, port={ours})"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    apps = {"plain": plain, "chatlab": ours}
    first = {name: Loads() for name in apps}
    again = {name: Loads() for name in apps}
    with (
        process(str(HERE / "plain_app.py"), str(plain), "http://127.0.0.1:1/v1", "none", port=plain),
        process("-c", serve, port=ours),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for number in range(args.rounds + 1):
            for name, port in apps.items():
                context = browser.new_context()
                kept = Loads() if number == 0 else first[name]  # the servers' own first time is not a load's
                cached = Loads() if number == 0 else again[name]
                for loads, shown in ((kept, args.list and number == 1), (cached, False)):
                    load(context, f"http://127.0.0.1:{port}", loads, latency=args.latency, list_all=shown)
                context.close()
        browser.close()
    print(line("app", "load", "KB transferred", "requests", "box ready, ms") + "\n" + "| --- " * 5 + "|")
    for kind, loads in (("first", first), ("cached", again)):
        for name in apps:
            size, requests, ready = loads[name].medians()
            print(line(name, kind, f"{size / 1000:.0f}", f"{requests:.0f}", f"{ready:.0f}"))
    sizes, _, times = zip(first["plain"].medians(), first["chatlab"].medians(), strict=True)
    ratios = sorted(b / a for a, b in zip(first["plain"].ready, first["chatlab"].ready, strict=True))
    middle = statistics.median(ratios)
    print(f"\nof the plain page's, chatlab's first load has {sizes[1] / sizes[0]:.2f} of the bytes, and is")
    print(
        f"ready after {times[1] / times[0]:.2f} of the time; the median of each round's ratio is {middle:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
