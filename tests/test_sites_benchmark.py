"""The benchmark of the site dissimilarity on few crystals: what it writes, and the claims that don't depend on the machine."""

import json
from contextlib import suppress

from benchmarks.sites import main


def test_a_small_run(tmp_path):
    with suppress(SystemExit):  # claims on time may fail on a busy machine
        main(["--limit", "400", "--pairs", "60", "--output", str(tmp_path)])
    results = json.loads((tmp_path / "sites.json").read_text(encoding="utf-8"))
    outcome = {claim["claim"]: claim["outcome"] for claim in results["claims"]}
    for claim in (
        "different crystals are told apart",
        "one crystal in two descriptions is 0 apart",
        "no step of the path is larger than three mean steps",
        "share of pairs transported for the nearest",
    ):
        assert outcome[claim] == "holds"
    assert {row["StructureMatcher"] for row in results["pairs"]} == {"same", "different"}
    assert len({point["StructureMatcher"] for point in results["path"]}) == 2  # it jumps
    assert (tmp_path / "roc.png").stat().st_size > 10_000
    assert "Which element sits where?" in (tmp_path / "index.html").read_text(encoding="utf-8")
