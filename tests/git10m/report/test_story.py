"""What went at which step, and by which rule."""

from __future__ import annotations

from git10m.building.barrier import DROP_REASONS
from git10m.report.story import STEPS, passes, rules, steps


def test_every_reason_of_a_barrier_has_a_step_after_the_first_pass() -> None:
    accounting = {
        "planned": len(DROP_REASONS) - 1,
        "kept": 0,
        "failed": {},
        "dropped": dict.fromkeys(DROP_REASONS[1:], 1),
    }
    first, barrier, second = passes(accounting)
    assert (first["dropped"], barrier["dropped"], second["dropped"]) == (0, len(DROP_REASONS) - 2, 1)
    assert second["kept"] == 0


def test_steps_and_passes_add_up() -> None:
    accounting = {
        "planned": 100,
        "kept": 60,
        "dropped": {"valid_fraction": 10, "quality": 5, "near_duplicate": 8, "unheard_of": 3, "split_buffer": 4},
        "failed": {"no_data": 9, "unreadable": 1},
    }
    found = steps(accounting)

    assert [step["name"] for step in found] == [step.name for step in STEPS]
    assert all(step["came"] - sum(step["went"].values()) == step["left"] for step in found)
    assert found[-1]["left"] == 60
    assert found[1]["went"] == {"valid_fraction": 10, "quality": 5, "unheard_of": 3}
    for each in passes(accounting):
        assert each["came"] == each["kept"] + each["dropped"] + each["failed"]
    assert [each["came"] for each in passes(accounting)] == [100, 72, 60]


def test_rules_are_told_with_their_defaults() -> None:
    told = dict(rules({"curation": {"verdicts": {"min_quality": 4.8}, "future": 1}, "splits": {"buffer_m": 250}}))
    assert told["quality"] == "at least 4.8"
    assert told["valid pixels of a tile"] == "at least 95 %"
    assert "250 m between them and training" in told["splits, by whole cells"]
    assert rules({"tiles": {"min_valid": "${LEAST}"}}) == []  # the page refers to the recipe then
    assert rules(None)
