"""schema: the JSON Schema of recipes, for completion in editors."""

from __future__ import annotations

from typing import Any

import typer


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of recipes with all kinds that are installed."""
    from ..core.schema import inline
    from ..pipeline.recipe import Recipe

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **inline(Recipe)}


def add(app: typer.Typer) -> None:
    @app.command("schema")
    def schema() -> None:
        """Print the JSON Schema of recipes."""
        import json

        typer.echo(json.dumps(recipe_schema(), indent=1))
