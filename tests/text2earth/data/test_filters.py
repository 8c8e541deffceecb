"""Expressions that choose rows."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from text2earth.data import RowFilter
from text2earth.data.filters import columns_of, kept
from text2earth.errors import ShardError

TABLE = pa.table(
    {
        "img_quality_score": [5.0, None, 4.0, 4.9],
        "licence": ["CC0-1.0", "CC-BY-4.0", None, "CC0-1.0"],
        "synthetic": [True, False, None, True],
        "acquired_at": pa.array(
            [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 5, 1), None, datetime.datetime(2022, 1, 1)],
            pa.timestamp("us", "UTC"),
        ),
        "bbox": [{"xmin": 1.0}, {"xmin": 2.0}, {"xmin": -3.0}, None],
        "width": pa.array([1, 2, 3, 4], pa.int16()),
    }
)
LEVELS = np.array([10, 12, 14, 16], dtype=np.uint8)


def passing(where):
    return kept(TABLE, RowFilter(where=where), levels=LEVELS).tolist()


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ('img_quality_score > 4.8 and level >= 12 and licence in ("CC0-1.0")', [3]),
        ("img_quality_score > 4.8", [0, 3]),
        ("4.8 < img_quality_score", [0, 3]),
        ("12 <= level < 16", [1, 2]),
        ("licence in ('CC0-1.0', 'CC-BY-4.0')", [0, 1, 3]),
        ("licence not in ['CC0-1.0']", [1]),  # a null is neither in nor out
        ("'CC0' in licence", [0, 3]),
        ("'BY' not in licence and width > 1", [3]),
        ("licence == 'CC0-1.0' or width == 3", [0, 2, 3]),
        ("licence is None", [2]),
        ("img_quality_score is not None and not synthetic", []),
        ("not synthetic", [1]),
        ("synthetic", [0, 3]),
        ("acquired_at >= '2021-01-01'", [1, 3]),
        ("acquired_at in ('2020-01-01', '2022-01-01')", [0, 3]),
        ("bbox.xmin > 0", [0, 1]),
        ("bbox.xmin == -3", [2]),
        ("width in (1, 2.5)", [0]),
        ("img_quality_score < width", []),
        ("not (img_quality_score > 4.5)", [2]),
        ("   ", [0, 1, 2, 3]),
    ],
)
def test_rows_that_pass(where, rows):
    assert passing(where) == rows


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("img_quality_score >", "cannot be read"),
        ("__import__('os').system('true')", 'holds "__import__'),
        ("img_quality_score > (lambda: 1)()", "where a value belongs"),
        ("width + 1 > 2", "has no column on the left"),
        ("1 < 2", "has no column on the left"),
        ("1 in licence", "has no column on the left"),
        ("licence in licence", "where a value belongs"),
        ("width is 3", "'is' without None"),
        ("width > None", "where a value belongs"),
        ("[w for w in width]", "holds"),
    ],
)
def test_what_is_no_comparison_is_refused_before_anything_is_read(where, message):
    with pytest.raises(ShardError, match=message):
        RowFilter(where=where)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("license == 'CC0-1.0'", "reads 'license', which the rows have not; did you mean licence?"),
        ("acquired_at >= 5", "compares a column with a value of another type"),
        ("acquired_at > 'yesterday'", "compares a column with a value of another type"),
        ("img_quality_score > 'good'", "compares a column with a value of another type"),
        ("'1' in width", "compares a column with a value of another type"),
        ("width", "has 'width' by itself, which is no truth value"),
    ],
)
def test_what_does_not_fit_the_columns_is_refused(where, message):
    with pytest.raises(ShardError, match=message.replace("?", r"\?")):
        passing(where)


def test_columns_are_known_before_reading():
    assert columns_of("a > 1 and (b.c is None or not d)") == {"a", "b.c", "d"}
