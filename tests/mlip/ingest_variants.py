"""Variants of the parser fixtures made by code: longer, cut, unconverged, partly predicted."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("LIPS_MLIP_EXTERNAL_DATA", REPOSITORY.parent / "shared" / "data"))
FIXTURES = SHARED / "parser_fixtures" / "dpdata"

# As VASP 6 prints one before the electronic loop of every step of on-the-fly learning.
PREDICTION = """
  ML FORCE on cell =-STRESS in cart. coord. units (eV/cell)
  Direction    XX          YY          ZZ          XY          YZ          ZX
  --------------------------------------------------------------------------------------
  Total:      9.00000     9.00000     9.00000     0.00000     0.00000     0.00000
  in kB       9.00000     9.00000     9.00000     0.00000     0.00000     0.00000
  external pressure =        9.00 kB  Pullay stress =        0.00 kB

  kinetic pressure (ideal gas correction) =      0.00 kB
  total pressure  =      9.00 kB
  volume of cell :     1000.00
      direct lattice vectors                 reciprocal lattice vectors
    10.000000000  0.000000000  0.000000000     0.100000000  0.000000000  0.000000000
     0.000000000 10.000000000  0.000000000     0.000000000  0.100000000  0.000000000
     0.000000000  0.000000000 10.000000000     0.000000000  0.000000000  0.100000000

  POSITION                                       TOTAL-FORCE (eV/Angst) (ML)
 -----------------------------------------------------------------------------------
{rows} -----------------------------------------------------------------------------------
    total drift:                                0.000000      0.000000      0.000000

  ML FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy ML TOTEN  =       -99.00000000 eV

  ML energy  without entropy=      -99.00000000  ML energy(sigma->0) =      -99.00000000

"""


def shared(name: str) -> Path:
    """Return a path below the shared data, or skip the test."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"external data {path} absent; set LIPS_MLIP_EXTERNAL_DATA")
    return path


def fixture(name: str) -> Path:
    """Return a file of the parser fixtures, or skip the test."""
    return shared(f"parser_fixtures/dpdata/{name}")


def outcar_steps() -> tuple[str, list[str], str]:
    """Return head, the three steps, and tail of the OUTCAR fixture."""
    text = fixture("poscars/OUTCAR.h2o.md").read_text()
    starts = [m.start() for m in re.finditer(r"-+ Iteration +\d+\( +1\) +-+\n", text)]
    tail = text.index("\n", text.rindex("energy  without entropy=")) + 1
    bounds = [*starts, tail]
    steps = [text[a:b] for a, b in itertools.pairwise(bounds)]
    return text[: starts[0]], steps, text[tail:]


def long_outcar(count: int) -> str:
    """Return an OUTCAR of `count` steps, which repeat those of the fixture under new numbers."""
    head, steps, tail = outcar_steps()
    body = "".join(
        re.sub(r"Iteration +\d+\(", f"Iteration {k + 1:6d}(", steps[k % 3]) for k in range(count)
    )
    return head + body + tail


def learning_outcar() -> str:
    """Return an OUTCAR of on-the-fly learning: steps 1, 3 and 6 computed, 2, 4, 5, 7 predicted."""
    head, steps, tail = outcar_steps()
    row = "      5.00000      5.00000      5.00000         9.000000      9.000000      9.000000\n"
    predicted = PREDICTION.format(rows=row * 6)
    computed = {1: 0, 3: 1, 6: 2}
    body = ""
    for number in range(1, 8):
        body += predicted
        if number in computed:
            step = steps[computed[number]]
            body += re.sub(r"Iteration +\d+\(", f"Iteration {number:6d}(", step)
    return head + body + tail


def vasprun_parts() -> tuple[str, list[str], str]:
    """Return head, the three calculations, and tail of the vasprun.xml fixture."""
    text = fixture("poscars/vasprun.h2o.md.xml").read_text()
    first = text.rindex("\n", 0, text.index("<calculation>")) + 1
    last = text.index("\n", text.rindex("</calculation>")) + 1
    calculations = re.findall(r".*<calculation>[\s\S]*?</calculation>\n", text[first:last])
    return text[:first], calculations, text[last:]


def pw_dynamics(*, unconverged: frozenset[int] = frozenset()) -> str:
    """Return pw.x MD output of three steps, made from the SCF fixture.

    Energy and one force change from step to step, so that a shift by one step is seen.
    """
    text = fixture("qe.scf/01.out").read_text()
    begin = text.index("     Self-consistent Calculation")
    end = text.index("     init_run     :")
    head, scf, tail = text[:begin], text[begin:end], text[end:]
    atoms = re.findall(r"tau\( *\d+\) = \( *(\S+) +(\S+) +(\S+) ", head)
    out = head
    for step in range(3):
        part = scf.replace("-16.15090531 Ry", f"{-16.15090531 + 0.01 * step:.8f} Ry")
        if step in unconverged:
            part = part.replace("!    total energy", "     total energy").replace(
                "convergence has been achieved in   8", "convergence NOT achieved after 100"
            )
        out += part
        out += f"     Entering Dynamics:    iteration = {step + 1:5d}\n"
        out += f"                           time      = {0.001 * (step + 1):8.4f} pico-seconds\n\n"
        out += "ATOMIC_POSITIONS (angstrom)\n"
        for symbol, place in zip("HHHHC", atoms, strict=True):
            x, y, z = (10.0 * float(value) for value in place)
            out += f"{symbol} {x + 0.1 * (step + 1):14.9f} {y:14.9f} {z:14.9f}\n"
        out += "\n"
    return out + tail
