"""Reads the conda recipe as rattler-build does, and fills it in for one Python; building it needs conda's channels."""

from pathlib import Path

from rattler_build import Stage0Recipe, VariantConfig

recipe = Stage0Recipe.from_file(str(Path(__file__).parents[1] / "recipe" / "recipe.yaml"))
(variant,) = recipe.render(VariantConfig({"python": ["3.12.*"]}))
print("conda recipe:", variant.recipe)
