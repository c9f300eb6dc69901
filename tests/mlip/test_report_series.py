"""The table of a series on a page: whole cells, and layers with their regions."""

from __future__ import annotations

from typing import Any

from analysis.results import Quantity
from mlip.report.series_table import temperatures

RUNS = [{"temperature_kelvin": 900.0, "sample": "slab", "melt": False}]


def quantity(name: str, value: float, status: str = "ok") -> Quantity:
    return Quantity(name, value, "cm^2/s", 0.9 * value, 1.1 * value, 0.95, status, "why")


def rows_of(found: list[Quantity]) -> tuple[str, list[list[str]]]:
    record: dict[str, Any] = {
        "provenance": {"series": {"material": RUNS}},
        "topics": {"temperatures": {"quantities": [each.name for each in found]}},
    }
    topic = temperatures("material", RUNS, record, {each.name: each for each in found})
    assert topic.table is not None
    return topic.title, [[cell.text for cell in row] for row in topic.table.rows]


def test_a_whole_cell_is_one_row_with_its_collective_conductivity():
    title, rows = rows_of(
        [
            quantity("diffusion_coefficient_Li_900K", 4e-5),
            quantity("diffusion_coefficient_from_hops_Li_900K", 9e-5),
            quantity("conductivity_collective_Li_900K", 3.0),
            quantity("conductivity_nernst_einstein_Li_900K", 1.5),
        ]
    )
    assert title == "material: D and conductivity (collective)"
    assert [row[1] for row in rows] == ["Li"]
    assert rows[0][2].startswith("4.00")
    assert rows[0][4].startswith("3 ")


def test_without_a_resolved_collective_conductivity_that_of_single_ions_stands_there():
    title, rows = rows_of(
        [
            quantity("diffusion_coefficient_Li_900K", 4e-5),
            quantity("conductivity_collective_Li_900K", 3.0, "unresolved"),
            quantity("conductivity_nernst_einstein_Li_900K", 1.5),
        ]
    )
    assert title == "material: D and conductivity (Nernst-Einstein)"
    assert rows[0][4].startswith("1.5 ")


def test_layers_are_told_along_them_and_by_region_where_the_whole_is_refused():
    title, rows = rows_of(
        [
            quantity("diffusion_coefficient_Li_900K", 0.0, "unresolved"),
            quantity("diffusion_coefficient_parallel_Li_900K", 4e-5),
            quantity("diffusion_coefficient_normal_Li_glass_900K", 7e-5),
            quantity("diffusion_coefficient_Li_crystal_900K", 3e-5),
            quantity("diffusion_coefficient_Li_glass_900K", 5e-5),
            quantity("conductivity_collective_Li_900K", 0.0, "unresolved"),
            quantity("conductivity_collective_Li_parallel_900K", 3.0),
            quantity("conductivity_nernst_einstein_parallel_Li_900K", 1.5),
            quantity("conductivity_nernst_einstein_Li_crystal_900K", 1.2),
            quantity("conductivity_nernst_einstein_Li_glass_900K", 1.9),
        ]
    )
    assert title == "material: D and conductivity (Nernst-Einstein, collective)"
    assert [row[1] for row in rows] == ["Li, along layers", "Li, crystal", "Li, glass"]
    assert [row[2][:4] for row in rows] == ["4.00", "3.00", "5.00"]
    assert [row[4].split()[0] for row in rows] == ["3", "1.2", "1.9"]
