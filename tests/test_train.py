"""Crystals with properties from files, cross-validation, and the commands train and predict --model."""

import json
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from matminer_grid import CrystalTable
from matminer_grid.cli import app
from matminer_grid.cli.models import in_digits
from matminer_grid.datasets import load_mp_elasticity_table
from matminer_grid.io import export_crystals, load_crystals, read_labelled, save_crystals
from matminer_grid.models import (
    GRIDKernelClassifier,
    GRIDKernelRegressor,
    GRIDNeighborsRegressor,
    cross_validate_model,
    load_model,
)
from matminer_grid.plotting import plot_calibration
from tests.conftest import rock_salt

N = 60


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let models keep the weights that they start from."""
    for kind in (GRIDKernelRegressor, GRIDKernelClassifier):
        monkeypatch.setattr(kind.__init__, "__kwdefaults__", kind.__init__.__kwdefaults__ | {"tune_iterations": 0})
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def crystals():
    table = load_mp_elasticity_table()
    rows = np.nonzero((table.crystals.n_sites <= 8) & (table.K_VRH > 5))[0][5 : 5 + 20 * N : 20]
    return table.crystals[rows], table.K_VRH[rows], table.material_id[rows]


@pytest.fixture(scope="module")
def properties(crystals):
    _, K, ids = crystals
    frame = pd.DataFrame({"material_id": ids, "K": K, "shifted": K - 100.5, "kind": np.where(np.median(K) < K, "hard", "soft")})
    frame["gaps"] = np.where(np.arange(N) % 10 == 3, np.nan, K)
    frame["endless"] = np.where(np.arange(N) == 7, np.inf, K)
    frame["constant"] = 1.0
    frame["is_hard"] = frame["kind"] == "hard"
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory, crystals, properties):
    folder = tmp_path_factory.mktemp("labelled")
    save_crystals(folder / "data.parquet", crystals[0], properties)
    for name in ("data.jsonl", "data.xyz"):
        export_crystals(folder / name, crystals[0], properties=properties)
    export_crystals(folder / "cifs", crystals[0], properties["material_id"].tolist())
    files = sorted(file.name for file in (folder / "cifs").iterdir())
    assert len(files) == N
    stems = {file.removesuffix(".cif"): file for file in files}
    named = properties.assign(file=[next(f for stem, f in stems.items() if one in stem) for one in properties["material_id"]])
    named.assign(file="cifs/" + named["file"]).to_csv(folder / "beside.csv", index=False)
    named.assign(file=named["file"].str.removesuffix(".cif")).to_csv(folder / "cifs" / "inside.csv", index=False)
    return folder


def run(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["data.parquet", "data.jsonl", "data.xyz", "beside.csv", "cifs", "cifs/inside.csv"])
def test_properties_come_with_the_crystals(folder, crystals, name):
    read = read_labelled(folder / name)
    assert len(read.crystals) == len(read.names) == len(read.properties) == N
    assert not read.errors
    order = pd.Index(read.properties["material_id"]).get_indexer(crystals[2])
    assert (np.sort(order) == np.arange(N)).all()
    np.testing.assert_allclose(read.properties["K"].to_numpy(float)[order], crystals[1])
    np.testing.assert_array_equal(read.crystals.n_sites[order], crystals[0].n_sites)


def test_rows_without_a_structure_cost_the_others_nothing(folder, tmp_path):
    table = pd.read_csv(folder / "beside.csv")
    table["file"] = [str(folder / file) for file in table["file"]]
    table.loc[3, "file"] = "missing.cif"
    (tmp_path / "bad.cif").write_text("nonsense")
    table.loc[5, "file"] = "bad.cif"
    (tmp_path / "two.xyz").write_text((folder / "data.xyz").read_text())
    table.loc[6, "file"] = "two.xyz"
    table.to_csv(tmp_path / "table.csv", index=False)
    read = read_labelled(tmp_path / "table.csv")
    assert len(read.crystals) == N - 3
    assert read.properties["material_id"].tolist() == table["material_id"].drop([3, 5, 6]).tolist()
    errors = list(read.errors.items())
    assert errors[0][0].endswith("table.csv, row 3")
    assert "no structure file 'missing.cif'" in errors[0][1]
    assert errors[1][0].endswith("bad.cif")
    assert f"{N} structures are in the file; one is needed" in errors[2][1]


def test_tables_that_can_not_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_labelled(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("id,gap\nx,1\n")
    with pytest.raises(ValueError, match=r"no column of .*a\.csv names structure files.*its columns are id, gap"):
        read_labelled(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("id,gap\n")
    with pytest.raises(ValueError, match=r"holds several CSV files, a\.csv, b\.csv: name the one"):
        read_labelled(tmp_path)
    with pytest.raises(ValueError, match=r"b\.csv holds no rows"):
        read_labelled(tmp_path / "b.csv")
    with pytest.raises(ValueError, match=r"no crystal in .*none\.jsonl can be read: .*no such file"):
        read_labelled(tmp_path / "none.jsonl")


def test_cross_validation_is_that_of_fit_and_predict(crystals):
    structures, K, _ = crystals
    model = GRIDKernelRegressor()
    extra = {"K": K + 1.0}
    found = cross_validate_model(model, structures, K, n_splits=3, extra=extra)
    assert not hasattr(model, "y_")
    test = found.folds == 1
    own = GRIDKernelRegressor().fit(structures[~test], K[~test], extra={"K": extra["K"][~test]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        np.testing.assert_allclose(found.predicted[test], own.predict(structures[test], extra={"K": extra["K"][test]}))
    scores = found.scores()
    assert next(iter(scores)) == "MAE"
    assert scores["MAE"] == pytest.approx(np.abs(found.predicted - K).mean())
    assert scores["MAE"] < scores["MAE of the median"]
    within = (found.lower[:, -1] <= K) & (found.upper[:, -1] >= K)
    assert scores["within 95%"] == pytest.approx(within.mean())
    assert found.calibration()["observed"].is_monotonic_increasing


def test_errors_by_similarity(crystals):
    structures, K, _ = crystals
    model = GRIDKernelRegressor()
    copies = CrystalTable.concatenate([structures, structures[:20]])
    found = cross_validate_model(model, copies, np.append(K, K[:20]), n_splits=4)
    test = found.folds == 2
    own = GRIDKernelRegressor().fit(copies[~test], found.truth[~test])
    np.testing.assert_allclose(found.similarity[test], own.applicability(copies[test])["similarity"], atol=1e-6)
    table = found.by_similarity(4)
    assert table["crystals"].tolist() == [20] * 4
    assert (table["similarity from"] <= table["to"]).all()
    assert table["to"].iloc[-1] == pytest.approx(1)
    assert table["MAE"].iloc[-1] < table["MAE"].iloc[0]
    assert (table["MAE"] * table["crystals"]).sum() == pytest.approx(80 * found.scores()["MAE"])
    assert table["within 95%"].mean() == pytest.approx(found.scores()["within 95%"])
    with pytest.raises(ValueError, match="n_bins must be"):
        found.by_similarity(0)
    kinds = cross_validate_model(GRIDKernelClassifier(), structures, np.median(K) < K, n_splits=3)
    assert 1 - kinds.by_similarity(3)["wrong"].mean() == pytest.approx(kinds.scores()["accuracy"])


def test_groups_stay_together(crystals):
    structures, K, _ = crystals
    groups = np.arange(N) // 6
    for model, y in ((GRIDKernelRegressor(), K), (GRIDKernelClassifier(), np.median(K) < K)):
        found = cross_validate_model(model, structures, y, n_splits=3, groups=groups)
        assert (np.array([len(set(found.folds[groups == group])) for group in range(10)]) == 1).all()
    with pytest.raises(ValueError, match="3 folds need as many groups, and there are 2"):
        cross_validate_model(GRIDKernelRegressor(), structures, K, n_splits=3, groups=groups > 4)
    with pytest.raises(ValueError, match="groups must name one group a structure, 60"):
        cross_validate_model(GRIDKernelRegressor(), structures, K, groups=groups[:5])
    with pytest.raises(ValueError, match="one property at a time"):
        cross_validate_model(GRIDKernelRegressor(), structures, np.stack([K, K], axis=1))


def test_classes_are_cross_validated(crystals):
    structures, *_ = crystals
    volumes = np.array([abs(np.linalg.det(crystal.lattice)) / crystal.n_sites for crystal in structures])
    kinds = np.array(["small", "medium", "large"])[np.digitize(volumes, np.quantile(volumes, [0.4, 0.8]))]
    found = cross_validate_model(GRIDKernelClassifier(), structures, kinds, n_splits=3)
    scores = found.scores()
    assert next(iter(scores)) == "accuracy"
    assert scores["accuracy"] == pytest.approx((found.predicted == kinds).mean())
    assert scores["accuracy"] > scores["accuracy of the commonest"]
    assert found.calibration()["crystals"].sum() == 3 * N
    kinds[:2] = "rare"
    with pytest.raises(ValueError, match="3 folds need 3 members of each class, and one has 2"):
        cross_validate_model(GRIDKernelClassifier(), structures, kinds, n_splits=3)


def test_groups_that_leave_a_fold_empty_or_too_little(crystals):
    structures, K, _ = crystals
    kinds = np.median(K) < K
    for model, y, groups, message in (
        (GRIDKernelRegressor(), K, np.minimum(np.arange(N), 45) // 45 * 2 + (np.arange(N) == 0), "leave .* crystals to train on"),
        (GRIDKernelClassifier(), kinds, np.where(kinds, 0, 1 + np.arange(N) % 2), "leave a class with fewer than two"),
    ):
        with pytest.raises(ValueError, match=message):
            cross_validate_model(model, structures, y, n_splits=3, groups=groups)


@pytest.fixture(scope="module")
def doubled(tmp_path_factory, crystals, properties):
    """Half of the crystals a second time, in another cell; the copies have a value that is theirs alone."""
    half = N // 2
    again = CrystalTable.from_structures([structure * (1, 2, 1) for structure in crystals[0][:half].to_structures()])
    frame = pd.concat([properties, properties[:half]], ignore_index=True)
    frame["paper"] = np.arange(len(frame)) % 9
    frame["sparse"] = np.where(frame.index == 4, None, "a")
    frame["pair"] = np.where(frame.index < half, "a", "b")
    path = tmp_path_factory.mktemp("doubled") / "data.parquet"
    save_crystals(path, CrystalTable.concatenate([crystals[0], again]), frame)
    return path


def test_train_keeps_the_same_crystals_in_one_fold(doubled, tmp_path):
    told = {}
    for groups in (None, "distinct", "paper"):
        options = [] if groups is None else ["--groups", groups]
        done = run("train", doubled, "--target", "K", "--folds", 3, "--json", *options)
        assert done.exit_code == 0, done.output
        told[groups] = json.loads(done.stdout)
    assert "groups" not in told[None]
    assert told["distinct"]["groups"] == {"by": "distinct", "number": N}
    assert told["paper"]["groups"] == {"by": "paper", "number": 9}
    assert told[None]["scores"]["MAE"] < 0.8 * told["distinct"]["scores"]["MAE"]  # a copy was learned from
    page = tmp_path / "report.html"
    done = run("train", doubled, "--target", "K", "--folds", 2, "--groups", "distinct", "--report", page)
    assert f"2 folds; crystals that are the same in one fold, {N} groups" in done.stdout
    assert f"crystals that are the same in one fold, {N} groups" in page.read_text()
    assert "Where it applies" in page.read_text()
    assert "crystals of one paper in one fold" in run("train", doubled, "--target", "K", "--folds", 2, "--groups", "paper").stdout


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("Paper", "no column 'Paper' for --groups.*is it paper"),
        ("sparse", r"'sparse' for --groups is empty for 1 crystals, such as mp-\d+,.*fill it in"),
        ("pair", "3 folds need as many groups, or one would be empty, and by --groups pair there are 2: give fewer --folds"),
    ],
)
def test_groups_that_train_refuses(doubled, groups, message):
    done = run("train", doubled, "--target", "K", "--folds", 3, "--groups", groups)
    assert done.exit_code == 1
    assert re.search(message, done.stderr.replace("\n", " ")), done.stderr


@pytest.mark.parametrize("name", ["data.parquet", "data.jsonl", "data.xyz", "beside.csv", "cifs"])
def test_train_and_predict(folder, tmp_path, name):
    model, picture = tmp_path / "model.npz", tmp_path / "parity.png"
    done = run("train", folder / name, "--target", "shifted", "-o", model, "--plot", picture, "--folds", 3, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["crystals"] == N
    assert told["log_target"] is False
    assert next(iter(told["scores"])) == "MAE"
    assert sum(row["crystals"] for row in told["by_similarity"]) == N
    assert picture.stat().st_size > 5000
    rock_salt().to(filename=str(tmp_path / "salt.cif"))
    done = run("predict", tmp_path / "salt.cif", "--model", model, "-k", 2, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)[0]
    low, high = answer["shifted"]["interval"]
    assert low < answer["shifted"]["value"] < high
    assert all(one["name"].startswith("mp-") for one in answer["rests_on"])
    done = run("predict", tmp_path / "salt.cif", "--model", model, "-k", 2)
    assert "shifted" in done.stdout


def test_train_as_a_table(folder, tmp_path):
    model = tmp_path / "model.npz"
    done = run("train", folder / "data.parquet", "--target", "gaps", "-o", model, "--id", "kind", "--folds", 2)
    assert done.exit_code == 0, done.output
    assert "without gaps, and left out: 6 of 60 crystals" in done.stderr
    assert "gaps of 54 crystals, 2 folds; its logarithm is learned" in done.stdout
    assert "MAE" in done.stdout
    assert set(load_model(model).names_) == {"hard", "soft"}
    done = run("train", folder / "data.parquet", "--target", "gaps", "-o", model)
    assert done.exit_code == 1
    assert "give --overwrite" in done.stderr


def test_train_on_classes(folder, tmp_path):
    model = tmp_path / "model.npz"
    for target in ("kind", "is_hard"):
        done = run("train", folder / "data.jsonl", "--target", target, "--classify", "-o", model, "--overwrite", "--folds", 2)
        assert done.exit_code == 0, done.output
        assert "accuracy" in done.stdout
        rock_salt().to(filename=str(tmp_path / "salt.cif"))
        done = run("predict", tmp_path / "salt.cif", "--model", model, "--json")
        found = json.loads(done.stdout)[0][target]
        assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert found["value"] in {"hard", "soft", True, False}
    assert "is_hard" in run("predict", tmp_path / "salt.cif", "--model", model).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", "Kk"], "there is no column 'Kk' for --target; it has .*is it K?"),
        (["--target", "K", "--id", "name"], "there is no column 'name' for --id"),
        (["--target", "kind"], r"the column 'kind' holds texts such as '(hard|soft)' \(mp-\d+\), .* give --classify"),
        (["--target", "is_hard"], "the column 'is_hard' holds truth values: give --classify"),
        (["--target", "shifted", "--classify"], "the column 'shifted' holds numbers that are no classes: leave --classify out"),
        (
            ["--target", "constant"],
            r"the column 'constant' is 1\.0 for all crystals, .* give another --target",
        ),
    ],
)
def test_what_train_refuses(folder, options, message):
    done = run("train", folder / "data.parquet", *options)
    assert done.exit_code == 1
    assert re.search(message, done.stderr.replace("\n", " ")), done.stderr


def test_infinite_values_and_unreadable_crystals_are_named(folder, tmp_path, crystals, properties):
    lines = (folder / "data.jsonl").read_text().splitlines()
    (tmp_path / "data.jsonl").write_text("\n".join([*lines, '{"structure": 3}']))
    done = run("train", tmp_path / "data.jsonl", "--target", "K", "--folds", 2, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failed"] == 1
    assert f"data.jsonl:{N + 1}" in done.stderr
    done = run("train", folder / "data.parquet", "--target", "endless", "--folds", 2, "--json")
    assert done.exit_code == 1
    assert f"{crystals[2][7]}: endless is infinite; it is left out" in done.stderr
    assert json.loads(done.stdout)["crystals"] == N - 1
    few = tmp_path / "few.parquet"
    save_crystals(few, crystals[0][:15], properties[:15])
    assert "5 folds of 15 crystals leave 12 to train on, and at least 20 are needed" in run("train", few, "--target", "K").stderr
    bare = tmp_path / "bare.parquet"
    crystals[0].to_parquet(bare)
    assert "come without properties" in run("train", bare, "--target", "K").stderr


def test_what_predict_refuses(folder, tmp_path, crystals):
    structures, K, _ = crystals
    rock_salt().to(filename=str(tmp_path / "salt.cif"))
    path = tmp_path / "model.npz"
    GRIDKernelRegressor().fit(structures, K, extra={"energy": K}).save(path)
    done = run("predict", tmp_path / "salt.cif", "--model", path)
    assert done.exit_code == 1
    assert "trained with descriptors that files don't hold, energy" in done.stderr
    GRIDNeighborsRegressor().fit(structures, K).save(path)
    assert "holds a GRIDNeighborsRegressor" in run("predict", tmp_path / "salt.cif", "--model", path).stderr
    assert "--limit is for the models" in run("predict", tmp_path / "salt.cif", "--model", path, "--limit", 50).stderr
    assert "no model of matminer-grid" in run("predict", tmp_path / "salt.cif", "--model", folder / "data.parquet").stderr


def test_a_model_of_several_properties_is_predicted_with(tmp_path, crystals):
    structures, K, _ = crystals
    rock_salt().to(filename=str(tmp_path / "salt.cif"))
    path = tmp_path / "model.npz"
    for y, names in (
        (pd.DataFrame({"K": K, "low": K - 100}), ["K", "low"]),
        (np.stack([K, K - 100], axis=1), ["value 0", "value 1"]),
    ):
        GRIDKernelRegressor().fit(structures, y).save(path)
        answer = json.loads(run("predict", tmp_path / "salt.cif", "--model", path, "--json", "-k", 0).stdout)[0]
        assert [name for name, found in answer.items() if "interval" in found] == names


def test_digits():
    numbers = [(163.24, 150), (163.24, 900), (-1.2345, 0.02), (0.0312, 0.5), (0.0, 1.0), (0.00004, 1e-5), (12.3, 0.0), (0.8, 60)]
    assert [in_digits(*pair) for pair in numbers] == ["163", "160", "-1.234", "0.03", "0.00", "4e-05", "12.30", "0.8"]


def test_calibration_is_drawn():
    ax = plot_calibration([0.5, 0.9], [0.4, 0.95], label="one")
    plot_calibration([0.5, 0.9], [0.6, 0.8], ax=ax, label="other")
    assert len(ax.lines) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]
    for stated, observed, message in (
        ([0.5], [0.5, 0.6], "as long as"),
        ([50], [0.5], "stated must lie"),
        ([0.5], [np.nan], "observed"),
    ):
        with pytest.raises(ValueError, match=message):
            plot_calibration(stated, observed)


def test_parquet_of_the_embedded_kind_is_the_same(folder):
    table, frame = load_crystals(folder / "data.parquet")
    read = read_labelled(folder / "data.parquet")
    assert isinstance(table, CrystalTable)
    assert read.properties["K"].tolist() == frame["K"].tolist()
