"""The Materials Project's client: its key, its failures and what to do about them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pymatgen.core

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY_LENGTH = 32
"""Letters of an API key."""

ATTEMPTS = 5
"""How often a request is made before the connection counts as broken."""

RETRY_WAIT = 2.0
"""Seconds before a failed request is made again; doubled each time."""

KEY_HELP = "get one, free of charge, at https://materialsproject.org/api and put it into the environment variable MP_API_KEY"

OFFLINE_HELP = (
    "Without a network these would do: load_mp_elasticity() (12,178 crystals, embedded), load_crystals(FILE) for a file that was "
    "fetched before, or load_matminer_dataset(NAME, path=FILE) for one of matminer's files"
)


class Client:
    """The Materials Project's client, whose failures come out as Python's own errors, without the key."""

    def __init__(self, api_key: str | None, endpoint: str | None) -> None:
        self._key = _find_key(api_key)
        self._endpoint = endpoint
        self._rester: Any = None

    def __repr__(self) -> str:
        return f"Client(endpoint={self._endpoint!r})"

    @property
    def database_version(self) -> str:
        """Version of the database that the server has now."""
        return str(self._retry(lambda rester: rester.db_version))

    def search(self, fields: Sequence[str], chunk_size: int, material_ids: list[str] | None = None) -> list[dict[str, Any]]:
        """Ask ``materials.elasticity.search``; with a number of chunks, since mp-api asks a bulk store instead without one."""
        options = {"num_chunks": 1 if material_ids else 10**6, "chunk_size": chunk_size}
        found = self._retry(
            lambda rester: rester.materials.elasticity.search(material_ids=material_ids, fields=list(fields), **options)
        )
        return [dict(document) for document in found]

    def _retry(self, ask: Callable[[Any], Any]) -> Any:
        from mp_api.client import MPRester  # noqa: PLC0415  an extra
        from mp_api.client.core.exceptions import MPRestError  # noqa: PLC0415  an extra
        from requests.exceptions import RequestException  # noqa: PLC0415  as heavy as mp-api

        text = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(RETRY_WAIT * 2 ** (attempt - 1))
            try:
                if self._rester is None:
                    self._rester = MPRester(self._key, endpoint=self._endpoint, use_document_model=False, mute_progress_bars=True)
                return ask(self._rester)
            except (MPRestError, RequestException, KeyError, ValueError) as error:
                # the server may repeat the key in what it says
                text = " ".join(f"{type(error).__name__}: {error}".replace(self._key, "***").split())[:500]
            if "status code 401" in text or "status code 403" in text or "Invalid authentication" in text:
                raise PermissionError(f"the Materials Project refused the API key; {KEY_HELP}. It said: {text}") from None
            if "invalid fields requested" in text or "does not support the request" in text:
                raise ValueError(
                    f"the Materials Project's API has changed: try a newer mp-api or matminer-grid. It said: {text}"
                ) from None
        raise ConnectionError(f"the Materials Project can't be reached, or fails ({ATTEMPTS} attempts): {text}. {OFFLINE_HELP}.")


def _find_key(api_key: str | None) -> str:
    key = api_key or os.environ.get("MP_API_KEY") or pymatgen.core.SETTINGS.get("PMG_MAPI_KEY")
    if not key:
        raise ValueError(f"a key for the Materials Project's API is needed: {KEY_HELP}")
    if not isinstance(key, str) or len(key) != KEY_LENGTH:
        raise ValueError(f"a key of the Materials Project has {KEY_LENGTH} letters, this one has {len(str(key))}; {KEY_HELP}")
    return key
