"""Endurance: ``python -m benchmarks.soak`` works for 10 minutes under kills, full disks, little memory and load. Linux only.

Jobs that featurize, index and search, predict and evaluate run in processes of their own. Most are harmed: killed at a random
moment, or given too little memory, or a limit to the size of files. A job that was harmed is started again in the same folder until
it has ended, and what it wrote must be, to the last bit, what an undisturbed run wrote: a row lost, doubled or changed is an error.
Beside them one process does the same work again and again; its memory must stay flat and its answers the same. All the while
other processes keep the cores busy, four a core by default. The exit code is 1 if a promise was broken.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._run import CONSOLE, command_line, write_results
from benchmarks._soak_jobs import JOBS, keep_busy, make_inputs, run_job, work_steadily

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

HARMS = {"kill": 0.8, "memory": 0.1, "disk": 0.1}
"""How a job is harmed, and how often."""

MOST_HARMS = 6
"""Times that one job is harmed before it may end."""

GROWTH = 0.01
"""Share by which memory may grow."""

LEAST_KILLS_A_MINUTE = 2.0


class Soak:
    """Runs jobs and harms them; counts what happened."""

    def __init__(self, context: ForkServerContext, data: Path, seed: int) -> None:
        self.context = context
        self.data = data
        self.rng = np.random.default_rng(seed)
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.answers: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def learn(self, folder: Path) -> None:
        """Do each job twice, undisturbed: the second time tells how long it takes, and that its answer is always the same."""
        for turn in ("first", "second"):
            for name in JOBS:
                start = time.monotonic()
                code = self._start(name, folder / turn, {}, None)
                self.seconds[name] = time.monotonic() - start
                answer = _answer(folder / turn, name)
                if code or answer != self.answers.setdefault(name, answer):
                    raise RuntimeError(f"{name} failed undisturbed: {(folder / turn / f'{name}.log').read_text(encoding='utf-8')}")

    def work(self, folder: Path) -> None:
        """Do each job once, harmed and started again until it has ended; compare its answer."""
        for name in self.rng.permutation(list(JOBS)):
            for _ in range(int(self.rng.integers(2, MOST_HARMS + 1))):
                harm = str(self.rng.choice(list(HARMS), p=list(HARMS.values())))
                if self._harm(name, folder, harm):
                    break  # it had ended before
            else:
                code = self._start(name, folder, {}, None)
                if code:
                    self.wrong.append(f"{name} could not go on: {_tail(folder / f'{name}.log')}")
                    continue
            self.counts["jobs"] += 1
            if _answer(folder, name) != self.answers[name]:
                self.wrong.append(f"{name} gave another answer in {folder.name}")

    def _harm(self, name: str, folder: Path, harm: str) -> bool:
        """Start a job and harm it; tell whether it ended well all the same."""
        limits, patience = {}, None
        if harm == "kill":
            patience = self.seconds[name] * float(self.rng.uniform()) ** 2  # early more often than late, which costs less
        else:
            limits = (
                {"memory": int(self.rng.integers(1e7, 3e8))} if harm == "memory" else {"file": int(self.rng.integers(100, 50_000))}
            )
        code = self._start(name, folder, limits, patience)
        if code == 0:
            return True
        self.counts["kills" if harm == "kill" and code == -signal.SIGKILL else f"{harm}: ended with an error"] += 1
        return False

    def _start(self, name: str, folder: Path, limits: dict[str, int], patience: float | None) -> int | None:
        """Start a job, and kill it if it takes longer than it may; give its exit code."""
        process = self.context.Process(target=run_job, args=(name, self.data, folder, limits))
        process.start()
        process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode


def _answer(folder: Path, name: str) -> str:
    file = folder / f"{name}.answer"
    return file.read_text(encoding="ascii") if file.exists() else "none"


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]


def memory_growth(log: Path) -> dict[str, Any]:
    """Compare the memory of the last third of the rounds with that of the third before; the first one warms up."""
    rounds = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    sizes = np.array([one["bytes"] for one in rounds], float)
    third = len(sizes) // 3
    found = {"rounds": len(rounds), "same answers": all(one["same"] for one in rounds), "growth": None}
    if third:
        before, after = np.median(sizes[third : 2 * third]), np.median(sizes[-third:])
        found |= {"growth": float(after / before - 1), "MB": float(after / 1e6)}
    return found


def soak(minutes: float, load: int, n: int, seed: int) -> dict[str, Any]:
    """Run all of it; give what happened."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks._soak_jobs"])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_inputs(folder, n)
        runs = Soak(context, folder, seed)
        runs.learn(folder)
        deadline = time.time() + 60 * minutes
        log = folder / "steady.jsonl"
        others = [context.Process(target=keep_busy, args=(deadline,)) for _ in range(load * (os.cpu_count() or 1))]
        steady = context.Process(target=work_steadily, args=(folder, log, deadline))
        for process in (*others, steady):
            process.start()
        number = 0
        while time.time() < deadline:
            runs.work(folder / f"round-{number}")
            number += 1
        for process in (*others, steady):
            process.join()
        found = memory_growth(log) if log.exists() else {"rounds": 0, "same answers": False, "growth": None}
    return {
        "minutes": minutes,
        "busy processes a core": load,
        "crystals": n,
        "seed": seed,
        "counts": dict(sorted(runs.counts.items())),
        "wrong": runs.wrong,
        "steady": found | {"exit code": steady.exitcode},
    }


def broken_promises(found: dict[str, Any]) -> list[str]:
    """Say which promises were broken."""
    steady = found["steady"]
    checks = {
        f"{len(found['wrong'])} answers are lost or wrong: {'; '.join(found['wrong'])}": found["wrong"],
        f"only {found['counts'].get('kills', 0)} kills": found["counts"].get("kills", 0) < LEAST_KILLS_A_MINUTE * found["minutes"],
        "the steady process gave other answers or failed": not steady["same answers"] or steady["exit code"],
        f"memory grew by {steady['growth']}": steady["growth"] is None or steady["growth"] > GROWTH,
    }
    return [text for text, is_broken in checks.items() if is_broken]


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = command_line("soak", __doc__, "soak.json")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--load", type=int, default=4, help="processes a core that keep it busy")
    parser.add_argument("--crystals", type=int, default=200, help="crystals to work on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = soak(options.minutes, options.load, options.crystals, options.seed)
    broken = broken_promises(found)
    write_results(options.output / "soak.json", found | {"broken": broken})
    CONSOLE.print_json(json.dumps(found["counts"] | {"steady": found["steady"]}))
    for text in broken:
        CONSOLE.print(f"broken: {text}", markup=False)
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
