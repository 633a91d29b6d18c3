"""A CSV for a spreadsheet runs nothing and changes no number."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from harness.base.csv_cells import csv_text, inert


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\tx",
        "  =1",
        "\u00a0=1",
        '"=1',
        "'=1",
        "''\" =1",
        "\u200b=1",
        "\ufeff=1",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20x",
        "-0.5;=1",
        "-1\n=1",
        "+1|cmd",
    ],
)
def test_what_a_spreadsheet_would_run_is_inert(text: str) -> None:
    assert inert(text) == f"'{text}"
    _, (cell,) = csv.reader(io.StringIO(csv_text(pd.DataFrame({"x": [text]})), newline=""))
    assert cell == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "a=b", "-0.5", "+3", "1e-5", "-1.5E+10", "great - really", "{}", "don't", "'quoted'"]
)
def test_numbers_and_other_texts_stay(text: str) -> None:
    assert inert(text) == text


def test_columns_keep_their_kinds() -> None:
    frame = pd.DataFrame(
        {
            "loss": [-0.5, 1.25],
            "count": pd.array([-3, None], dtype="Int64"),
            "right": pd.array([True, None], dtype="boolean"),
            "text": pd.array(["=1", None], dtype="string"),
            "=name": ["a", "-b"],
        },
        index=[7, 9],
    )
    assert csv_text(frame).splitlines() == [
        "loss,count,right,text,'=name",
        "-0.5,-3,True,'=1,a",
        "1.25,,,,'-b",
    ]


def test_two_columns_of_one_name_stay_two() -> None:
    frame = pd.DataFrame([["=a", 1]], columns=["x", "x"])
    assert csv_text(frame) == "x,x\r\n'=a,1\r\n"


def test_categories_are_texts_too() -> None:
    frame = pd.DataFrame({"x": pd.Categorical(["=a", "b"])})
    assert csv_text(frame) == "x\r\n'=a\r\nb\r\n"
