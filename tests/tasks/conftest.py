"""Settings that keep the tests of the tasks room fast and repeatable."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile("tasks", deadline=None, max_examples=12, derandomize=True, database=None)
hypothesis.settings.load_profile("tasks")
