"""What `--json` of each command prints, field by field with units, as JSON schemas: for the reference and for other programs."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _of(kind: str | list[str], text: str) -> Schema:
    return {"type": kind, "description": text}


def number(text: str) -> Schema:
    """Give the schema of a number."""
    return _of("number", text)


def number_or_null(text: str) -> Schema:
    """Give the schema of a number that may be missing."""
    return _of(["number", "null"], text)


def count(text: str) -> Schema:
    """Give the schema of a whole number of at least 0."""
    return _of("integer", text) | {"minimum": 0}


def words(text: str) -> Schema:
    """Give the schema of a string."""
    return _of("string", text)


def yes_or_no(text: str) -> Schema:
    """Give the schema of true or false."""
    return _of("boolean", text)


def each(items: Schema, text: str) -> Schema:
    """Give the schema of a list."""
    return _of("array", text) | {"items": items}


def by_name(values: Schema, text: str) -> Schema:
    """Give the schema of an object whose keys are names."""
    return _of("object", text) | {"additionalProperties": values}


def fields(text: str, **properties: Schema) -> Schema:
    """Give the schema of an object of named fields; one that ends in an underscore may be missing."""
    named = {name.removesuffix("_"): schema for name, schema in properties.items()}
    needed = [name for name in properties if not name.endswith("_")]
    return _of("object", text) | {"properties": named, "required": needed, "additionalProperties": False}


WARNINGS = each(words("a warning"), "what was lost, assumed or is doubtful when the file was read")
ERRORS = by_name(words("the reason"), "what failed, by name")
FORMULA = words("reduced formula")
PARTS = {
    "geometry": number("difference of the distances to neighbours, in Å"),
    "elements": number("difference of the elements, in places on the modified Pettifor scale"),
    "neighbors": number("difference of what surrounds the sites, in such places"),
}
VOLUME_RATIO = number("volume a site of the second crystal over that of the first")
SPACE_GROUP = words("symbol and number of the space group")
BOUNDS = each(number("a value"), "least, median and largest")
PAIR = fields(
    "a pair",
    materials=each(words("a name"), "the two crystals"),
    volume_=number("relative difference of the volumes a site"),
    geometry_=number("mean difference of neighbours' distances at equal volume, in Å"),
    surroundings_=number("difference of elements and of what surrounds them"),
    dissimilarity_=number("the site dissimilarity, with --tolerance"),
    ratio=number_or_null("the largest part over its tolerance: at most 1 within it; null for none"),
    decided_by=words("the part with the largest ratio"),
)
KNOWN = fields(
    "a known crystal",
    material_id_=words("its id, of the embedded data"),
    name_=words("its name, of a model of yours"),
    formula=words("formula of its cell"),
    value_={"description": "its property, in the unit of the training values, or its class"},
    share_=number("weight of its value in the prediction; all of them and the others add up to 1"),
    grid_emd_=number("EMD of the GRIDs, in Å"),
    composition_emd_=number("EMD of the compositions, in places on the modified Pettifor scale"),
) | {"additionalProperties": {"description": "the property, by its name"}}
PREDICTED = fields(
    "what is predicted",
    value={"description": "in GPa, or in the unit of the training values; or the class"},
    interval_=each(number("an end"), "the interval that holds the value with the probability --coverage, in the same unit"),
    probabilities_=by_name(number("between 0 and 1"), "probability of each class"),
)
IMPORTED = {"output": words("the file"), "crystals": count("number of crystals written"), "errors": ERRORS}
INDEXED = fields("", index=words("the folder"), crystals=count("in all"), added=count("of them by this call"), errors=ERRORS)

SCHEMAS: dict[str, Schema] = {
    "featurize": fields(
        "",
        output=words("the Parquet file, or the folder of parts"),
        errors_file=_of(["string", "null"], "JSON lines of what failed or was read with a warning; null if there are none"),
        n_rows=count("rows written, those of former runs included"),
        n_failed=count("structures that could not be read or computed"),
        n_resumed=count("structures that a former run had done"),
        n_warned=count("structures that were read with a warning"),
        errors=ERRORS,
        warnings=each(each(words("name, warning"), "one of them"), "what was read with a warning"),
    ),
    "predict": each(
        fields(
            "one crystal",
            file=words("the file, and the entry in it"),
            formula=words("formula of the cell"),
            warnings=WARNINGS,
            applicability=fields(
                "whether the model can know it",
                similarity=number("to the nearest training crystal, between 0 and 1"),
                known=yes_or_no("whether it is a training crystal"),
                nearest=KNOWN,
                doubts=each(words("a reason"), "why the prediction is not to be trusted, in one word each"),
                why=words("the same in a sentence"),
            ),
            rests_on_=each(KNOWN, "the known crystals of the largest share, unless -k 0 is given"),
        )
        | {"additionalProperties": PREDICTED},
        "one entry for each crystal; properties stand under their names: K_VRH and G_VRH in GPa, or those of --model",
    ),
    "train": fields(
        "",
        target=words("the column that is learned"),
        crystals=count("crystals that were learned from"),
        without_value=count("crystals that were left out for want of a value"),
        failed=count("crystals that could not be read or described"),
        log_target_=yes_or_no("whether log10 of the property was learned; not for classes"),
        folds=count("folds of the cross-validation"),
        groups_=fields("what --groups keeps in one fold", by=words("as given"), number=count("number of groups")),
        scores=by_name(
            number("a score"),
            'of the cross-validation: "MAE", "median error", "RMSE", "MAE of the median" and "width of …%" are in the unit of the '
            "property, the others have none; shares lie between 0 and 1",
        ),
        calibration=each(
            fields("one of them", stated=number("promised"), observed=number("found"), crystals=count("looked at")),
            "shares of the crystals within intervals, or of those of a class",
        ),
        by_similarity=each(
            by_name(number("a number"), "one tenth or so of the crystals"), "errors by the similarity to what was learned from"
        ),
        model=_of(["string", "null"], "the file of the model; null without -o"),
    ),
    "similar": each(
        fields(
            "one crystal",
            file=words("the file, and the entry in it"),
            formula=FORMULA,
            warnings=WARNINGS,
            known_as=each(
                fields("one of them", material=words("its name"), dissimilarity=number("of the two, without unit")),
                "known crystals of the same formula, nearest first",
            ),
            nearest=each(
                fields(
                    "one of them",
                    material=words("its name"),
                    formula=FORMULA,
                    dissimilarity=number("weighted sum of the parts, without unit"),
                    at_equal_volume_=number("the dissimilarity when both have one volume a site"),
                    distances_=PARTS["geometry"],
                    elements_=PARTS["elements"],
                    surroundings_=PARTS["neighbors"],
                    volume_ratio_=VOLUME_RATIO,
                    renaming_=words("with --prototype: which element stands for which"),
                    space_group_=SPACE_GROUP,
                    grid_emd_=number("with --metric grid: EMD of the GRIDs, in Å"),
                    composition_emd_=number("with --metric grid: EMD of the compositions, in places on the scale"),
                    page_=words("address of the material's page"),
                ),
                "the nearest known crystals",
            ),
        ),
        "one entry for each crystal",
    ),
    "compare": fields(
        "",
        a=words("the first crystal, as given"),
        b=words("the second one"),
        total=number("the dissimilarity: weighted sum of the parts, without unit"),
        **PARTS,
        at_equal_volume=number("the dissimilarity when both have one volume a site"),
        volume_ratio=VOLUME_RATIO,
        formulas=each(FORMULA, "of both"),
        space_groups=each(SPACE_GROUP, "of both"),
        same_formula=yes_or_no("whether the formulas are equal"),
        matches=each(
            fields(
                "one of them",
                a=words("element and Wyckoff position of the first crystal's sites"),
                b=words("the same of the second one's"),
                sites_a=each(count("from 0"), "which sites of the cell they are"),
                sites_b=each(count("from 0"), "the same of the second crystal"),
                share=number("fraction of the atoms"),
                **PARTS,
                cost=number("the parts, weighted, without the share"),
            ),
            "which site became which, those of most cost first",
        ),
        shells=each(
            fields(
                "one of them",
                match=count("which of the matches, from 0"),
                first=number("rank of the first neighbour, from 1"),
                last=number("rank of the last one"),
                pair_a=words("elements of site and neighbours in the first crystal"),
                pair_b=words("the same in the second one"),
                distance_a=number("their distance in the first crystal, in Å"),
                distance_b=number("the same in the second one, in Å"),
            ),
            "neighbours that differ",
        ),
    ),
    "duplicates": fields(
        "",
        crystals=count("that were compared"),
        distinct=count("of them, one of each group"),
        tolerance={
            "description": "the largest site dissimilarity, or the largest volume (relative), geometry (Å) and surroundings; null "
            "for none"
        },
        groups=each(
            fields(
                "one of them",
                formula=FORMULA,
                formulas=each(FORMULA, "of all members"),
                space_group=SPACE_GROUP,
                spread=number("the largest difference of two members, in units of the tolerance"),
                materials=each(words("a name"), "the members, the one to keep first"),
            ),
            "crystals that are the same, the largest group first",
        ),
        warnings=by_name(WARNINGS, "by the names of the crystals"),
        pairs=each(PAIR, "pairs within the tolerance"),
        near=each(PAIR, "pairs beyond it, up to --margin times"),
    ),
    "evaluate": fields(
        "",
        generated=count("crystals that were read"),
        evaluated=count("of them, that could be compared"),
        known=count("known crystals"),
        failed=count("crystals that could not be read or compared"),
        tolerance=by_name(number_or_null("a limit; null for none"), "as for duplicates"),
        settings=by_name({}, "how much was sampled, with which seed"),
        measures=by_name(
            fields(
                "a measure",
                value=number_or_null("null where it can't be computed"),
                low=number_or_null("lower end of its 95 % interval"),
                high=number_or_null("upper end"),
                basis=words("which crystals it is computed of"),
            ),
            "docs/evaluate.md says what each measure is",
        ),
    ),
    "explore": fields(
        "",
        output=words("the page"),
        names=each(words("a name"), "the crystals, in the order of all lists"),
        axes=by_name(each(number("one for each crystal"), "places"), "by the name of the axis"),
        notes=each(words("a note"), "what is said on the page"),
        neighbors=each(each(count("a row"), "nearest first"), "rows of the nearest crystals of each"),
        dissimilarities=each(each(number("without unit"), "nearest first"), "dissimilarities to them"),
    ),
    "data fetch": fields("", source=words("where it is from"), n_kept=count("crystals in the file")) | {"additionalProperties": {}},
    "data import": fields("", **IMPORTED, warnings=by_name(WARNINGS, "by the names of the crystals")),
    "data export": fields("", **IMPORTED),
    "data info": fields(
        "",
        data=words("the file"),
        crystals=count("number of crystals"),
        sites=each(number("a number"), "least, median and largest number of sites a cell"),
        elements=count("number of elements"),
        properties=by_name(BOUNDS, "by the names of the columns, in the unit of each"),
        provenance=by_name({}, "where the data are from"),
    ),
    "index build": INDEXED,
    "index add": INDEXED,
    "index info": fields(
        "",
        index=words("the folder"),
        crystals=count("in all"),
        segments=each(count("crystals"), "one for each call that added some"),
        bytes=count("size of the files, in bytes"),
        format={"description": "of the files"},
        version=words("of matminer-grid that wrote it"),
        dissimilarity=by_name({}, 'what "alike" means'),
    ),
}
"""By the words of the command."""


def field_rows(schema: Schema, path: str = "") -> list[tuple[str, str, str]]:
    """List the fields of a schema: their path, type and description."""
    kind = schema.get("type", "any")
    rows = []
    if path:
        rows.append((path, kind if isinstance(kind, str) else " or ".join(kind), schema.get("description", "")))
    for name, inner in schema.get("properties", {}).items():
        rows += field_rows(inner, f"{path}.{name}".lstrip("."))
    if kind == "array" and (schema["items"].get("properties") or not path):
        rows += field_rows(schema["items"], f"{path}[]")
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and more.get("properties"):
        rows += field_rows(more, f"{path}.NAME".lstrip("."))
    return rows
