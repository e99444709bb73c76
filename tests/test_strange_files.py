"""Another list of small files, each with what is right."""

import pytest

from matminer_grid.io import read_structures_from
from tests.strange_files import CASES


@pytest.mark.filterwarnings("ignore:.*read with warnings")
@pytest.mark.parametrize("name", CASES)
def test_read_right_or_refused(tmp_path, name):
    content, right = CASES[name]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    records = list(read_structures_from(path))
    assert len(records) == len(right)
    for record, (formula, note, warning, volume) in zip(records, right, strict=True):
        if record.crystal is None:
            assert formula in record.error
        else:
            assert record.crystal.formula == formula
            assert volume is None or record.crystal.volume == pytest.approx(volume, abs=0.01)
        for said, found in ((note, record.notes), (warning, record.warnings)):
            assert any(said in text for text in found) if said else not found


def test_there_are_forty():
    assert len(CASES) >= 40
    assert len({content for content, _ in CASES.values()}) == len(CASES)
