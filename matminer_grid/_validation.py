"""Checks of arguments: each says the argument's name, what was given and what would be right."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_number(name: str, value: Any, *, low: float = 0.0, low_ok: bool = True, unit: str = "") -> float:
    """Check that an argument is a finite number of at least `low`, or above it where `low_ok` is off, and give it as a float."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number{f' in {unit}' if unit else ''}, not {value!r}")
    number = float(value)
    if not math.isfinite(number) or number < low or (number == low and not low_ok):
        bound = f"{'of at least' if low_ok else 'above'} {low:g}{f' {unit}' if unit else ''}"
        raise ValueError(f"{name} must be a finite number {bound}, not {value!r}")
    return number


def check_whole(name: str, value: Any, *, low: int = 1, high: int | None = None) -> int:
    """Check that an argument is a whole number from `low` to `high`, and give it as an int."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    number = int(value)
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be {f'at least {low}' if high is None else f'between {low} and {high}'}, not {value}")
    return number


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Check that an argument is one of some names."""
    names = list(choices)
    if value not in names:
        raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(map(repr, names))}")


def check_multiple(name: str, value: Any, step_name: str, step: Any, *, unit: str) -> int:
    """Check that an argument is a multiple of another one, and give how often it holds that; up to 1e-8 is rounding."""
    whole = check_number(name, value, low_ok=False, unit=unit)
    part = check_number(step_name, step, low_ok=False, unit=unit)
    n = round(whole / part)
    if n < 1 or abs(n * part - whole) > 1e-8:
        raise ValueError(
            f"{name} must be a multiple of {step_name}, and {value!r} {unit} is none of {step!r}: "
            f"{max(n, 1) * part:g} would be, or the {step_name.replace('_', ' ')} {whole / max(n, 1):g}"
        )
    return n


def without_row(message: str) -> str:
    """Take the number of a row from the start of a message, for those who know crystals by other names."""
    return re.sub(r"^row \d+(?: \((.*?)\))?: ", lambda match: f"{match[1]}: " if match[1] else "", message)
