"""The mutants of `reliability.md` 3.2 and of the design's model check, each with the test that catches it.

A mutant is one promise taken out of the code by a small replacement of text. It is tried in a
copy of the tree: the named test must pass on the sound copy and fail on the mutant.
"""

from __future__ import annotations

from tests.chaos.mutants_of_doing import DOING
from tests.chaos.mutants_of_hearing import HEARING
from tests.chaos.mutants_of_telling import TELLING

MUTANTS = (*DOING, *HEARING, *TELLING)
