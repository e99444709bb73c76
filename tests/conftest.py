"""Fixtures shared by the tests: crystals that exist, and a sample of those embedded in the package."""

import os
import signal
from collections.abc import Callable

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from pymatgen.core import Lattice, Structure

from matminer_grid import CrystalTable
from matminer_grid.datasets import load_mp_elasticity_table

settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("few", max_examples=3, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell starts background jobs so, and processes inherit it: tests of Ctrl-C need what a terminal gives
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


LARGE = {"embedded", "sample", "structures"}
"""Fixtures that are too large for kernels in plain Python."""


def pytest_collection_modifyitems(config, items):
    """Where numba compiles nothing, leave out the tests that would take hours."""
    if numba.config.DISABLE_JIT:
        left_out = [item for item in items if item.get_closest_marker("compiled") or LARGE & set(getattr(item, "fixturenames", ()))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With ``-n`` a process takes whole files: what a file's tests share is made once."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.getvalue("dist") == "load" else None


FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def rock_salt() -> Structure:
    return Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, [*FCC, *(FCC + 0.5)])


def shaken(structure: Structure, distance: float, seed: int) -> Structure:
    """Move each site by a distance in Å in a random direction."""
    steps = np.random.default_rng(seed).normal(size=(len(structure), 3))
    steps *= distance / np.linalg.norm(steps, axis=1, keepdims=True)
    return Structure(structure.lattice, structure.species_and_occu, structure.cart_coords + steps, coords_are_cartesian=True)


def perovskite() -> Structure:
    coords = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], coords)


def hcp() -> Structure:
    return Structure(Lattice.hexagonal(3.209, 5.211), ["Mg", "Mg"], [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])


def diamond() -> Structure:
    return Structure(Lattice.cubic(3.567), ["C"] * 8, [*FCC, *(FCC + 0.25)])


def baddeleyite() -> Structure:
    coords = [[0.2754, 0.0395, 0.2083], [0.0700, 0.3317, 0.3447], [0.4496, 0.7569, 0.4792]]
    return Structure.from_spacegroup("P2_1/c", Lattice.monoclinic(5.1505, 5.2116, 5.3173, 99.23), ["Zr", "O", "O"], coords)


def disordered_alloy() -> Structure:
    return Structure(Lattice.cubic(3.73), [{"Cu": 0.75, "Au": 0.25}] * 4, FCC)


def split_alloy() -> Structure:
    """Give the alloy with each mixed site as two sites on the same point."""
    return Structure(Lattice.cubic(3.73), [{"Cu": 0.75}] * 4 + [{"Au": 0.25}] * 4, [*FCC, *FCC])


def wustite() -> Structure:
    return Structure(Lattice.cubic(4.307), [{"Fe2+": 0.76, "Fe3+": 0.16}] * 4 + ["O2-"] * 4, [*FCC, *(FCC + 0.5)])


def cobaltite() -> Structure:
    """Give NaxCoO2, whose two kinds of sodium sites are too close to be both occupied."""
    sodium = [[0, 0, 0.25], [0, 0, 0.75], [2 / 3, 1 / 3, 0.25], [1 / 3, 2 / 3, 0.75]]
    cobalt = [[0, 0, 0], [0, 0, 0.5]]
    oxygen = [[1 / 3, 2 / 3, 0.0913], [2 / 3, 1 / 3, 0.5913], [2 / 3, 1 / 3, 0.9087], [1 / 3, 2 / 3, 0.4087]]
    species = [{"Na": 0.23}] * 2 + [{"Na": 0.51}] * 2 + ["Co"] * 2 + ["O"] * 4
    return Structure(Lattice.hexagonal(2.833, 10.88), species, sodium + cobalt + oxygen)


def heavy_lithium_hydride() -> Structure:
    return Structure(Lattice.cubic(4.065), ["Li+"] * 4 + ["D-"] * 4, [*FCC, *(FCC + 0.5)])


def with_dummies() -> Structure:
    return Structure(Lattice.orthorhombic(3.1, 4.2, 5.3), ["Fe3+", "X2-", {"Qv+": 0.5, "O2-": 0.25}], np.eye(3) / 2)


REAL: dict[str, Callable[[], Structure]] = {
    builder.__name__: builder
    for builder in (
        rock_salt,
        perovskite,
        hcp,
        diamond,
        baddeleyite,
        disordered_alloy,
        wustite,
        split_alloy,
        cobaltite,
        heavy_lithium_hydride,
        with_dummies,
    )
}


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Keep what is built on first use out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=REAL)
def real(request) -> Structure:
    """Each of the crystals above."""
    return REAL[request.param]()


@pytest.fixture(scope="session")
def embedded() -> CrystalTable:
    """All crystals embedded in the package."""
    return load_mp_elasticity_table().crystals


@pytest.fixture(scope="session")
def sample(embedded: CrystalTable) -> CrystalTable:
    """Two hundred of them, always the same."""
    return embedded[np.random.default_rng(20210716).choice(len(embedded), 200, replace=False)]


@pytest.fixture(scope="session")
def structures(sample: CrystalTable) -> list[Structure]:
    """Part of the sample as pymatgen structures: more than fit into one chunk of the batch path."""
    return sample[:140].to_structures()
