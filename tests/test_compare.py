"""Two crystals side by side, in the library, on the command line and in pictures."""

import json
import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from typer.testing import CliRunner

from benchmarks._pairs import pairs, perovskite, rock_salt, spinel
from matminer_grid import CrystalDissimilarity
from matminer_grid.cli import app
from matminer_grid.crystals.crystal import as_crystal
from matminer_grid.plotting import plot_parts, plot_site_matches
from tests.strategies import in_another_setting

SITES = CrystalDissimilarity(resolution="sites")


@pytest.mark.parametrize("elements", ["graded", "identity", "none"])
@pytest.mark.parametrize("scale_volume", [False, True])
@pytest.mark.parametrize("name", ["TiNiSn, Ni and Sn exchanged", "MgAl2O4, normal and inverse", "NaCl and KCl"])
def test_parts_add_up(name, elements, scale_volume):
    a, b, _ = pairs()[name]
    dissimilarity = CrystalDissimilarity(resolution="sites", elements=elements, scale_volume=scale_volume, neighbor_weight=2.0)
    compared = dissimilarity.compare(a, b)
    assert compared.total == dissimilarity.distance(a, b)
    assert compared.total == pytest.approx(10 * compared.geometry + compared.elements + 2 * compared.neighbors, abs=1e-12)
    assert compared.total == pytest.approx(sum(match.share * match.cost for match in compared.matches), abs=1e-12)
    assert sum(match.share for match in compared.matches) == pytest.approx(1)
    scaled = CrystalDissimilarity(resolution="sites", elements=elements, scale_volume=True, neighbor_weight=2.0)
    assert compared.at_equal_volume == scaled.distance(a, b)
    assert json.loads(json.dumps(compared.to_dict()))["total"] == compared.total


def test_what_it_says_of_an_expansion():
    compared = SITES.compare(perovskite(), perovskite(3.945))
    assert compared.same_formula
    assert compared.formulas == ("SrTiO3", "SrTiO3")
    assert compared.space_groups == ("Pm-3m (221)", "Pm-3m (221)")
    assert compared.volume_ratio == pytest.approx((3.945 / 3.905) ** 3)
    assert compared.at_equal_volume == pytest.approx(0, abs=1e-12)
    assert [(match.a, match.b) for match in compared.matches] == [("O 3c", "O 3c"), ("Sr 1a", "Sr 1a"), ("Ti 1b", "Ti 1b")]
    shell = compared.shells[0]
    assert (shell.first, shell.last, shell.pair_a, shell.pair_b) == (1, 2, "O–Ti", "O–Ti")
    assert (shell.distance_a, shell.distance_b) == pytest.approx((3.905 / 2, 3.945 / 2))


def test_shells_make_the_difference_of_distances():
    """Their differences, over all ranks, are the geometry of a match."""
    for a, b in ((perovskite(), perovskite(3.945)), (spinel(False), spinel(True))):
        compared = SITES.compare(a, b)
        for index, match in enumerate(compared.matches):
            own = [shell for shell in compared.shells if shell.match == index]
            total = sum((shell.last - shell.first + 1) * abs(shell.distance_a - shell.distance_b) for shell in own)
            assert total / 100 == pytest.approx(match.geometry, abs=2e-3)  # shells of less than 0.001 Å are left out


def test_disorder_and_another_description():
    compared = SITES.compare(spinel(False), spinel(True))
    assert "Mg0.5Al0.5" in {shell.pair_b.split("–")[1] for shell in compared.shells}
    crystal = as_crystal(spinel(True))
    compared = SITES.compare(crystal, in_another_setting(crystal, np.random.default_rng(1)))
    assert compared.total <= 1e-9
    assert compared.shells == []
    assert all(match.a.split(" ")[0] == match.b.split(" ")[0] for match in compared.matches)


def test_noble_gases_are_no_reason_to_warn():
    solid = as_crystal(Structure(Lattice.cubic(4.46), ["Ne"] * 4, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert SITES.compare(solid, solid).formulas == ("Ne", "Ne")


def test_grids_know_no_sites():
    with pytest.raises(ValueError, match="knows no sites"):
        CrystalDissimilarity().compare(perovskite(), perovskite())


def test_the_command(tmp_path):
    file, picture = tmp_path / "salt.cif", tmp_path / "salt.png"
    rock_salt().to(str(file))
    run = CliRunner().invoke(app, ["compare", str(file), "mp-22862", "--plot", str(picture)])
    assert run.exit_code == 0, run.output
    assert "Na 4a → Na 4a" in run.output
    assert picture.stat().st_size > 10_000
    run = CliRunner().invoke(app, ["compare", "mp-22862", "mp-23193", "--json", "--elements", "identity", "--scale-volume"])
    found = json.loads(run.output)
    assert found["formulas"] == ["NaCl", "KCl"]
    assert found["elements"] == pytest.approx(5)
    for arguments, message in ((["mp-0"], "no such file, and no embedded material"), (["--elements", "table"], "unknown elements")):
        run = CliRunner().invoke(app, ["compare", str(file), *(arguments if len(arguments) == 1 else ["mp-22862", *arguments])])
        assert run.exit_code == 1
        assert message in run.output


@pytest.mark.compiled
def test_similar_begins_with_the_same_crystal(tmp_path):
    for name, structure in (("strontium", perovskite()), ("salt", rock_salt())):
        structure.to(str(tmp_path / f"{name}.cif"))
    files = [str(tmp_path / "strontium.cif"), str(tmp_path / "salt.cif")]
    strontium, salt = json.loads(CliRunner().invoke(app, ["similar", *files, "-k", "3", "--json"]).output)
    first = strontium["nearest"][0]
    assert (first["material"], first["formula"], first["space_group"]) == ("mp-5229", "SrTiO3", "Pm-3m (221)")
    assert first["page"].endswith("/mp-5229")
    assert first["at_equal_volume"] == 0
    assert first["dissimilarity"] == pytest.approx(10 * first["distances"] + first["elements"] + first["surroundings"], abs=1e-3)
    assert [line["material"] for line in strontium["known_as"]] == ["mp-5229", "mp-551830", "mp-4651"]
    assert salt["nearest"][0]["material"] == "mp-22862"
    run = CliRunner().invoke(app, ["similar", files[0], "--n-neighbors", "2"])
    assert "known as mp-5229" in run.output
    run = CliRunner().invoke(app, ["similar", files[0], "--metric", "grid", "--bin-size", "0.01", "--json"])
    assert set(json.loads(run.output)[0]["nearest"][0]) >= {"grid_emd", "composition_emd"}


def test_pictures_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="one entry a match"):
        plot_site_matches(["Na"], ["K", "Cl"], [1.0], [2.0])
    assert plot_parts({"distances": 0.0}).get_title() == "Dissimilarity 0.00"
