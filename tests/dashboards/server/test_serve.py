from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dashboards
from dashboards.server.serve import modules
from tests.audit_folder import make_audit

ROOT = Path(dashboards.__file__).parent


def test_every_module_but_the_scripts_is_loaded_before_the_first_visitor() -> None:
    names = modules(ROOT, "dashboards")
    assert {"dashboards.cache", "dashboards.rows.query", "dashboards.kinds.view"} <= set(names)
    assert not [
        name for name in names if name.startswith(("dashboards.screens", "dashboards.app", "dashboards.server.serve"))
    ]
    for name in names:
        path = ROOT.parent / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_preloading_reads_the_audits_and_says_nothing_and_no_model_is_loaded(tmp_path: Path) -> None:
    make_audit(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{", encoding="utf-8")
    code = (
        f"import os, sys, gc; os.environ['ASSAY_OUTPUT'] = {str(tmp_path)!r}\n"
        "from dashboards.server.serve import open_newest, preload; preload()\n"
        "from dashboards import cache\n"
        "from dashboards.rows import query\n"
        "print(len(cache._INDEX._known), gc.get_freeze_count() > 0, 'altair' in sys.modules, 'torch' in sys.modules)\n"
        "open_newest(); print(next(query._NUMBERS))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent, check=True)
    assert ran.stdout.split() == ["2", "True", "True", "False", "1"]
    assert ran.stderr == ""
