"""Help texts of the commands: options in groups, each under what it is about."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

LAST = "Output"
"""The group that every command has, below the others."""

IN_LAST = ("output", "overwrite", "plot", "report", "as_json", "help")


class GroupedCommand(TyperCommand):
    """A command that shows its options in groups: arguments, those of each dataclass under what it is about, and output."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the description, its example in one line, as it is copied."""
        plain = self.help
        self.help = re.sub(r"(?m)^Example: ", "\b\nExample: ", plain or "")
        try:
            super().format_help_text(ctx, formatter)
        finally:
            self.help = plain

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and options, a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(group_of(parameter), []).append(record)
        groups[LAST] = groups.pop(LAST)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def group_of(parameter: Any) -> str:
    """Name the group of an argument or option."""
    if parameter.param_type_name == "argument":
        return "Arguments"
    return LAST if parameter.name in IN_LAST else getattr(parameter, "rich_help_panel", None) or "Options"
