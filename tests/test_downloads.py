"""Tables as files: right numbers, one field for each fact, and nothing that a reader's program would run."""

import csv
import io
import json
import re
import shutil
import subprocess

import msgspec
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from genbench.cli import main
from genbench.record import Measurement
from leaderboard import downloads
from leaderboard.latex import latex
from leaderboard.load import collect
from leaderboard.table import Section, sections
from leaderboard.terminal import terminal_tables
from leaderboard.typography import plain
from tests import synthetic

HOSTILE = [
    '=HYPERLINK("http://example.org","x")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
    'x";=1+1;"',
    "a|b||c\\|d",
    "a | b\n| c |",
    "[x](javascript:alert(1)) ![y](z) <http://example.org>",
    "*b* _i_ `code` ~~s~~ $x$ # h",
    "<script>alert(1)</script>&lt;",
    r"\input{/etc/passwd}\write18{ls}\end{tabular}",
    r"} \def\x{\x}\x {",
    "$$ ^^5c % & # _ ~",
    "[2em] * -- --- '' ,, `` ?` !`",
    "naïve Größe Ωmega ŷ x² CO₂ ∞ ≥ ½ ą đ",
    "模型 🦆 \u202egnp\u202c\x1b[31m\x00",
    "x" * 200,
]
COMMANDS = re.compile(
    r"""\\(textbackslash|textascii(tilde|circum)|text(less|greater|bar|tt)|char|ensuremath|begin|end|centering|caption|label|renewcommand|arraystretch
    |resizebox|ifdim|width|linewidth|else|fi|toprule|midrule|bottomrule|cmidrule|multicolumn|emph|mathbf|scriptsize
    |footnotesize|raggedright|par|smallskip|geq|leq|approx|cdot|(up|down)arrow|times|infty|Vert|Omega|ss|ldots
    |[uvrHc`'^~=."{}$&#_%,\\])""",
    re.VERBOSE,
)


def number(metric: str, value: float, half: float = 0.125, **more) -> Measurement:
    return Measurement(metric=metric, value=value, low=value - half, high=value + half, n=9, **more)


@pytest.fixture(scope="module")
def section() -> Section:
    """Real data, a control and four models with what tables have: ties, bounds, notes, seeds, protocols, details."""
    space = "digitnet@3f2a,test"
    made = {
        "real": [number("fid", 0.5, protocol=space)],
        "copycat": [number("fid", 1.0, protocol=space)],
        "vae": [
            number("nats", -90.0, kind="iwae", protocol="iwae,k=10"),
            number("elbo", -92.0),
            number("fid", 9.0, protocol=space),
            number("kid", 0.02, 0.001, protocol=space),
        ],
        "nade": [number("nats", -85.0, kind="exact", protocol="exact"), number("fid", 30.0, protocol="pixels")],
        "ddpm": [number("fid", 3.0, protocol=space), number("seconds_per_image", 2e-9, 1e-10, protocol="eager")],
        "gan": [number("fid", 3.05, protocol=space), synthetic.undefined("nats", "gan has | no % likelihood")],
    }
    records = [synthetic.make(label, measurements=numbers) for label, numbers in made.items()]
    numbers = [number("fid", 3.1, protocol=space)]
    records.append(synthetic.make("gan", seed=1, measurements=numbers))
    (found,) = sections(records)
    return found


@pytest.fixture(scope="module")
def hostile() -> Section:
    """Every name that a record may choose is hostile, in as many rows as there are such names."""
    replace = msgspec.structs.replace
    records = []
    for index, name in enumerate(HOSTILE):
        base = synthetic.make("vae", seed=index, config={"place": index}, measurements=[])
        numbers = [
            number("fid", 2.0 + index, protocol=name[:150]),
            number("nats", -3.0, kind="exact", protocol=name[:150]),
            number("kl_forward", 3.0, protocol=name[:150]),
            number(name, 1.0),
            synthetic.undefined("precision", name),
            number("recall", 0.5),
        ]
        records.append(
            replace(
                base,
                model=replace(base.model, label=name, family=name, reference=name, config={name: name}),
                dataset=replace(base.dataset, label=HOSTILE[13]),
                measurements={one.name: one for one in numbers},
            )
        )
    (found,) = sections(records)
    return found


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


# ------------------------------------------------------------------------------------------------ CSV


def test_csv_holds_a_line_for_each_row_and_full_precision(section):
    rows = {row["model"]: row for row in read_csv(downloads.as_csv(section))}
    assert list(rows) == [row.label for row in section.rows]
    assert [rows[name]["group"] for name in ("real", "copycat", "vae")] == ["reference", "control", "model"]
    stem = "fid[digitnet@3f2a,test]"
    for row in section.rows:
        index = next(i for i, heading in enumerate(section.headings) if heading.protocol == stem[4:-1])
        cell, line = row.cells[index], rows[row.label]
        assert line[f"{stem} status"] == cell.status
        if cell.ok:
            assert [float(line[stem + word]) for word in ("", " low", " high")] == [cell.value, cell.low, cell.high]
        else:
            assert [line[stem + word] for word in ("", " low", " high")] == ["", "", ""]
    assert rows["vae"]["nats kind"] == "iwae"
    assert rows["vae"]["nats protocol"] == "iwae,k=10"
    assert float(rows["vae"]["elbo (nats)"]) == -92.0
    assert rows["nade"]["elbo (nats)"] == ""
    assert rows["gan"]["seeds"] == "2"
    assert len(rows["gan"]["records"].split()) == 2


def test_csv_says_the_unit_of_a_number(section):
    (line,) = [row for row in read_csv(downloads.as_csv(section)) if row["model"] == "ddpm"]
    assert float(line["seconds_per_image[eager] (ms/image)"]) == pytest.approx(2e-6)


def test_no_field_of_a_csv_is_a_formula(hostile):
    """A spreadsheet looks at the first character of a field; and in some places it splits fields at semicolons."""
    text = downloads.as_csv(hostile)
    rows = read_csv(text)
    assert len(rows) == len(HOSTILE)
    for row in rows:
        assert None not in row, "a text became two fields"
        for value in row.values():
            assert not value.startswith(tuple("=@\t\r\n＝＋－＠"))
            if value.startswith(("+", "-")):
                assert float(value) < 0, "numbers stay numbers"
    assert {row["model"] for row in rows} >= {"'+1+1", "'-2+3", "'@SUM(A1)", "'=1+1", "'＝1+1"}
    for other in (";", "\t"):
        for line in csv.reader(io.StringIO(text), delimiter=other):
            assert not any(field.startswith(("=", "@")) for field in line)


# ------------------------------------------------------------------------------------------------ JSON


def test_json_holds_what_the_table_holds(section):
    found = json.loads(downloads.as_json(section), parse_constant=pytest.fail)
    assert (found["form"], found["dataset"], found["version"]) == ("genbench table", section.title, downloads.VERSION)
    assert [column["metric"] for column in found["columns"]] == [one.column.metric for one in section.headings]
    for row, line in zip(section.rows, found["rows"], strict=True):
        assert line["records"] == [one.key for one in row.records]
        for cell, said in zip(row.cells, line["cells"], strict=True):
            assert said["status"] == cell.status
            assert said.get("reason", "") == cell.reason
            assert said.get("best", False) == cell.best
            if cell.ok:
                assert [said[name] for name in ("value", "low", "high")] == [cell.value, cell.low, cell.high]
            else:
                assert "value" not in said
    (vae,) = [line for line in found["rows"] if line["model"] == "vae"]
    assert vae["cells"][0]["beside"]["ELBO"]["value"] == -92.0


def test_hostile_names_survive_json(hostile):
    found = json.loads(downloads.as_json(hostile))
    assert {row["model"] for row in found["rows"]} == {plain(name) for name in HOSTILE}


def test_numbers_that_json_cannot_hold_are_left_out():
    one = synthetic.make("vae")
    cost = msgspec.structs.replace(one.cost, train_seconds=1e308)
    records = [msgspec.structs.replace(synthetic.make("vae", seed=seed), cost=cost) for seed in (0, 1)]
    (section,) = sections(records)
    assert section.rows[0].train_seconds == float("inf")
    assert json.loads(downloads.as_json(section))["rows"][0]["train_seconds"] is None
    assert read_csv(downloads.as_csv(section))[0]["train_seconds"] == ""


# ------------------------------------------------------------------------------------------------ Markdown


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def cells_of(html: str, tag: str = "td") -> list[str]:
    return re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html)


def test_markdown_prints_the_numbers_of_the_page(section):
    html = rendered(downloads.as_markdown(section))
    assert html.count("<table>") == 2, "the headlines, and the details"
    cells = cells_of(html)
    by_name = {row.label: row for row in section.rows}
    index = next(i for i, heading in enumerate(section.headings) if heading.protocol == "digitnet@3f2a,test")
    for label in ("vae", "ddpm"):
        cell = by_name[label].cells[index]
        assert cell.best == (label == "ddpm")
        shown = f"<strong>{cell.text}</strong>" if cell.best else cell.text
        assert f"{shown} {cell.interval}" in cells
    assert "gan ×2" in cells
    assert any(cell.startswith("≥") and "IWAE, lower bound ELBO" in cell for cell in cells)
    assert "gan has | no % likelihood" in html
    assert {"<sup>a</sup> digitnet@3f2a, test", "<sup>b</sup> pixels"} <= set(cells_of(html, "li"))


def test_markdown_of_hostile_names_is_a_table_of_their_letters(hostile):
    html = rendered(downloads.as_markdown(hostile))
    assert set(re.findall(r"<(\w+)", html)) <= {
        "p", "strong", "em", "table", "thead", "tbody", "tr", "th", "td", "sup", "ul", "li",
    }  # fmt: skip
    rows = re.findall(r"<tr>.*?</tr>", html, re.DOTALL)
    widths = {len(cells_of(row)) or len(cells_of(row, "th")) for row in rows[: len(HOSTILE) + 2]}
    assert len(widths) == 1
    escaped = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    first = {cells_of(row)[0] for row in rows if cells_of(row)}
    for name in HOSTILE:
        text = "".join(escaped.get(letter, letter) for letter in plain(name))
        assert any(cell.startswith(text) for cell in first), name


# ------------------------------------------------------------------------------------------------ LaTeX


def tokens(text: str) -> list[str]:
    return re.findall(r"\\[A-Za-z]+|\\.|%[^\n]*|.", text, re.DOTALL)


def check_latex(text: str) -> None:
    """What TeX would see: known commands alone, groups and formulas that close, as many fields in each line."""
    assert text.isascii()
    depth, formula, comments = 0, False, 0
    for token in tokens(text):
        if token.startswith("\\"):
            assert COMMANDS.fullmatch(token), token
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        formula ^= token == "$"
        comments += token.startswith("%") and token != "%"
    assert depth == 0
    assert not formula
    assert comments == text.count(r"\begin{table}"), "a comment hides what stands behind it"


def test_latex_marks_the_best_and_prints_intervals(section):
    text = downloads.as_latex(section)
    check_latex(text)
    assert r"$\mathbf{3.00}_{2.88}^{3.12}$" in text
    assert r"$9.00_{8.88}^{9.12}$" in text
    assert r"$\geq\,-90.00_{-90.12}^{-89.88}$ {\scriptsize IWAE} ELBO $-92.00_{-92.12}^{-91.88}$" in text
    assert r"2.0\cdot 10^{-6}" in text
    assert r"gan has \textbar{} no \% likelihood" in text
    assert r"gan \ensuremath{\times}2" in text
    for line in text.splitlines():
        if line.startswith(("vae", "nade", "ddpm")):
            assert line.endswith(r" \\")
    widths = {line.count(" & ") for line in text.splitlines() if line.startswith(("vae &", "nade &", "real &"))}
    assert widths == {len(section.columns()) + 3, len(section.columns(True)) + 1}


def test_latex_of_hostile_names_has_no_command_of_theirs(hostile):
    check_latex(downloads.as_latex(hostile))


def test_the_tokenizer_sees_what_it_is_for():
    for bad in (r"\input{x}", "{", "}", "$", "ü", "a % b"):
        with pytest.raises(AssertionError):
            check_latex(bad)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b 5% & #1 {x}$", r"a\_b 5\% \& \#1 \{x\}\$"),
        (r"\end{x}", r"\textbackslash{}end\{x\}"),
        ("--", "-{}-"),
        ("[2em]", "{[}2em]"),
        ("Größe ŷ ł x² H₂ Ω", r"Gr\"{o}{\ss}e \^{y} {\l} x\ensuremath{^2} H\ensuremath{_2} \ensuremath{\Omega}"),
        ("模\u202e🦆", r"\texttt{U+6A21}\texttt{U+FFFD}\texttt{U+1F986}"),
    ],
)  # fmt: skip
def test_text_in_latex(text, expected):
    assert latex(text) == expected


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no TeX")
def test_tex_compiles_all_of_it(section, hostile, tmp_path):
    body = downloads.as_latex(section) + downloads.as_latex(hostile) + "".join(map(latex, _every_known_character()))
    document = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "tables.tex").write_text(document, encoding="ascii")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "tables.log").read_text(errors="replace")


def _every_known_character() -> list[str]:
    return [chr(code) for code in range(0x20, 0x3000)]


# ------------------------------------------------------------------------------------------------ files


def test_all_formats_of_a_section_are_the_same_bytes_every_time(section):
    found = downloads.downloads(section)
    assert set(found) == {"csv", "json", "md", "tex"}
    assert found == downloads.downloads(section)
    assert all(data.endswith(b"\n") and b"\r" not in data for data in found.values())


def test_absurd_numbers_are_written():
    records = [
        synthetic.make(f"m{i}", measurements=[Measurement(metric="fid", value=v, low=v, high=v, n=2)])
        for i, v in enumerate((1e308, -1e308, 5e-324, 0.0, 1e29))
    ]
    (section,) = sections(records)
    for data in downloads.downloads(section).values():
        assert not re.search(rb"\b(nan|inf|NaN|Infinity|None)\b", data)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for label in ("vae", "gan"):
        for dataset in (synthetic.digits(), synthetic.ring8()):
            synthetic.write(folder, synthetic.make(label, dataset))
    (folder / "broken.json").write_text("{")
    return folder


def test_no_table_has_damaged_data_or_points_of_a_curve_as_rows(tmp_path):
    vae = synthetic.make("vae")
    damaged = msgspec.structs.replace(
        synthetic.make("blur=1", config={"pathology": "blur", "dose": 1}),
        model=msgspec.structs.replace(vae.model, label="blur=1", family="pathology", control=True),
    )
    point = synthetic.make("ddpm", config={"steps": 5})
    point = msgspec.structs.replace(point, settings=point.settings | {"measured": "sweep", "line": "ddim"})
    for one in (vae, damaged, point):
        synthetic.write(tmp_path, one)
    (rows,) = [table.columns[0].cells for table in terminal_tables(collect(tmp_path).records)]
    assert [str(cell).partition("\n")[0] for cell in rows] == ["vae"]
    for form in downloads.FORMATS:
        result = publish("--records", tmp_path, "--format", form)
        assert result.exit_code == 0, result.output
        assert "vae" in result.stdout
        assert "blur" not in result.stdout
        assert "ddpm" not in result.stdout


def publish(*arguments: object):
    return CliRunner().invoke(main, ["publish", *map(str, arguments)])


@pytest.mark.parametrize("form", list(downloads.FORMATS))
def test_publish_prints_a_table(records, form):
    result = publish("--records", records, "--format", form, "--dataset", "digits")
    assert result.exit_code == 0, result.output
    assert "left out broken.json" in result.stderr
    (section,) = [one for one in sections(collect(records).records) if one.title == "digits"]
    assert result.stdout_bytes == downloads.downloads(section)[downloads.FORMATS[form][0]]


def test_publish_writes_a_file(records, tmp_path):
    out = tmp_path / "new" / "tables.tex"
    assert publish("--records", records, "--format", "latex", "-o", out).exit_code == 0
    assert out.read_text().count(r"\begin{tabular}") == 2, "one for each dataset"
    assert [path.name for path in out.parent.iterdir()] == ["tables.tex"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--format", "csv"], "a csv file holds one table, and there are several"),
        (["--format", "csv", "--dataset", "dig"], "there are no records on dig; there are some on ring8, digits"),
        (["--dataset", "digits"], "--dataset chooses the table of --format"),
    ],
)
def test_publish_refuses_what_it_cannot_write(records, tmp_path, arguments, says):
    result = publish("--records", records, "-o", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert not (tmp_path / "out").exists()


def test_publish_without_a_valid_record(tmp_path):
    (tmp_path / "x.json").write_text("{")
    result = publish("--records", tmp_path, "--format", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no valid record" in result.stderr


def test_two_datasets_of_one_name_are_told_apart(tmp_path):
    other = msgspec.structs.replace(synthetic.digits(), checksums={"test": synthetic.digest("another")})
    for dataset in (synthetic.digits(), other):
        synthetic.write(tmp_path, synthetic.make("vae", dataset, code=str(dataset.checksums)))
    refused = publish("--records", tmp_path, "--format", "latex", "--dataset", "digits")
    assert refused.exit_code == 2
    title = re.search(r"digits \([0-9a-f]{8}\)", refused.stderr)
    assert title
    assert publish("--records", tmp_path, "--format", "latex", "--dataset", title.group()).exit_code == 0
